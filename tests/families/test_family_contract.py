"""The contract of every family in helpers/choices.py."""

import math
import re
from typing import get_args

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers.choices import FAMILIES, GAUSSIANS, LIKELIHOODS, POSTERIORS, every_z, named, one_hot
from vaelab.families import IdentityGaussian, OneHotCategorical, Support, rsample_and_log_prob, with_moments
from vaelab.families.learned_scale import LearnedScale

L, B = 2, 4
SHAPED = [(row, shape) for row in FAMILIES for shape in row.shapes]
IDS = [f"{row.name}-{'x'.join(map(str, shape))}" for row, shape in SHAPED]
KNOWN = [row for row in FAMILIES if row.truth]
SIZED = [row for row in FAMILIES if row is not one_hot]  # its size is a number of variables
LEARNED = [row for row in LIKELIHOODS if isinstance(row.make((1,)), LearnedScale)]
REAL = [row for row in LEARNED if row.make((1,)).support == "real"]  # σ is the standard deviation of a draw

every_shape = pytest.mark.parametrize(("row", "shape"), SHAPED, ids=IDS)


def distribution_of(row, shape, *leading):
    family = row.build(shape)
    return with_moments(family(row.numbers(family, *leading)))


def truths(row, shape, *leading):
    """A distribution of each place, made by scipy only from its raw numbers."""
    family = row.build(shape)
    numbers = row.numbers(family, *leading).numpy()
    return {place: row.truth(family, numbers[place]) for place in np.ndindex(*leading)}


def moments(truth):
    """-> mean (k,) and covariance (k, k)."""
    return (truth.mean, truth.cov) if hasattr(truth, "cov") else (truth.mean(), np.diag(truth.var()))


# Densities


@pytest.mark.parametrize("row", **named(KNOWN))
def test_density_mean_variance_and_entropy_are_those_of_scipy(row):
    for shape in row.shapes:
        p = distribution_of(row, shape, L, B)
        torch.manual_seed(2)
        value = p.sample().roll(1, -1 - len(shape))  # a draw for another example
        for place, truth in truths(row, shape, L, B).items():
            score = truth.logpmf if hasattr(truth, "logpmf") else truth.logpdf
            mean, covariance = moments(truth)
            flat = value[place].flatten().numpy()
            assert p.log_prob(value)[place].item() == pytest.approx(np.sum(score(flat)), rel=1e-10, abs=1e-10)
            assert p.mean[place].flatten().tolist() == pytest.approx(mean, rel=1e-12)
            assert p.stddev[place].flatten().tolist() == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-12)
            if row.name not in WITHOUT_ENTROPY:
                assert p.entropy()[place].item() == pytest.approx(np.sum(truth.entropy()), rel=1e-10)


WITHOUT_ENTROPY = {  # it has no closed form, and nothing needs it
    *("discretized_logistic", "discretized_mixture", "poisson", "negative_binomial", "student_t", "student_t_learned")
}
LARGEST_COUNT = 600


def values_of(family, number=0):
    """All values that a number of an event can take, (m,); None if they are real."""
    support = family.kinds[number] if family.support == "mixed" else family.support
    count = {"binary": 2, "count": LARGEST_COUNT}.get(support)
    count = count or getattr(family, "levels", getattr(family, "categories", None))
    count = count[number] if isinstance(count, tuple) else count
    if not count:
        return None
    return torch.arange(count).double() / (count - 1 if family.support == "levels" else 1)


def total_probability(family, p, n):
    """∫ p in 1 or 2 dimensions, by the trapezoidal rule, or the sum over all values, or both if a table is mixed."""
    (k,) = p.event_shape
    if isinstance(family, OneHotCategorical):
        return p.log_prob(every_z(family)).exp().sum().item()
    discrete = [values_of(family, number) for number in range(k)]
    if family.support == "unit_interval":
        lines = [torch.linspace(0, 1, n).double()] * k
    else:
        spread = torch.linspace(-4.4, 4.4, n).double().sinh()  # 40 σ to either side, densely near the mean
        lines = [mean + std * spread for mean, std in zip(p.mean, p.stddev, strict=True)]
    lines = [line if values is None else values for line, values in zip(lines, discrete, strict=True)]
    density = p.log_prob(torch.cartesian_prod(*lines).view(-1, k)).exp().view([len(line) for line in lines])
    for line, values in reversed([*zip(lines, discrete, strict=True)]):
        density = torch.trapezoid(density, line) if values is None else density.sum(-1)
    return density.item()


