"""The contract of every prior in helpers/choices.py, with every posterior."""

import copy
import itertools

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch.distributions import kl_divergence
from torch.testing import assert_close

from helpers import choices
from helpers.choices import LIKELIHOODS, POSTERIORS, PRIORS, P, build, has_integrals, named
from vaelab.families import closed_form_kl, rsample_and_log_prob

L, B = 2, 4
every_prior = pytest.mark.parametrize("row", **named(PRIORS))
REAL = [row for row in PRIORS if row.support == "real"]
PAIRS = [pair for pair in itertools.product(POSTERIORS, REAL) if pair[0].support == "real" and has_integrals(*pair)]
GAUSSIANS = {choices.diagonal, choices.full, choices.standard, choices.learned_diagonal, choices.learned_full}


def score(truth, z):
    """log N(z) by scipy, (n, p) -> (n,)."""
    log_p = truth.logpmf(z) if hasattr(truth, "logpmf") else truth.logpdf(z)
    return log_p if np.ndim(log_p) == 1 else log_p.sum(-1)


@pytest.mark.parametrize("row", **named([row for row in PRIORS if row.parts]))
def test_the_density_and_the_moments_are_those_of_scipys_mixture(row):
    vae = build(LIKELIHOODS[0], prior=row)
    p, parts = vae.prior(), row.parts(vae)
    z = 2 * torch.randn(L, B, P).double() if row.support == "real" else p.sample((L, B))
    assert (p.batch_shape, p.event_shape) == ((), (P,))
    weights = np.array([weight for weight, _ in parts])
    each = [score(part, z.view(-1, P).numpy()) for _, part in parts]
    expected = logsumexp(each, axis=0, b=weights[:, None])
    assert_close(p.log_prob(z).detach().numpy(), expected.reshape(L, B), rtol=1e-10, atol=1e-10)
    means = np.stack([part.mean if hasattr(part, "cov") else part.mean() for _, part in parts])
    variances = np.stack([np.diag(part.cov) if hasattr(part, "cov") else part.var() for _, part in parts])
    mean = weights @ means
    assert_close(p.mean.detach().numpy(), mean, rtol=1e-10, atol=1e-10)
    variance = weights @ (variances + means**2) - mean**2
    assert_close(p.stddev.detach().numpy(), np.sqrt(variance), rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("row", **named(REAL))
def test_the_density_integrates_to_one(row):
    p = build(LIKELIHOODS[0], prior=row, latents=2).prior()
    spread = torch.linspace(-4.4, 4.4, 501).double().sinh()  # 40 σ to either side, densely near the mean
    lines = [mean + std * spread for mean, std in zip(p.mean, p.stddev, strict=True)]
    density = p.log_prob(torch.cartesian_prod(*lines)).exp().view(501, 501)
    total = torch.trapezoid(torch.trapezoid(density, lines[1]), lines[0])
    assert total.item() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("row", **named(REAL))
def test_the_density_has_a_gradient_to_every_parameter_and_to_z(row):
    vae = build(LIKELIHOODS[0], prior=row)
    z = (2 * torch.randn(31, P).double()).requires_grad_()
    by_z, *by_parameters = torch.autograd.grad(vae.prior().log_prob(z).sum(), [z, *vae.prior.parameters()])
    assert by_z.isfinite().all()
    assert by_z.all()
    assert all(gradient.isfinite().all() and gradient.any() for gradient in by_parameters)


@every_prior
def test_draws_have_the_mean_and_the_standard_deviation(row):
    p, n = build(LIKELIHOODS[0], prior=row).prior(), 20_001
    torch.manual_seed(1)
    draws = p.sample((n,))
    assert draws.shape == (n, P)
    assert not draws.requires_grad
    share = 1 / n + (1 / 1_000 if hasattr(p, "moments_by") else 0)  # an estimated moment has an error of its own
    assert ((draws.mean(0) - p.mean).abs() < 4.5 * (p.variance * share).sqrt()).all()
    fourth = (draws - draws.mean(0)).pow(4).mean(0)
    error = 4.5 * ((fourth - draws.var(0).square()).clamp_min(0) * share).sqrt() + 25 * p.variance / n
    assert ((draws.var(0) - p.variance).abs() < error).all()


@every_prior
def test_a_copy_of_the_model_has_a_prior_of_its_own(row):
    vae = build(LIKELIHOODS[0], prior=row)
    twin = copy.deepcopy(vae)
    z = torch.randn(B, P).double()
    before = vae.prior().log_prob(z)
    assert torch.equal(twin.prior().log_prob(z), before)
    for parameter in twin.parameters():
        parameter.data *= 1.3
    assert torch.equal(vae.prior().log_prob(z), before)
    assert not [*vae.prior.parameters()] or not torch.isclose(twin.prior().log_prob(z), before).any()


@torch.no_grad()
@pytest.mark.parametrize(("posterior", "row"), PAIRS, ids=[f"{q.name}-{p.name}" for q, p in PAIRS])
def test_the_kl_in_closed_form_is_the_integral_and_the_mean_of_draws(posterior, row):
    vae = build(LIKELIHOODS[0], posterior, row, latents=1)
    q, p = vae.encode(torch.randn(1, 2, 3).double()), vae.prior()
    grid = (q.mean + q.stddev * torch.linspace(-20, 20, 40_001).double()).flatten()
    log_q, log_p = (each.log_prob(grid.view(-1, 1, 1)).flatten() for each in (q, p))
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), grid)
    if q.has_rsample:
        z, log_qz = rsample_and_log_prob(q, 20_001)
    else:
        log_qz = q.log_prob(z := q.sample((20_001,)))
    log_ratio = log_qz - p.log_prob(z)  # (n, 1)
    assert (log_ratio.mean() - integral).abs() < 4.5 * log_ratio.std() / len(z) ** 0.5
    closed = closed_form_kl(q, p)
    assert closed is not None or not {posterior, row} <= GAUSSIANS
    if closed is not None:
        assert_close(closed, kl_divergence(q, p))
        assert_close(closed.squeeze(), integral, rtol=1e-6, atol=1e-8)
