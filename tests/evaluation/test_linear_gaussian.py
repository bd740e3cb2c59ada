import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

from helpers.linear_gaussian import K, linear_vae
from vaelab import VAE
from vaelab.evaluation.linear_gaussian import exact_log_marginal
from vaelab.families import (
    Bernoulli,
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)
from vaelab.networks import MLP
from vaelab.priors import LearnedPrior, StandardNormal

B, P = 7, 2
NOISES = [IdentityGaussian, partial(IdentityGaussian, std=0.3), IsotropicGaussian, SharedDiagonalGaussian]
PRIORS = [
    lambda: StandardNormal((P,)),
    lambda: LearnedPrior(DiagonalGaussian((P,), init_std=1.0)),
    lambda: LearnedPrior(FullGaussian((P,), init_std=1.0)),
]
SHAPES = [(1,), (5,), (2, 3)]


class Mixture(nn.Module):
    def forward(self):
        components = Independent(Normal(torch.eye(P), torch.ones(P, P)), 1)
        return MixtureSameFamily(Categorical(torch.ones(P)), components)


def build(noise, prior=PRIORS[0], shape=(5,), hidden=()):
    torch.manual_seed(1)
    network = partial(MLP, hidden=list(hidden))
    vae = VAE.build((4,), DiagonalGaussian((P,)), noise(shape), prior(), network)
    for parameter in vae.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return vae


def reference(vae, target):
    """log N(t; Wm₀ + b, W S₀ Wᵀ + R) by scipy, from the raw parameters."""
    network, noise = vae.decoder.network.layers[0], vae.decoder.family
    w, b = (value.detach().double().numpy() for value in (network.weight, network.bias))
    h = getattr(noise, "h", None)
    if h is None:
        variance = np.full(len(b), noise.std**2)
    else:
        h = h.detach().double().numpy().reshape(-1)
        variance = (noise.min_std**2 + noise.init_std**2 * np.exp(h)) * np.ones(len(b))
    m0, s0 = np.zeros(P), np.eye(P)
    if isinstance(vae.prior, LearnedPrior):
        m0, h0, c = np.split(vae.prior.numbers.detach().double().numpy(), [P, 2 * P])
        factor = np.diag(np.sqrt(0.01**2 + np.exp(h0)))
        if len(c):
            factor[1, 0] = c[0] / math.sqrt(P)
        s0 = factor @ factor.T
    normal = stats.multivariate_normal(w @ m0 + b, w @ s0 @ w.T + np.diag(variance))
    return torch.tensor(normal.logpdf(target.double().flatten(1).numpy()))


@pytest.mark.parametrize(("noise", "prior", "shape"), list(itertools.product(NOISES, PRIORS, SHAPES)))
def test_the_exact_log_p_is_that_of_scipy(noise, prior, shape):
    vae = build(noise, prior, shape).double()
    target = 2 * torch.randn(B, *shape, dtype=torch.float64)
    exact = exact_log_marginal(vae, target)
    assert exact.shape == (B,)
    assert not exact.requires_grad
    assert_close(exact, reference(vae, target), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("noise", "prior"), list(itertools.product(NOISES, PRIORS)))
def test_the_exact_log_p_of_a_model_in_single_precision(noise, prior):
    vae, target = build(noise, prior), 2 * torch.randn(B, 5)
    exact = exact_log_marginal(vae, target)
    assert exact.dtype == torch.float64
    assert_close(exact, reference(vae, target), rtol=1e-5, atol=1e-5)


def test_one_example_is_scored_like_many():
    vae, target = build(SharedDiagonalGaussian, PRIORS[2]).double(), torch.randn(B, 5, dtype=torch.float64)
    one_by_one = torch.cat([exact_log_marginal(vae, row.unsqueeze(0)) for row in target])
    assert_close(exact_log_marginal(vae, target), one_by_one, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mean", [1e3, 1e5])
def test_a_small_weight_beside_a_large_mean_keeps_its_digits(mean):
    vae = build(partial(IdentityGaussian, std=0.01))
    vae.decoder.network.layers[0].weight.data /= 30
    vae.decoder.network.layers[0].bias.data += mean
    target = vae.decoder.network.layers[0].bias.detach() + 0.01 * torch.ones(B, 5)
    assert_close(exact_log_marginal(vae, target), reference(vae, target), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "vae",
    [
        lambda: build(IdentityGaussian, hidden=[3]),
        lambda: build(IsotropicGaussian, PRIORS[2], hidden=[3]),
        lambda: build(DiagonalGaussian),
        lambda: build(FullGaussian),
        lambda: build(Bernoulli),
        lambda: build(IdentityGaussian, Mixture),
    ],
)
def test_there_is_none_where_the_model_is_not_linear_gaussian(vae):
    assert exact_log_marginal(vae(), torch.zeros(B, 5)) is None


def test_there_is_none_for_a_network_of_the_users_own():
    vae = build(IdentityGaussian)
    vae.decoder.network = nn.Sequential(nn.Linear(P, 5), nn.Tanh())
    assert exact_log_marginal(vae, torch.zeros(B, 5)) is None
    vae.decoder.network = MLP((P,), 5, hidden=[], inputs=1)  # one that sees only some of z
    assert exact_log_marginal(vae, torch.zeros(B, 5)) is None
    assert exact_log_marginal(linear_vae(True, True, True), torch.zeros(B, K)) is None  # nor for a decoder of theirs