@torch.no_grad()
@pytest.mark.parametrize("row", **named(FAMILIES))
def test_the_density_integrates_to_one(row):
    assert row.make((row.unit,)).support in get_args(Support)
    for size in (row.unit, 2 * row.unit):
        if size < 3 or row.support != "real":  # no grid has room for more dimensions
            points, error = (20_001, 1e-5) if size == 1 else (501, 5e-3)
            total = total_probability(row.make((size,)), distribution_of(row, (size,)), points)
            assert total == pytest.approx(1, abs=error)


# Draws


@every_shape
def test_draws_have_the_mean_the_standard_deviation_and_the_correlations(row, shape):
    p, n = distribution_of(row, shape), 20_001
    torch.manual_seed(3)
    draws = p.sample((n,)).flatten(1)
    spread = draws - draws.mean(0)
    share = 1 / n + (1 / 1_000 if hasattr(p, "moments_by") else 0)  # an estimated moment has an error of its own
    assert ((draws.mean(0) - p.mean.flatten()).abs() < 4.5 * (draws.var(0) * share).sqrt()).all()
    error = (spread.pow(4).mean(0) - draws.var(0).square()).mul(share).sqrt()
    assert ((draws.var(0) - p.variance.flatten()).abs() < 4.5 * error).all()
    if row.truth:
        _, covariance = moments(truths(row, shape)[()])
        variance = np.diag(covariance)
        off = np.cov(draws.numpy().T) - covariance
        error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
        np.fill_diagonal(error, np.inf)  # tested above
        assert np.all(np.abs(off) < 4.5 * error)


@torch.no_grad()
@pytest.mark.parametrize("row", **named(LIKELIHOODS))
def test_draws_follow_the_density(row):
    """Kolmogorov and Smirnov's distance between the draws and the integral, or the sum, of the density."""
    p, n = distribution_of(row, (1,)), 4_001
    torch.manual_seed(6)
    draws = p.sample((n,)).flatten().sort().values
    grid = values_of(row.make((1,)))
    discrete = grid is not None
    if not discrete:
        grid = torch.linspace(0, 1, 20_001).double()
        grid = grid if row.make((1,)).support == "unit_interval" else p.mean + p.stddev * torch.sinh(10 * grid - 5)
    density = p.log_prob(grid.unsqueeze(-1)).exp()
    below = density.cumsum(0) if discrete else torch.cumulative_trapezoid(density, grid)
    share = torch.searchsorted(draws, grid + 1e-9 if discrete else grid[1:]) / n
    assert (share - below).abs().max() < 2.2 / n**0.5  # once in 8,000 samples, by Kolmogorov's distribution


@every_shape
def test_draws_of_a_reparametrised_family_carry_the_gradient_of_every_number(row, shape):
    family = row.build(shape)
    numbers = row.numbers(family, 2 * B).requires_grad_()
    p = family(numbers)
    if not p.has_rsample:
        assert row not in POSTERIORS or hasattr(p, "relaxed_rsample") or hasattr(p, "stratified_rsample")
        with pytest.raises(NotImplementedError):
            p.rsample()
        return
    torch.manual_seed(4)
    draws, log_p = rsample_and_log_prob(p, L)
    torch.manual_seed(4)
    assert_close(p.rsample((L,)), draws)
    assert_close(log_p, p.log_prob(draws), rtol=1e-9, atol=1e-9)
    shared = list(family.parameters())
    by_numbers, *by_shared = torch.autograd.grad(draws.square().sum() + log_p.sum(), [numbers, *shared])
    assert (by_numbers.abs().sum(0) > 0).all()
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in by_shared)


