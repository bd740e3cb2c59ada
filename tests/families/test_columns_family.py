"""A product over columns: each of them is scored, drawn and fitted by its own family."""

import pytest
import torch
from torch.testing import assert_close

from vaelab.families import (
    Bernoulli,
    Categorical,
    Columns,
    JointColumns,
    Laplace,
    NegativeBinomial,
    Poisson,
    SharedDiagonalGaussian,
)
from vaelab.families.rescaled import rescaled
from vaelab.networks import MLP, OneHotColumns

B = 5
KINDS = ("count", "category", "real", "binary", "category", "real", "category")
CATEGORIES = (0, 4, 0, 0, 3, 0, 4)
SCALES = {"min_std": 0.1, "init_std": 0.6}
PLACES = {"count": [0], "category of 4": [1, 6], "real": [2, 5], "binary": [3], "category of 3": [4]}


def alone(count, real):
    """The family of each kind, in the order in which the columns first have it."""
    return {
        "count": count((1,)),
        "category of 4": Categorical((2,), categories=4),
        "real": real((2,), **SCALES),
        "binary": Bernoulli((1,)),
        "category of 3": Categorical((1,), categories=3),
    }


def values(n):
    """Rows of a table, (n, 7), with every category."""
    generator = torch.Generator().manual_seed(2)
    whole = [torch.randint(0, most, (n,), generator=generator).double() for most in (9, 4, 2, 3, 4)]
    real = [torch.randn(n, generator=generator).double() for _ in range(2)]
    return torch.stack([whole[0], whole[1], real[0], whole[2], whole[3], real[1], whole[4]], dim=-1)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        ({"count": "poisson", "real": "laplace"}, (Poisson, Laplace)),
        ({"count": "negative_binomial", "real": "gaussian_shared"}, (NegativeBinomial, SharedDiagonalGaussian)),
    ],
)
def test_each_column_is_scored_and_fitted_by_its_own_family(names, kinds):
    family, parts = Columns((7,), KINDS, CATEGORIES, **names, **SCALES).double(), alone(*kinds)
    numbers, t = torch.randn(B, family.num_parameters).double(), values(B)
    split = dict(zip(parts, numbers.split([part.num_parameters for part in parts.values()], -1), strict=True))
    p = family(numbers)
    each = {name: part.double()(split[name]) for name, part in parts.items()}
    assert_close(p.log_prob(t), sum(each[name].log_prob(t[:, PLACES[name]]) for name in each))
    for name, place in PLACES.items():
        assert_close(p.mean[:, place], each[name].mean)
        assert_close(p.stddev[:, place], each[name].stddev)
        if "category" in name:
            assert_close(p.mode[:, place], each[name].mode.double())
            for j, column in enumerate(place):
                assert_close(p.probabilities[column], each[name].base_dist.probs[:, j])
    rows = values(83)
    assert_close(family.fit_(rows), torch.cat([part.fit_(rows[:, PLACES[name]]) for name, part in parts.items()]))


def test_only_real_columns_have_units():
    family = Columns((7,), KINDS, CATEGORIES, **SCALES).double()
    u, loc, scale = family(torch.randn(B, family.num_parameters).double()), torch.arange(7.0), torch.arange(2.0, 9.0)
    t, real = rescaled(u, loc.double(), scale.double()), [2, 5]
    assert isinstance(t, JointColumns)
    own = values(B)
    there = own.clone()
    there[:, real] = loc[real] + scale[real] * own[:, real]
    assert_close(t.log_prob(there), u.log_prob(own) - scale[real].double().log().sum())
    torch.manual_seed(3)
    drawn = u.sample((4,))
    torch.manual_seed(3)
    assert_close(t.sample((4,))[..., real], loc[real] + scale[real] * drawn[..., real])
    torch.manual_seed(3)
    assert torch.equal(t.sample((4,))[..., [0, 1, 3, 4, 6]], drawn[..., [0, 1, 3, 4, 6]])


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (0, -1, "column 1 .* a count.* whole number from 0, but one is -1"),
        (1, 4, "column 2 .* category, from 0 to 3, but one is 4"),
        (3, 0.5, "column 4 .* binary.* 0 or 1, but one is 0.5"),
    ],
)
def test_a_target_of_another_kind_is_refused(column, value, words):
    family, rows = Columns((7,), KINDS, CATEGORIES), values(B)
    family.check_target(rows)
    rows[2, column] = value
    with pytest.raises(ValueError, match=words):
        family.check_target(rows)


@pytest.mark.parametrize(
    ("kinds", "categories", "words"),
    [
        (None, None, "kinds must say .* but is null; use data=table"),
        (KINDS[:3], None, "kinds must have one entry for each of the 7 columns, but has 3"),
        (("word",) * 7, None, "each of kinds must be one of real, count, category, binary, but is word"),
        (KINDS, (4, 3), "categories must have one entry for each of the 7 columns, but has 2"),
        (KINDS, None, "categories must be .*at least 2.*, but one is 0"),
    ],
)
def test_kinds_that_cannot_be_are_refused(kinds, categories, words):
    with pytest.raises(ValueError, match=words):
        Columns((7,), kinds, categories)


def test_a_network_sees_one_hot_vectors_and_their_gradient():
    network = OneHotColumns((7,), 2, MLP, CATEGORIES)
    seen = []
    network.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    rows = values(B).float()
    network(rows)
    numbers, *coded = seen[0].split([4, 4, 3, 4], dim=-1)
    assert_close(numbers, rows[:, [0, 2, 3, 5]])
    for vectors, column in zip(coded, (1, 4, 6), strict=True):
        assert_close(vectors, torch.eye(vectors.shape[-1])[rows[:, column].long()])
    between = torch.full((7,), 0.5, requires_grad=True)
    network(between).sum().backward()
    assert between.grad[[1, 4, 6]].ne(0).all()
