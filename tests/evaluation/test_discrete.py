"""What evaluation and pictures say of discrete latents, against sums over their classes."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from helpers.choices import CLASSES, bernoulli, every_z, named, one_hot
from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE
from vaelab.commands.encode import encode
from vaelab.commands.interpolate import interpolate
from vaelab.commands.traverse import traverse
from vaelab.evaluation import active_units, aggregate_posterior, kl_per_dimension, views
from vaelab.evaluation.discrete import Variables, representative, variables_of
from vaelab.families import Bernoulli, DiagonalGaussian, GaussianMixture, IsotropicGaussian
from vaelab.networks import MLP
from vaelab.priors import DiscretePrior, StandardNormal, VampPrior

B, D, T = 41, 3, 5
every_family = pytest.mark.parametrize("row", **named([bernoulli, one_hot]))


def pair(row):
    """q(z|x) of B examples over D variables, and p(z)."""
    family, generator = row.make((D * row.unit,)).double(), torch.Generator().manual_seed(1)
    numbers = 2 * torch.randn(B + 1, family.num_parameters, generator=generator).double()
    return family(numbers[1:]), family(numbers[0])


def model(row, prior=None, shape=(T,)):
    torch.manual_seed(0)
    family = row.make((D * row.unit,))
    prior = prior or DiscretePrior(row.make((D * row.unit,)))
    vae = VAE.build(shape, family.float(), IsotropicGaussian(shape), prior, partial(MLP, hidden=[7]))
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return vae


@every_family
def test_each_variable_has_a_kl_and_they_add_up(row):
    q, p = pair(row)
    kl = kl_per_dimension(q, p)
    assert kl.shape == (B, D)
    assert_close(kl.sum(-1), kl_divergence(q, p))
    first = variables_of(q).probabilities(q.mean)[:, 0], variables_of(q).probabilities(p.mean)[0]
    assert_close(kl[:, 0], (first[0] * (first[0] / first[1]).log()).sum(-1))


@every_family
def test_certain_latents_have_finite_numbers(row):
    family = row.make((D * row.unit,))
    numbers = 400.0 * family(torch.zeros(B, family.num_parameters)).sample() - 200
    kl = kl_per_dimension(family(numbers), family(torch.zeros(family.num_parameters)))
    assert_close(kl, torch.full((B, D), math.log(variables_of(family(numbers)).classes)), rtol=1e-5, atol=1e-5)
    assert kl_per_dimension(family(numbers), family(numbers[0])).isfinite().all()


def test_a_categorical_variable_is_active_as_a_whole():
    means = torch.tensor([[1.0, 0, 0, 0.3, 0.3, 0.4], [0, 1.0, 0, 0.3, 0.3, 0.4]])
    variance = torch.full((6,), 2 / 9)
    assert active_units(means, prior_variance=variance, columns=3).tolist() == [True, False]


@every_family
def test_the_aggregate_posterior_brackets_the_mutual_information(row):
    """With B examples as the whole distribution, q(z) is their average: I = E KL(q(z|x) ‖ q(z))."""
    q, p = pair(row)
    z = every_z(row.make((D * row.unit,)))
    log_q = q.log_prob(z.unsqueeze(1))  # (n, B)
    log_average = log_q.logsumexp(-1, keepdim=True) - math.log(B)
    exact = (log_q.exp() * (log_q - log_average)).sum(0).mean()
    torch.manual_seed(2)
    found = [aggregate_posterior(q, p) for _ in range(64)]
    low = torch.stack([each.mutual_information_low for each in found])
    assert (low.mean() - exact).abs() < 4.5 * low.std() / 8  # its mean is exact for these B examples
    assert torch.stack([each.mutual_information_high for each in found]).mean() > low.mean()


def test_a_walk_takes_each_class_and_a_path_changes_one_variable_at_a_time():
    bits, classes = Variables(2, 1), Variables(3, 3)
    assert bits.walk(torch.tensor([1.0, 1, 0]), 2).tolist() == [[1, 1, 0], [1, 1, 1]]
    z = torch.eye(3)[[0, 2]].flatten()
    walk = classes.walk(z, 1)
    assert_close(walk, torch.cat([torch.eye(3)[[0, 0, 0]], torch.eye(3)], -1))
    path = classes.path(z, torch.eye(3)[[1, 2]].flatten(), 4)
    assert classes.classes_in(path).tolist() == [[0, 2], [0, 2], [1, 2], [1, 2]]
    assert bits.path(z[:3], z[:3], 2).tolist() == [z[:3].tolist()] * 2


@every_family
def test_views_decode_discrete_codes_only(row):
    vae, x = model(row), torch.randn(11, T)
    values = every_z(row.make((D * row.unit,))).float()
    seen = []

    def note(module, given, output):
        if given[0].dim() > 1:  # the size of an image is measured at a single z
            seen.append(given[0].flatten(0, -2))

    vae.decoder.register_forward_hook(note)
    q, p = vae.encode(x), vae.prior()
    picture = views.traversals(vae)
    assert picture.means.shape == (D, variables_of(p).classes, T)
    views.reconstructions(vae, x, x)
    views.prior_samples(vae, 5)
    assert all((z.unsqueeze(1) == values).all(-1).any(-1).all() for z in seen)
    assert_close(representative(q), q.mode)
    assert views.kl_per_dimension_bars(q, p).kl.shape == (D,)
    with pytest.raises(ValueError, match="a manifold needs latents over real numbers, but these are discrete"):
        views.manifold(vae)


@every_family
def test_the_class_map_has_the_mean_probabilities_of_each_label(row):
    vae, x = model(row), torch.randn(B, T)
    q, labels = vae.encode(x), torch.arange(B) % 4
    picture = views.latents(q, vae.prior(), ("kind", labels), ("a", "b", "ä b", "c"))
    assert picture.row_names == ("a", "b", "ä b", "c")
    expected = q.mean[labels == 2].mean(0).view(D, -1)
    np.testing.assert_allclose(picture.probabilities[2], expected.detach(), rtol=1e-5)
    ranges = views.latents(q, vae.prior(), ("size", x[:, 0]))
    assert len(ranges.row_names) == 10
    assert len(views.latents(q, vae.prior()).row_names) == 20


@every_family
def test_verbs_write_classes(row, tmp_path):
    vae = model(row)
    run, path = loaded_run(tmp_path, vae, Rows(torch.randn(7, T))), tmp_path / "z.npz"
    encode(run, "test", path, samples=2)
    with np.load(path) as table:
        found = dict(table)
    assert found["mode"].shape == (7, D)
    assert found["probabilities"].shape == ((7, D) if row is bernoulli else (7, D, CLASSES))
    assert set(np.unique(found["sample"])) <= {0, 1}
    interpolate(run, "test:0", "test:3", tmp_path / "walk.npz", steps=5)
    with np.load(tmp_path / "walk.npz") as table:
        assert set(np.unique(table["z"])) <= {0, 1}
    with pytest.raises(ValueError, match="--path must be linear for discrete latents, but is spherical"):
        interpolate(run, "test:0", "test:3", tmp_path / "walk.npz", path="spherical")
    assert traverse(run, tmp_path / "t.png") == "latents 1 2 3 of 3"
    with pytest.raises(ValueError, match="--steps must be left out for discrete latents"):
        traverse(run, tmp_path / "t.png", steps=5)


def test_a_vampprior_has_the_kind_of_its_posterior():
    vae = model(bernoulli, VampPrior((T,), components=4))
    p = vae.prior()
    assert vae.prior.support == "binary"
    assert_close(p.log_prob(every_z(Bernoulli((D,))).float()).exp().sum(), torch.tensor(1.0))
    assert variables_of(p) == Variables(2, 1)
    assert kl_per_dimension(vae.encode(torch.randn(3, T)), p).shape == (3, D)


def test_real_latents_are_no_variables():
    assert variables_of(StandardNormal((3,))()) is None
    q = GaussianMixture((3,), components=2)(torch.randn(B, 14))
    assert variables_of(q) is None
    assert_close(representative(q), q.mean)
    assert variables_of(DiagonalGaussian((3,))(torch.zeros(6))) is None
