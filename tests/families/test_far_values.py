"""Likelihoods near the points where their formulas cancel, and far out in their tails, in float32."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from vaelab.families import (
    ContinuousBernoulli,
    DiscretizedLogistic,
    LowRankGaussian,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from vaelab.families.continuous_bernoulli import TiltedUniform

LOGITS = [1e-30, 1e-8, 1e-3, 0.1, 0.49999, 0.50001, 0.9, 3.0, 30.0, 99.0]


def log_normalizer(x):
    return mpmath.log(2 * mpmath.sinh(x / 2) / x)


def exact(logit):
    """log ∫ exp(l·(t − ½)) dt over [0, 1], and its first and second derivative, with 60 digits."""
    with mpmath.workdps(60):
        at = mpmath.mpf(logit)
        return [float(mpmath.diff(log_normalizer, at, order, h=at * mpmath.mpf(10) ** -15)) for order in range(3)]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_continuous_bernoulli_is_exact_for_all_logits(sign):
    truth = np.array([exact(logit) for logit in LOGITS])
    logits = sign * torch.tensor(LOGITS, dtype=torch.float64)
    for dtype, error in ((torch.float64, 1.5e-14), (torch.float32, 5e-6)):  # |l| itself is rounded
        value = logits.to(dtype).requires_grad_()
        p = TiltedUniform(value)
        centre = torch.full_like(value, 0.5)
        (slope,) = torch.autograd.grad(p.log_prob(centre).sum(), value, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), value)
        size, mean, variance = truth.T
        for ours, theirs in (
            (-p.log_prob(centre), size),
            (-slope, sign * mean),
            (-bend, variance),
            (p.mean - 0.5, sign * mean),
            (p.variance, variance),
        ):
            np.testing.assert_allclose(ours.detach().double(), theirs, rtol=0, atol=error)


def test_a_continuous_bernoulli_of_logit_0_is_uniform():
    logits = torch.zeros(3, requires_grad=True)
    p = ContinuousBernoulli((3,))(logits)
    log_p = p.log_prob(torch.tensor([0.0, 0.4, 1.0]))
    log_p.backward()
    assert log_p.item() == 0
    assert_close(logits.grad, torch.tensor([-0.5, -0.1, 0.5]))


def test_torchs_continuous_bernoulli_agrees_away_from_one_half():
    logits = torch.tensor([-8.0, -2.0, 1.0, 5.0]).double()
    value = torch.linspace(0, 1, 7).double().unsqueeze(-1)
    torchs = torch.distributions.ContinuousBernoulli(logits=logits)
    assert_close(TiltedUniform(logits).log_prob(value), torchs.log_prob(value))
    assert_close(TiltedUniform(logits).mean, torchs.mean)


@pytest.mark.parametrize("components", [1, 3])
def test_256_grey_levels_sum_to_one_wherever_the_mean_is(components):
    family = DiscretizedLogistic((5,), components=components).double()
    numbers = torch.zeros(family.num_parameters // 5, 5).double()
    numbers[:components] = torch.tensor([-40.0, -0.001, 0.5, 1.3, 1e4])
    numbers[components : 2 * components] = torch.tensor([-60.0, 0.0, 9.0, -4.0, -60.0])
    levels = (torch.arange(256).double() / 255).unsqueeze(-1).expand(-1, 5)
    p = family(numbers.flatten())
    assert_close(p.base_dist.log_prob(levels).exp().sum(0), torch.ones(5).double(), rtol=1e-12, atol=0)


FAR = [  # a family, the numbers of one distribution, and far values
    (DiscretizedLogistic((1,)), [40.0, -30.0], [0.0, 0.5, 1.0]),
    (DiscretizedLogistic((1,)), [-3.0, -30.0], [0.0, 0.5, 1.0]),
    (StudentT((1,), df=2.5), [0.0, -3.0], [1e4, -1e6]),
    (StudentT((1,), df=1e7), [0.0, 3.0], [1.0, -5.0]),
    (Poisson((1,)), [1.0], [0.0, 300.0, 1e5]),
    (NegativeBinomial((1,)), [1.0, -30.0], [0.0, 300.0, 1e5]),
    (NegativeBinomial((1,)), [9.0, 4.0], [0.0, 300.0, 1e5]),
    (NegativeBinomial((1,)), [40.0, 4.0], [0.0, 300.0]),
    (LowRankGaussian((1,), rank=1), [0.0, -30.0, 3.0], [50.0, -900.0]),
]


@pytest.mark.parametrize(("family", "numbers", "values"), FAR, ids=lambda each: type(each).__name__)
def test_far_values_in_float32_are_as_improbable_as_in_float64(family, numbers, values):
    for value in values:
        found = []
        for dtype in (torch.float32, torch.float64):
            given = torch.tensor(numbers, dtype=dtype, requires_grad=True)
            log_p = family(given).log_prob(torch.tensor([value], dtype=dtype))
            (gradient,) = torch.autograd.grad(log_p, given)
            found.append((log_p.detach().double(), gradient.double()))
        (ours, slope), (theirs, true_slope) = found
        assert ours.isfinite()
        rounded = 2e-7 * math.lgamma(1 + abs(value))  # log t! is a term of a count's log p
        assert_close(ours, theirs, rtol=1e-5, atol=1e-4 + rounded)
        assert_close(slope, true_slope, rtol=1e-3, atol=1e-3)


def test_counts_without_overdispersion_are_a_poissons_in_float32():
    family = NegativeBinomial((1,), min_dispersion=1e-7)
    counts = torch.tensor([0.0, 7.0, 30.0, 55.0]).unsqueeze(-1)
    found = family(torch.tensor([3.3, -60.0])).log_prob(counts)
    np.testing.assert_allclose(found, stats.poisson(np.exp(3.3)).logpmf(counts[:, 0]), atol=2e-4)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_low_rank_covariance_of_784_pixels_is_that_of_torch(parallel):
    family = LowRankGaussian((28, 28), rank=5)
    numbers = torch.randn(3, 7, 784, generator=torch.Generator().manual_seed(0))
    if parallel:  # and large beside σ
        numbers[:, 1] -= 9
        numbers[:, 2:] = 10 * (numbers[:, 2:3] + 1e-3 * numbers[:, 2:])
    p = family(numbers.flatten(1))
    torchs = torch.distributions.LowRankMultivariateNormal(
        p.base.loc.double(), p.base.factor.double(), p.base.std.double().square()
    )
    value = torchs.sample()
    assert_close(p.log_prob(value.view(3, 28, 28)), torchs.log_prob(value), rtol=1e-6, atol=1e-3)
    assert_close(p.entropy().double(), torchs.entropy(), rtol=1e-6, atol=1e-3)
