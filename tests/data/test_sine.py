"""sin(x+y): the right function, noise and domain; splits that depend only on the data seed."""

import math
import re

import pytest
import torch
from scipy.stats import kstest
from torch.testing import assert_close

from vaelab.data import Sine

SPLITS = ("train", "val", "test")
EACH_SPLIT = pytest.mark.parametrize("split", SPLITS)


def drawn(**options) -> Sine:
    """A data module with its splits drawn, small and of unequal sizes unless told otherwise."""
    data = Sine(**{"train_size": 23, "val_size": 11, "test_size": 7, "batch_size": 5, "eval_batch_size": 4, **options})
    data.prepare_data()
    data.setup()
    return data


def batches_of(data: Sine, split: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(getattr(data, f"{split}_dataloader")())


def whole(data: Sine, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """x and target of a split, ordered by the first coordinate, so shuffled passes can be compared."""
    x, target = (torch.cat(parts) for parts in zip(*batches_of(data, split), strict=True))
    order = x[:, 0].argsort()
    return x[order], target[order]


def points_of(data: Sine, split: str) -> set[tuple[float, ...]]:
    return set(map(tuple, whole(data, split)[0].tolist()))


@EACH_SPLIT
def test_without_noise_the_target_is_sin_of_the_sum(split):
    x, target = whole(drawn(train_size=1_009, val_size=503, test_size=211), split)
    assert_close(target, (x[:, 0] + x[:, 1]).sin().unsqueeze(-1), rtol=0, atol=0)
    exact = x.double().sum(-1, keepdim=True).sin()
    assert_close(target.double(), exact, rtol=0, atol=1e-6)


@EACH_SPLIT
@pytest.mark.parametrize("noise_std", [0.05, 2.0])
def test_noise_is_gaussian_of_the_right_width(split, noise_std):
    n = 10_007
    x, target = whole(drawn(**{f"{split}_size": n}, noise_std=noise_std, seed=4), split)
    noise = (target.double() - x.double().sum(-1, keepdim=True).sin()).squeeze(-1) / noise_std
    assert abs(noise.mean()) < 4 / math.sqrt(n)
    assert abs(noise.std() - 1) < 4 / math.sqrt(2 * n)
    assert kstest(noise.numpy(), "norm").pvalue > 1e-3
    for coordinate in x.double().T:
        assert abs(torch.corrcoef(torch.stack([coordinate, noise]))[0, 1]) < 4 / math.sqrt(n)


def test_noise_leaves_the_points_where_they_were():
    quiet, noisy = drawn(), drawn(noise_std=0.3)
    for split in SPLITS:
        assert_close(whole(quiet, split)[0], whole(noisy, split)[0], rtol=0, atol=0)
        assert not torch.equal(whole(quiet, split)[1], whole(noisy, split)[1])


@EACH_SPLIT
@pytest.mark.parametrize("domain", [(-math.pi, math.pi), [0, 1], (-7.5, -2), [3.0, 3.25]])
def test_points_are_uniform_on_the_domain(split, domain):
    low, high = domain
    x, _ = whole(drawn(**{f"{split}_size": 5_003}, domain=domain, seed=1), split)
    assert x.min() >= torch.tensor(low)
    assert x.max() <= torch.tensor(high)
    for coordinate in x.double().T:
        assert kstest(coordinate.numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert abs(torch.corrcoef(x.double().T)[0, 1]) < 4 / math.sqrt(len(x))


@pytest.mark.parametrize("surface", [False, True])
def test_splits_share_no_point(surface):
    data = drawn(train_size=4_001, val_size=2_003, test_size=1_009, surface=surface)
    train, val, test = (points_of(data, split) for split in SPLITS)
    assert (len(train), len(val), len(test)) == (4_001, 2_003, 1_009)
    assert len(train | val | test) == 4_001 + 2_003 + 1_009


def test_splits_of_other_seeds_share_no_point():
    every = [points_of(drawn(seed=seed), split) for seed in range(12) for split in SPLITS]
    assert len(set.union(*every)) == 12 * (23 + 11 + 7)


@EACH_SPLIT
@pytest.mark.parametrize("surface", [False, True])
def test_a_split_depends_on_its_seed_alone(split, surface):
    torch.manual_seed(1)
    first = whole(drawn(noise_std=0.2, surface=surface, seed=6), split)
    torch.manual_seed(2)
    second = whole(drawn(noise_std=0.2, surface=surface, seed=6), split)
    assert_close(first, second, rtol=0, atol=0)
    other = whole(drawn(noise_std=0.2, surface=surface, seed=7), split)
    assert not torch.equal(first[0], other[0])


@EACH_SPLIT
@pytest.mark.parametrize("resized", SPLITS)
def test_a_split_stays_when_the_size_of_another_changes(split, resized):
    sizes = {"train": 23, "val": 11, "test": 7}
    before = drawn(noise_std=0.2)
    after = drawn(noise_std=0.2, **{f"{resized}_size": 2 * sizes[resized]})
    if split == resized:
        assert len(whole(after, split)[0]) == 2 * sizes[split]
    else:
        assert_close(whole(after, split), whole(before, split), rtol=0, atol=0)


def test_a_second_setup_changes_nothing():
    data = drawn(noise_std=0.2)
    before = [whole(data, split) for split in SPLITS]
    data.setup("test")
    assert_close([whole(data, split) for split in SPLITS], before, rtol=0, atol=0)


def test_drawing_and_scoring_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    data = drawn(noise_std=0.2)
    for split in ("val", "test"):
        batches_of(data, split)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_training_order_follows_the_global_seed():
    data = drawn()
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(torch.cat([x for x, _ in batches_of(data, "train")]))
    assert_close(orders[0], orders[1], rtol=0, atol=0)
    assert not torch.equal(orders[0], orders[2])


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_and_test_keep_their_order(split):
    data = drawn()
    assert_close(batches_of(data, split), batches_of(data, split), rtol=0, atol=0)


@pytest.mark.parametrize(("split", "sizes"), [("train", [5, 5, 5, 5, 3]), ("val", [4, 4, 3]), ("test", [4, 3])])
@pytest.mark.parametrize(("surface", "x_shape", "target_shape"), [(False, (2,), (1,)), (True, (3,), (3,))])
def test_batches_have_the_shapes_that_the_module_promises(split, sizes, surface, x_shape, target_shape):
    data = drawn(surface=surface)
    assert (data.x_shape, data.target_shape) == (x_shape, target_shape)
    batches = batches_of(data, split)
    assert [tuple(x.shape) for x, _ in batches] == [(size, *x_shape) for size in sizes]
    assert [tuple(target.shape) for _, target in batches] == [(size, *target_shape) for size in sizes]
    assert {tensor.dtype for batch in batches for tensor in batch} == {torch.float32}


@EACH_SPLIT
def test_a_surface_reconstructs_itself(split):
    flat, surface = drawn(noise_std=0.2, seed=5), drawn(noise_std=0.2, seed=5, surface=True)
    assert all(target is x for x, target in batches_of(surface, split))
    points, _ = whole(surface, split)
    assert_close(points, torch.cat(whole(flat, split), dim=-1), rtol=0, atol=0)


def test_unsaid_sizes_are_those_of_the_tutorial():
    data = Sine()
    data.setup()
    assert [sum(len(x) for x, _ in batches_of(data, split)) for split in SPLITS] == [10_000, 2_000, 2_000]
    assert data.x_shape == (2,)


@pytest.mark.parametrize("support", ["binary", "unit_interval"])
@pytest.mark.parametrize("surface", [False, True])
def test_a_likelihood_that_cannot_score_real_numbers_is_refused(support, surface):
    with pytest.raises(ValueError, match=rf"\A.*{support}.*model=gaussian, or other data\Z"):
        Sine(support=support, surface=surface)


@pytest.mark.parametrize("key", ["train_size", "val_size", "test_size", "batch_size", "eval_batch_size"])
@pytest.mark.parametrize("value", [0, -3, 2.5, 2.0, True, "10", None, math.nan])
def test_a_size_that_is_no_positive_whole_number_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"\A.*data\.{key} must be .*at least 1, but is {re.escape(repr(value))}\Z"):
        Sine(**{key: value})


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, False])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match=rf"\A.*data\.seed must be .*at least 0, but is {seed!r}\Z"):
        Sine(seed=seed)


@pytest.mark.parametrize(
    "domain",
    [
        (1, -1),
        (2.0, 2.0),
        (1,),
        (),
        (0, 1, 2),
        3.14,
        None,
        "wide",
        "01",
        ("0", "1"),
        (False, True),
        (None, 1),
        (math.nan, 1),
        (0, math.nan),
        (-math.inf, 1),
        (0, math.inf),
        (math.inf, math.inf),
    ],
)
def test_a_domain_that_is_no_interval_is_refused(domain):
    with pytest.raises(ValueError, match=r"\A.*data\.domain must be .*, but is .*\Z"):
        Sine(domain=domain)


@pytest.mark.parametrize("noise_std", [-0.1, -1, math.nan, math.inf, -math.inf, "0.1", True, None])
def test_a_noise_that_is_no_standard_deviation_is_refused(noise_std):
    with pytest.raises(ValueError, match=rf"\A.*data\.noise_std must be .* of at least 0, but is {noise_std!r}\Z"):
        Sine(noise_std=noise_std)