@pytest.mark.parametrize("row", **named(GAUSSIANS))
def test_a_gaussian_draw_is_the_mean_plus_the_factor_times_noise(row):
    shape = (3, 5)
    mean, covariance = moments(truths(row, shape)[()])
    torch.manual_seed(5)
    draws = distribution_of(row, shape).rsample((L,)).flatten(1).detach().numpy()
    torch.manual_seed(5)
    noise = torch.randn(L, *shape, dtype=torch.float64).flatten(1).numpy()
    assert_close(draws, mean + noise @ np.linalg.cholesky(covariance).T, rtol=1e-10, atol=1e-10)


# Shapes


@every_shape
def test_leading_dimensions_are_the_batch_and_the_event_is_summed(row, shape):
    for leading in [(), (B,), (L, B)]:
        p = distribution_of(row, shape, *leading)
        assert (p.batch_shape, p.event_shape) == (leading, shape)
        assert p.mean.shape == p.stddev.shape == (*leading, *shape)
        draws = p.sample((3,))
        assert draws.shape == (3, *leading, *shape)
        assert draws.dtype == torch.float64
        assert not draws.requires_grad
        assert p.log_prob(draws).shape == (3, *leading)


@every_shape
def test_one_target_is_scored_by_every_distribution_in_the_leading_dimensions(row, shape):
    p = distribution_of(row, shape, L, B)
    target = p.sample()[0]  # (B, *shape)
    assert_close(p.log_prob(target), p.log_prob(target.expand(L, B, *shape)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("row", **named(FAMILIES))
def test_the_wrong_count_of_numbers_is_no_distribution(row):
    family = row.build(row.shapes[0])
    for count in [family.num_parameters - 1, family.num_parameters + 1]:
        with pytest.raises(RuntimeError):
            family(torch.zeros(B, count, dtype=torch.float64))


# Scales


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("row", **named(REAL))
def test_the_floor_of_the_standard_deviation_holds(row, dtype):
    family = type(row.make((3, 5)))((3, 5), min_std=0.01).to(dtype)
    for parameter in family.parameters():
        parameter.data.fill_(-1000)
    numbers = torch.full((B, family.num_parameters), -1000, dtype=dtype)
    numbers[:, :15] = 0
    numbers[:, 30:] = 0
    p = family(numbers.requires_grad_())
    log_prob = p.log_prob(torch.ones(3, 5, dtype=dtype))
    assert_close(p.stddev, torch.full((B, 3, 5), 0.01, dtype=dtype), rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(log_prob.sum(), [numbers, *family.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("row", **named(REAL))
def test_the_standard_deviation_starts_at_init_std_beside_its_floor(row):
    family = type(row.make((5,)))((5,), min_std=0.3, init_std=0.4)
    assert_close(family(torch.zeros(family.num_parameters)).stddev, torch.full((5,), 0.5))


# Arguments


@pytest.mark.parametrize("row", **named(SIZED))
@pytest.mark.parametrize("size", [0, -3, 2.5, True, "5", None])
def test_a_size_that_is_no_size_is_named_in_the_error(row, size):
    with pytest.raises(ValueError, match=f"event_shape.*{re.escape(repr(size))}"):
        row.make((size,))


@pytest.mark.parametrize("row", **named(SIZED))
def test_a_draw_without_dimensions_is_refused(row):
    with pytest.raises(ValueError, match=r"event_shape.*\(\)"):
        row.make(())


@pytest.mark.parametrize("row", **named(LEARNED))
@pytest.mark.parametrize(
    ("name", "value"),
    [("min_std", value) for value in [-0.1, math.nan, math.inf, "0", None]]
    + [("init_std", value) for value in [0, -0.1, math.nan, math.inf, "1", None]],
)
def test_a_scale_that_is_no_scale_is_named_in_the_error(row, name, value):
    with pytest.raises(ValueError, match=f"{name}.*{re.escape(repr(value))}"):
        type(row.make((5,)))((5,), **{name: value})


@pytest.mark.parametrize("std", [0, -0.3, math.nan, math.inf, "1", None])
def test_a_fixed_standard_deviation_must_be_positive(std):
    with pytest.raises(ValueError, match=f"std.*{re.escape(repr(std))}"):
        IdentityGaussian((5,), std=std)
