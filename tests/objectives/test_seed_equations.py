from functools import partial
from math import log, pi

import numpy as np
import pytest
import torch
from torch import nn

from vaelab import VAE
from vaelab.families import Bernoulli, DiagonalGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO, ELBOMonteCarlo
from vaelab.priors import StandardNormal

N, K, P, X = 7, 5, 3, 9  # examples, and the dimensions of t, of z and of x


def build(posterior, likelihood):
    torch.manual_seed(0)
    vae = VAE.build((X,), posterior, likelihood, StandardNormal((P,)), partial(MLP, hidden=[11])).double()
    for parameter in vae.parameters():
        nn.init.normal_(parameter, std=0.5)
    return vae


def data():
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(N, size, generator=generator, dtype=torch.float64) for size in (X, K))


def network(conditional, condition):
    """W₂ tanh(W₁ · + b₁) + b₂, the tutorial's eqs. 28 and 30-32."""
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in conditional.network.parameters())
    return np.tanh(condition @ w1.T + b1) @ w2.T + b2


def posterior_of(vae, x):
    """-> μ and the variances σ of q(z|x), each (n, p)."""
    mu, h = np.split(network(vae.encoder, x.numpy()), 2, axis=-1)
    family = vae.encoder.family
    return mu, family.min_std**2 + family.init_std**2 * np.exp(h)


def draw(mu, sigma, samples, seed):
    """z = μ + √σ ⊙ ε, with the ε that the objective draws -> (L, n, p)."""
    torch.manual_seed(seed)
    return mu + np.sqrt(sigma) * torch.randn(samples, N, P, dtype=torch.float64).numpy()


def regulariser(mu, sigma):
    """Eq. 20's terms of the encoder, with −n·p/2 where the tutorial prints −p/2."""
    return -0.5 * np.sum(np.log(sigma) - sigma) + 0.5 * np.sum(mu * mu) - N * P / 2


def minus_elbo(objective, vae, x, t, seed):
    torch.manual_seed(seed)
    return -objective(vae, x, t).elbo.sum().item()


POSTERIORS = [DiagonalGaussian((P,), min_std=0), DiagonalGaussian((P,), min_std=0.1, init_std=0.6)]


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_the_objective_is_equation_20(posterior):
    vae, (x, t) = build(posterior, IdentityGaussian((K,))), data()
    mu, sigma = posterior_of(vae, x)
    (z,) = draw(mu, sigma, 1, seed=2)
    mean = network(vae.decoder, z)
    expected = N * K / 2 * log(2 * pi) + regulariser(mu, sigma)
    for i in range(N):
        expected += 0.5 * (t[i].numpy() - mean[i]) @ (t[i].numpy() - mean[i])
    assert minus_elbo(ELBO(), vae, x, t, seed=2) == pytest.approx(expected, abs=1e-10, rel=0)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("floor", [0, 0.2])
def test_the_objective_is_equations_21_and_22(posterior, floor):
    vae, (x, t) = build(posterior, DiagonalGaussian((K,), min_std=floor, init_std=0.5)), data()
    mu, sigma = posterior_of(vae, x)
    (z,) = draw(mu, sigma, 1, seed=3)
    mean, h = np.split(network(vae.decoder, z), 2, axis=-1)
    xi = floor**2 + 0.25 * np.exp(h)
    expected = N * K / 2 * log(2 * pi) + regulariser(mu, sigma)
    for i in range(N):
        for m in range(K):
            expected += 0.5 * log(xi[i, m]) + 0.5 * (t[i, m].item() - mean[i, m]) ** 2 / xi[i, m]
    assert minus_elbo(ELBO(), vae, x, t, seed=3) == pytest.approx(expected, abs=1e-10, rel=0)


def test_the_objective_is_equations_16_and_27_for_binary_data():
    vae, (x, t) = build(POSTERIORS[1], Bernoulli((K,))), data()
    t = (t > 0).double()
    mu, sigma = posterior_of(vae, x)
    (z,) = draw(mu, sigma, 1, seed=4)
    y = 1 / (1 + np.exp(-network(vae.decoder, z)))
    expected = regulariser(mu, sigma)
    for i in range(N):
        for m in range(K):
            expected -= t[i, m].item() * log(y[i, m]) + (1 - t[i, m].item()) * log(1 - y[i, m])
    assert minus_elbo(ELBO(), vae, x, t, seed=4) == pytest.approx(expected, abs=1e-10, rel=0)


def test_several_draws_are_averaged_as_equation_23_says_and_15_does_not():
    vae, (x, t), samples = build(POSTERIORS[1], IdentityGaussian((K,))), data(), 9
    mu, sigma = posterior_of(vae, x)
    expected = N * K / 2 * log(2 * pi) + regulariser(mu, sigma)
    for z in draw(mu, sigma, samples, seed=5):
        expected += 0.5 * np.sum((t.numpy() - network(vae.decoder, z)) ** 2) / samples
    assert minus_elbo(ELBO(samples=samples), vae, x, t, seed=5) == pytest.approx(expected, abs=1e-10, rel=0)


def test_the_monte_carlo_objective_is_equation_8():
    vae, (x, t) = build(POSTERIORS[1], IdentityGaussian((K,))), data()
    mu, sigma = posterior_of(vae, x)
    (z,) = draw(mu, sigma, 1, seed=6)
    log_pt_z = -N * K / 2 * log(2 * pi) - 0.5 * np.sum((t.numpy() - network(vae.decoder, z)) ** 2)
    log_pz = -N * P / 2 * log(2 * pi) - 0.5 * np.sum(z * z)
    log_qz = -N * P / 2 * log(2 * pi) - 0.5 * np.sum(np.log(sigma)) - 0.5 * np.sum((z - mu) ** 2 / sigma)
    expected = -(log_pt_z + log_pz - log_qz)
    assert minus_elbo(ELBOMonteCarlo(), vae, x, t, seed=6) == pytest.approx(expected, abs=1e-10, rel=0)
