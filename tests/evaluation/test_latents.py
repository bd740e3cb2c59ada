import math

import pytest
import torch
from scipy import stats
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from linear_gaussian import random_gaussian
from vaelab.evaluation.latents import active_units, aggregate_posterior, kl_per_dimension
from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.priors import LearnedPrior, StandardNormal

B, P = 7, 3
N = 501


def gaussians(full, *leading, seed=0):
    return random_gaussian((*leading, P), full, torch.Generator().manual_seed(seed))


def normal(means, stds):
    means = torch.as_tensor(means, dtype=torch.float64)
    return Independent(Normal(means, torch.as_tensor(stds, dtype=torch.float64).expand_as(means)), 1)


def standard(p):
    return StandardNormal((p,)).double()()


def mean_is(values, truth, standard_errors=4):
    return abs(values.mean() - truth) <= standard_errors * values.std() / len(values) ** 0.5 + 1e-9


# KL per dimension


def test_kl_per_dimension_is_the_closed_form():
    q = gaussians(False, B)
    variance = q.scale.square()
    expected = 0.5 * (q.mean.square() + variance - 1 - variance.log())
    assert_close(kl_per_dimension(q(), standard(P)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "prior", [lambda: StandardNormal((P,)), lambda: LearnedPrior(DiagonalGaussian((P,)))], ids=["standard", "learned"]
)
def test_kl_per_dimension_of_diagonal_gaussians_adds_up_to_the_kl(prior):
    q, prior = gaussians(False, B), prior().double()
    for parameter in prior.parameters():
        parameter.data = torch.linspace(-1, 1.5, parameter.numel(), dtype=torch.float64)
    per_dimension = kl_per_dimension(q(), prior())
    assert per_dimension.shape == (B, P)
    assert_close(per_dimension.sum(-1), kl_divergence(q(), prior()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("full_q", [False, True])
def test_kl_per_dimension_of_full_gaussians_is_that_of_their_marginals(full_q):
    q, p = gaussians(full_q, B), gaussians(True, seed=1)
    found = kl_per_dimension(q(), p())
    for row in range(B):
        for j in range(P):
            one, other = q.covariance[row, j, j].item() ** 0.5, p.covariance[j, j].item() ** 0.5
            shift = q.mean[row, j].item() - p.mean[j].item()
            expected = math.log(other / one) + (one**2 + shift**2) / (2 * other**2) - 0.5
            assert found[row, j].item() == pytest.approx(expected, rel=1e-10)
    assert (found >= 0).all()


def test_kl_per_dimension_is_the_integral_over_a_marginal():
    family = FullGaussian((2,)).double()
    q, grid = family(torch.tensor([[0.3, -1, -0.5, 0.4, 0.9]], dtype=torch.float64)), torch.linspace(-12, 12, 4001)
    grid = grid.double()
    for j, kl in enumerate(kl_per_dimension(q, standard(2))[0]):
        marginal = stats.norm(q.mean[0, j].item(), q.covariance_matrix[0, j, j].item() ** 0.5)
        integrand = marginal.pdf(grid) * (marginal.logpdf(grid) - stats.norm.logpdf(grid))
        assert kl.item() == pytest.approx(torch.trapezoid(torch.as_tensor(integrand), grid).item(), abs=1e-8)


# Active units


def test_a_unit_is_active_where_its_mean_varies_with_the_data():
    # A variance is of the n examples, not n − 1: ±0.1 is at the threshold.
    column = torch.tensor([1.0, -1.0]).repeat(4)
    means = torch.stack([column * 0.09, column * 0.11, column * 5 + 1e3, column * 0 + 3], dim=-1)
    assert active_units(means).tolist() == [False, True, True, False]
    assert active_units(means, threshold=0.005).tolist() == [True, True, True, False]
    assert active_units(means[:2], threshold=0.011).tolist() == [False, True, True, False]
    assert active_units(means[:1]).tolist() == [False] * 4


# The aggregate posterior


@pytest.mark.parametrize("full", [False, True])
def test_latents_that_ignore_the_data_carry_no_information(full):
    prior = gaussians(full)
    mean, factor = prior.mean.expand(N, P), prior.factor.expand(N, P, P)
    q = MultivariateNormal(mean, scale_tril=factor) if full else normal(mean, prior.scale)
    aggregate = aggregate_posterior(q, prior())
    assert_close(aggregate.mutual_information, torch.zeros(N, dtype=torch.float64), rtol=0, atol=1e-10)
    assert_close(aggregate.kl, torch.zeros(N, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, N])
@pytest.mark.parametrize("copies", [1, 2])
def test_latents_that_tell_all_examples_apart_have_the_ceiling_of_log_n(n, copies):
    means = torch.arange(n).unsqueeze(-1).expand(n, copies)
    aggregate = aggregate_posterior(normal(means, 0.01), standard(copies))
    assert_close(aggregate.mutual_information, torch.full((n,), math.log(n), dtype=torch.float64), rtol=0, atol=5e-6)


@pytest.mark.parametrize("others", [[], [0.0], [0.0, 0.0]])
def test_two_clusters_are_told_apart_and_nothing_else(others):
    means = torch.tensor([[50.0, *others], [-50.0, *others]]).repeat(40, 1)  # the other latents are switched off
    aggregate = aggregate_posterior(normal(means, 1.0), standard(1 + len(others)))
    assert_close(aggregate.mutual_information, torch.full((80,), math.log(2), dtype=torch.float64), rtol=0, atol=1e-9)


def test_switched_off_latents_change_nothing():
    means = torch.randn(N, 2, dtype=torch.float64)
    stds = torch.tensor([0.3, 0.6], dtype=torch.float64)
    torch.manual_seed(1)
    without = aggregate_posterior(normal(means, stds), standard(2))
    off = torch.zeros(N, 1, dtype=torch.float64)
    q = normal(torch.cat([means, off], -1), torch.cat([stds, torch.ones(1)]))
    torch.manual_seed(1)
    with_off = aggregate_posterior(q, standard(3))
    for one, other in zip(without, with_off, strict=True):
        difference = one.mean() - other.mean()
        assert abs(difference) < 4 * (one.var() / N + other.var() / N).sqrt()
        assert one.mean() > 0.01


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_a_gaussian_channel_has_its_capacity(noise):
    n = 2003
    torch.manual_seed(2)
    x = torch.randn(n, 1, dtype=torch.float64)
    x = (x - x.mean()) / x.std(correction=0)
    wide = 2.0  # the prior's standard deviation: KL(N(0, 1 + σ²) ‖ N(0, wide²))
    aggregate = aggregate_posterior(normal(x, noise), normal([0.0], wide))
    information = 0.5 * math.log(1 + 1 / noise**2)
    ratio = (1 + noise**2) / wide**2
    assert information < math.log(n) - 5
    assert mean_is(aggregate.mutual_information, information, 3)
    assert mean_is(aggregate.kl, 0.5 * (ratio - 1 - math.log(ratio)), 3)


@pytest.mark.parametrize("full", [False, True])
def test_the_terms_add_up_to_log_q_minus_log_p_of_every_draw(full):
    q, prior = gaussians(full, N)(), gaussians(True, seed=3)()
    torch.manual_seed(3)
    z = q.sample()
    torch.manual_seed(3)
    aggregate = aggregate_posterior(q, prior)
    total = aggregate.mutual_information + aggregate.kl
    assert_close(total, (q.log_prob(z) - prior.log_prob(z)).detach(), rtol=0, atol=1e-10)
    assert mean_is(total, kl_divergence(q, prior).mean().item(), 4)
    log_qz = torch.stack([q.log_prob(row).logsumexp(0) for row in z]) - math.log(N)
    assert_close(aggregate.mutual_information, (q.log_prob(z) - log_qz).detach(), rtol=0, atol=1e-10)
    assert aggregate.mutual_information.mean() < math.log(N)
    assert not total.requires_grad


@pytest.mark.parametrize("memory", [1, 4 * N * P * 8 * 2, 4 * N * P * 8 * 17, 2**30])
@pytest.mark.parametrize("full", [False, True])
def test_chunks_change_no_number(full, memory):
    q, prior = gaussians(full, N)(), gaussians(False, seed=4)()
    torch.manual_seed(4)
    expected = aggregate_posterior(q, prior)
    torch.manual_seed(4)
    for one, other in zip(aggregate_posterior(q, prior, memory), expected, strict=True):
        assert_close(one, other, rtol=0, atol=1e-11)


def test_single_precision_gives_the_same_information():
    q = gaussians(False, N)()
    torch.manual_seed(5)
    double = aggregate_posterior(q, standard(P)).mutual_information
    single = Independent(Normal(q.mean.float(), q.stddev.float()), 1)
    torch.manual_seed(5)
    found = aggregate_posterior(single, StandardNormal((P,))()).mutual_information
    assert abs(found.mean() - double.mean()) < 5 * double.std() / N**0.5
    assert found.isfinite().all()
