"""Fits to latents recover densities that are known, whatever the units, and with few examples too."""

import sys

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.testing import assert_close

from vaelab import families
from vaelab.evaluation import latent_fits
from vaelab.evaluation.aggregate import AggregatePosterior
from vaelab.evaluation.latent_fits import fit_flow, fit_mixture

UNITS = torch.tensor([1e3, 1e-3])
N = 1_001


def clusters():
    """Two clusters whose latents have very different units."""
    means = torch.tensor([[-2.0, 1.0], [2.0, 3.0]]) * UNITS
    parts = Independent(Normal(means, torch.tensor([[0.5, 1.0], [1.0, 0.3]]) * UNITS), 1)
    return MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), parts)


def regret(truth, fit, n=20_001):
    """KL(truth ‖ fit) from draws, nats."""
    torch.manual_seed(7)
    z = truth.sample((n,))
    return (truth.log_prob(z) - fit.distribution.log_prob(z)).mean().item()


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(latent_fits, "STEPS", 100)


def test_a_mixture_finds_the_clusters():
    torch.manual_seed(1)
    fit = fit_mixture(clusters().sample((1, N)))
    assert fit.text.startswith("a mixture of ")
    assert -0.01 < regret(clusters(), fit) < 0.03
    draws, truth = fit.distribution.sample((N,)) / UNITS, clusters()
    error = 4.5 * (2 * truth.variance / UNITS**2 / N).sqrt()
    assert ((draws.mean(0) - truth.mean / UNITS).abs() < error).all()


def test_a_flow_fits_better_than_a_gaussian():
    torch.manual_seed(1)
    z = clusters().sample((1, N))
    gaussian = latent_fits.Fit(Independent(Normal(z[0].mean(0), z[0].std(0)), 1), "")
    assert 0 < regret(clusters(), fit_flow(z)) < regret(clusters(), gaussian) / 2


@pytest.mark.parametrize("fit", [fit_mixture, fit_flow])
def test_five_examples_with_many_latents_are_enough(fit):
    z = torch.randn(4, 5, 50)
    fitted = fit(z).distribution
    assert fitted.sample((3,)).shape == (3, 50)
    assert fitted.log_prob(torch.randn(7, 50)).isfinite().all()
    assert fit(z * torch.arange(50)).distribution.log_prob(torch.zeros(1, 50)).isfinite().all()  # one is always 0


@pytest.mark.parametrize("fit", [fit_mixture, fit_flow])
def test_a_seed_gives_the_same_fit_and_leaves_the_generator_alone(fit):
    z, there = clusters().sample((2, 301)), clusters().sample((7,))
    state = torch.get_rng_state()
    one, same, other = (fit(z, seed).distribution.log_prob(there) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    ("fit", "module", "text"),
    [(fit_mixture, "sklearn.mixture", "scikit-learn"), (fit_flow, "zuko.flows", "zuko")],
)
def test_a_missing_package_is_named(fit, module, text, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=f"--latents.* needs {text}, which is not installed; run pip install"):
        fit(torch.randn(1, 31, 2))


@pytest.mark.parametrize("family", [families.DiagonalGaussian, families.FullGaussian, families.Laplace])
def test_the_aggregate_posterior_is_the_mixture_of_the_posteriors(family):
    n, made = 13, family((2,), init_std=1.0)
    numbers = torch.randn(n, made.num_parameters)
    aggregate = AggregatePosterior(lambda rows: made(numbers[rows]), n, (2,), at_once=5)
    z = torch.randn(7, 2)
    each = torch.stack([made(one).log_prob(z) for one in numbers.double()])
    assert_close(aggregate.log_prob(z), each.logsumexp(0) - torch.tensor(n).double().log(), rtol=1e-5, atol=1e-5)
    torch.manual_seed(2)
    draws, q = aggregate.sample((4_001,)), made(numbers)
    variance = q.variance.mean(0) + q.mean.var(0, correction=0)
    assert ((draws.mean(0) - q.mean.mean(0)).abs() < 4.5 * (variance / 4_001).sqrt()).all()
    assert draws.var(0) == pytest.approx(variance, rel=0.2)
    assert aggregate.sample((3, 4)).shape == (3, 4, 2)


def test_the_held_out_density_of_a_perfect_fit_is_minus_the_entropy():
    torch.manual_seed(3)
    truth = Independent(Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])), 1)
    fit = fit_mixture(truth.sample((1, 2_001)))
    assert fit.text.startswith("one Gaussian with")
    parts = fit.distribution.component_distribution
    gaussian = torch.distributions.MultivariateNormal(parts.loc[0], scale_tril=parts.scale_tril[0])
    assert 0 < kl_divergence(truth, gaussian).item() < 0.01
