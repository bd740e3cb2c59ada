"""Evaluation and pictures of models whose posterior or prior is a mixture, against the mixtures themselves."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

from vaelab import VAE
from vaelab.evaluation import aggregate_posterior, evaluate, exact_log_marginal, log_marginal_likelihood, views
from vaelab.evaluation.latents import kl_per_dimension_by
from vaelab.evaluation.memory_needed import bytes_made, encode_bytes
from vaelab.families import Bernoulli, DiagonalGaussian, Family, Flow, IsotropicGaussian
from vaelab.networks import MLP
from vaelab.priors import LearnedPrior, StandardNormal

B, K, P = 11, 5, 2
LOCS = torch.tensor([[-5.0, 1.0], [4.0, -2.0], [6.0, 0.0]])
WEIGHTS = torch.tensor([0.2, 0.5, 0.3])


class Mixture(Family):
    """Two Gaussians of equal weight and width: a user's own family, without rsample."""

    support = "real"

    def __init__(self, event_shape):
        super().__init__(event_shape)
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters):
        locs = parameters.unflatten(-1, (2, -1))
        weights = Categorical(torch.full(locs.shape[:-1], 0.5))
        return MixtureSameFamily(weights, Independent(Normal(locs, 1.0), 1))


class ThreeHills(nn.Module):
    """p(z): three Gaussians of width 0.5, far from each other."""

    def forward(self):
        return MixtureSameFamily(Categorical(WEIGHTS), Independent(Normal(LOCS, 0.5), 1))


def build(posterior=DiagonalGaussian, likelihood=IsotropicGaussian, prior=None, shape=(K,), hidden=(6,)):
    torch.manual_seed(0)
    prior = prior or StandardNormal((P,))
    return VAE.build(shape, posterior((P,)), likelihood(shape), prior, partial(MLP, hidden=list(hidden)))


def marginal_cdf(values):
    """P(z_j ≤ value) under the three hills: (n, P) -> (n, P)."""
    return (WEIGHTS[:, None] * Normal(LOCS, 0.5).cdf(values.unsqueeze(-2))).sum(-2)


def test_a_posterior_without_rsample_estimates_the_exact_log_marginal():
    vae = build(Mixture, partial(IsotropicGaussian, init_std=2.0), hidden=())
    x = torch.randn(B, K)
    assert not vae.encode(x).has_rsample
    estimate, exact = log_marginal_likelihood(vae, x, samples=4000), exact_log_marginal(vae, x)
    assert_close(estimate.mean(), exact.mean(), rtol=0, atol=0.03)


def test_images_of_the_manifold_lie_at_quantiles_of_a_mixture():
    picture = views.manifold(build(likelihood=Bernoulli, prior=ThreeHills(), shape=(4, 6)), steps=5)
    values = torch.from_numpy(np.stack([picture.z1, picture.z2], axis=-1))
    expected = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).unsqueeze(-1).expand(5, 2)
    assert_close(marginal_cdf(values), expected, rtol=0, atol=4 * 0.5 / 100)  # 10,000 draws


def test_points_of_the_manifold_span_a_mixture():
    picture = views.manifold(build(prior=ThreeHills()), steps=7)
    for values in (picture.z1, picture.z2):
        np.testing.assert_allclose(np.diff(values), np.diff(values)[0], rtol=1e-4)
    ends = torch.tensor([[picture.z1[0], picture.z2[0]], [picture.z1[-1], picture.z2[-1]]])
    assert (marginal_cdf(ends)[0] < 0.004).all()
    assert (marginal_cdf(ends)[1] > 0.996).all()


@torch.no_grad()
def test_traversals_start_on_a_hill_and_not_between_them():
    vae = build(prior=ThreeHills())
    picture = views.traversals(vae, steps=3, span=1.0)
    assert "the others at the likeliest z" in picture.title
    mean, std = vae.prior().mean, vae.prior().stddev
    on_the_hill = torch.stack([mean[0] + std[0] * torch.tensor([-1.0, 0.0, 1.0]), torch.full((3,), -2.0)], dim=-1)
    assert_close(torch.from_numpy(picture.means[0]), vae.decode(on_the_hill).mean, rtol=0, atol=0.05)
    assert vae.prior().log_prob(mean) < vae.prior().log_prob(LOCS[1]) - 5
    assert "likeliest" not in views.traversals(vae, origin=mean).title
    assert "likeliest" not in views.traversals(build()).title


def test_the_bars_of_a_mixture_say_that_they_are_by_moments():
    gaussian, full = build(), build(prior=LearnedPrior(DiagonalGaussian((P,))))
    x = torch.randn(B, K)
    for vae, by in ((gaussian, "closed form"), (full, "closed form"), (build(Mixture), "moments")):
        q, prior = vae.encode(x), vae.prior()
        assert kl_per_dimension_by(q, prior) == by
        title = views.kl_per_dimension_bars(q, prior).draw().axes[0].get_title()
        assert ("as if q and p were Gaussian" in title) == (by == "moments")
    assert kl_per_dimension_by(gaussian.encode(x), ThreeHills()()) == "moments"


@torch.no_grad()
@pytest.mark.parametrize("posterior", [Mixture, partial(Flow, context=2, transforms=1, hidden=[5])])
def test_pairs_of_all_examples_pass_in_chunks_that_fit_the_memory(posterior, monkeypatch):
    vae = build(posterior)
    for value in vae.encoder.parameters():
        nn.init.normal_(value, std=0.3)
    q, prior = vae.encode(torch.randn(B, K)), vae.prior()
    z, log_prob, counts = torch.zeros(1, 1, P), type(q).log_prob, []
    row = bytes_made(lambda: q.log_prob(z))  # one z under all B posteriors
    monkeypatch.setattr(type(q), "log_prob", lambda self, z: counts.append(len(z)) or log_prob(self, z))
    found = []
    for memory, chunks in ((1, [1] * B), (3 * row, [3, 3, 3, 2]), (2**30, [B])):
        counts.clear()
        torch.manual_seed(5)
        found.append(aggregate_posterior(q, prior, memory))
        assert counts[2:] == chunks  # after two calls that measure the memory
    for numbers in zip(*found, strict=True):
        assert_close(numbers[0], numbers[2])


@torch.no_grad()
def test_the_draws_of_estimated_means_count_for_no_row():
    vae, x = build(partial(Flow, context=2, transforms=1, hidden=[5])), torch.randn(1, K)
    draw = bytes_made(lambda: vae.encode(x).rsample((1,)))
    assert draw <= encode_bytes(vae, x) < 20 * draw  # the mean takes 1000


class Data:
    """Enough of a data module for a report."""

    levels, target_shape = None, (K,)

    def batches(self, split):
        x = torch.randn(B, K, generator=torch.Generator().manual_seed(3))
        return [(x[:4], x[:4]), (x[4:], x[4:])]

    def entropy(self):
        return None

    def describe(self):
        return {"measure": "density"}


def test_a_report_of_mixtures_keeps_the_order_of_the_bounds():
    report = evaluate(build(Mixture, prior=ThreeHills()), Data(), samples=200)
    assert report["iw_1"] <= report["iw_10"] <= -report["nll"]
    assert report["elbo"] == pytest.approx(report["iw_1"], rel=1e-6)  # both by the same draws
    assert (report["kl_by"], report["moments_by"]) == ("draws", "closed form")
    assert report["kl_per_dimension_by"] == "moments"
    assert report["mutual_information_low"] <= report["mutual_information_high"]
