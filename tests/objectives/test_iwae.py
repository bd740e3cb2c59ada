"""The importance-weighted bound: its value, its limits, and its gradient."""

import math

import pytest
import torch
from torch.testing import assert_close

from helpers.linear_gaussian import exact_elbo, linear_vae, log_marginal, posterior, with_encoder
from vaelab.objectives import IWAE, ELBOMonteCarlo, LogWeights, log_mean

B, K, T = 7, 9, 5


def targets():
    return 2 * torch.randn(B, T, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_log_mean_is_that_of_the_weights():
    log_w = torch.randn(K, B).double()
    assert_close(log_mean(log_w), log_w.exp().mean(0).log())
    assert_close(log_mean(log_w - 1_000), log_mean(log_w) - 1_000)  # exp(−1000) is 0
    assert_close(LogWeights(log_w, 2 * log_w).log_w, -log_w)


def test_with_one_draw_it_is_the_monte_carlo_elbo_and_so_is_its_gradient():
    found = []
    for objective in (IWAE(samples=1), ELBOMonteCarlo(samples=1)):
        vae, t = linear_vae(True, True, True, (B,)), targets()
        torch.manual_seed(2)
        terms = objective(vae, t, t)
        terms.loss.mean().backward()
        found.append([*terms, *(parameter.grad for parameter in vae.parameters())])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_every_draw_is_log_p_at_the_posterior():
    vae, t = linear_vae(True, True, True, (B,)), targets()
    vae = with_encoder(vae, *posterior(vae, t), full=True)
    terms = IWAE(samples=K)(vae, t, t)
    assert_close(terms.bound, log_marginal(vae, t), rtol=0, atol=1e-10)
    assert_close(terms.elbo, log_marginal(vae, t), rtol=0, atol=1e-10)


@torch.no_grad()
def test_the_bound_rises_with_the_draws_from_the_elbo_towards_log_p():
    vae, t = linear_vae(True, False, False, (B,)), targets()
    mean, covariance = posterior(vae, t)
    vae, n = with_encoder(vae, mean + 0.4, covariance, full=True), 2_001
    many = with_encoder(vae, (mean + 0.4).expand(n, B, 3), covariance, full=True)
    torch.manual_seed(3)
    bounds = {samples: IWAE(samples)(many, t, t).bound for samples in (1, 5, 50)}
    means = [bound.mean(0) for bound in bounds.values()]
    errors = [bound.std(0) / n**0.5 for bound in bounds.values()]
    assert ((means[0] - exact_elbo(vae, t)).abs() < 4.5 * errors[0]).all()
    assert (means[1] > means[0]).all()
    assert (means[2] > means[1]).all()
    # log p − IW_K ≈ χ²/2K, with 1 + χ² = exp(|a − m|² in the units of the posterior) where V = S
    shift = torch.full((3,), 0.4).double()
    chi = (shift @ covariance.inverse() @ shift).exp() - 1
    gap = log_marginal(vae, t) - means[2]
    assert (gap > -4.5 * errors[2]).all()
    assert ((gap - chi / 100).abs() < 0.3 * chi / 100 + 4.5 * errors[2]).all()


def test_the_encoders_gradient_is_that_of_the_normalised_weights():
    """∇ IW_K = Σ_k w̃_k ∇ log w_k, with the draws held at their noise (Burda et al. 2016, eq. 13)."""
    vae, t = linear_vae(True, True, True, (B,)), targets()
    torch.manual_seed(4)
    (found,) = torch.autograd.grad(IWAE(samples=K)(vae, t, t).bound.sum(), vae.encoder.mean)
    torch.manual_seed(4)
    q = vae.encode(t)
    z = q.rsample((K,))
    log_w = vae.log_likelihood(z, t) + vae.prior().log_prob(z) - q.log_prob(z)
    normalised = (log_w - log_w.logsumexp(0)).exp().detach()
    (expected,) = torch.autograd.grad((normalised * log_w).sum(), vae.encoder.mean)
    assert_close(found, expected)


@pytest.mark.parametrize("samples", [0, -3, 2.0, True, "3", None, math.inf])
def test_a_number_of_draws_that_is_none_is_refused(samples):
    with pytest.raises(ValueError, match=r"objective\.samples"):
        IWAE(samples=samples)
