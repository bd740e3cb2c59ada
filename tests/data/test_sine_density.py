"""The density of sin(x+y) + noise and its entropy, against closed forms, scipy's quadrature and draws."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.testing import assert_close

from vaelab.data import Sine
from vaelab.data.sine_density import SineDensity

PI = math.pi
DOMAINS = [(-PI, PI), (-1, 2.3), (0, 1), (-7.5, -2), (3.0, 3.25), (-40.1, 3.3)]
EACH_DOMAIN = pytest.mark.parametrize("domain", DOMAINS)


def angle_density(low: float, high: float, theta: float) -> float:
    """Density of arcsin(sin(x+y)) at theta, straight from the triangle: the sum over all x + y with that sine."""
    width = high - low
    turns = 2 * PI * np.arange(-20, 21)
    u = np.concatenate([theta + turns, PI - theta + turns])
    return float((np.maximum(0, 1 - np.abs(u - low - high) / width) / width).sum())


def breaks(low: float, high: float) -> list[float]:
    """Where that density has kinks, inside (−π/2, π/2)."""
    angles = {math.asin(math.sin(u)) for u in (2 * low, low + high, 2 * high)}
    return sorted(angle for angle in angles if abs(angle) < PI / 2 - 1e-9)


def noisy_density(low: float, high: float, sigma: float, s: float) -> float:
    """∫ g(θ) N(s; sin θ, σ²) dθ by scipy, at the kinks and at the peak split."""
    peak = math.asin(min(max(s, -1), 1))
    points = [-PI / 2, *sorted({*breaks(low, high), peak}), PI / 2]
    return sum(
        quad(lambda t: angle_density(low, high, t) * norm.pdf(s, math.sin(t), sigma), a, b, epsabs=1e-11)[0]
        for a, b in pairwise(points)
    )


def drawn(surface: bool = False, n: int = 7_001, **options) -> tuple[Sine, torch.Tensor]:
    """A data module and n targets that it draws."""
    data = Sine(train_size=1, val_size=1, test_size=n, surface=surface, seed=3, **options)
    data.setup()
    x, target = data.examples("test")
    return data, x if target is None else target


def assert_mean_is(values: torch.Tensor, expected: float) -> None:
    standard_error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - expected) < 4 * standard_error + 1e-6


def test_the_sine_of_a_uniform_phase_has_entropy_log_half_pi():
    assert SineDensity(-PI, PI, 0).entropy() == pytest.approx(math.log(PI / 2), abs=1e-7)
    s = np.array([-0.99, -0.3, 0.0, 0.5, 0.999])
    assert np.allclose(SineDensity(-PI, PI, 0).log_prob(s), -np.log(PI * np.sqrt(1 - s**2)), atol=1e-10)


@EACH_DOMAIN
def test_entropy_without_noise_is_that_of_scipy(domain):
    def integrand(theta):
        g = angle_density(*domain, theta)
        return -g * (math.log(g) - math.log(math.cos(theta))) if g > 0 else 0.0

    points = [-PI / 2, *breaks(*domain), PI / 2]
    expected = sum(quad(integrand, a, b, limit=200)[0] for a, b in pairwise(points))
    assert SineDensity(*domain, 0).entropy() == pytest.approx(expected, abs=1e-6)


@EACH_DOMAIN
@pytest.mark.parametrize("sigma", [0.03, 0.4])
def test_density_with_noise_is_that_of_scipy(domain, sigma):
    s = np.array([-1.3, -1.0, -0.97, -0.2, 0.1, 0.55, 1.0, 1.1])
    expected = [noisy_density(*domain, sigma, float(value)) for value in s]
    assert np.allclose(np.exp(SineDensity(*domain, sigma).log_prob(s)), expected, rtol=1e-6, atol=1e-9)


@EACH_DOMAIN
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_entropy_with_noise_is_that_of_a_fine_sum(domain, sigma):
    """Masses of s on a fine grid from the distribution function of x + y, then the trapezium rule over s."""
    low, high = domain
    u = np.linspace(2 * low, 2 * high, 40_001)
    u = (u[1:] + u[:-1]) / 2
    weights = np.maximum(0, 1 - np.abs(u - low - high) / (high - low))
    weights /= weights.sum()
    mass, first_moment = (np.histogram(np.sin(u), 900, (-1, 1), weights=w)[0] for w in (weights, weights * np.sin(u)))
    centres = first_moment / np.maximum(mass, 1e-300)
    s = np.linspace(-1 - 8 * sigma, 1 + 8 * sigma, 1_001)
    p = norm.pdf(s[:, None], centres, sigma) @ mass
    expected = np.trapezoid(-p * np.log(np.maximum(p, 1e-300)), s)
    assert SineDensity(*domain, sigma).entropy() == pytest.approx(expected, abs=1e-4)


@EACH_DOMAIN
@pytest.mark.parametrize("sigma", [1e-7, 1e-4, 0.1, 30.0])
def test_a_density_integrates_to_one(domain, sigma):
    density = SineDensity(*domain, sigma)
    reach = 9 * sigma
    far = np.geomspace(1e-9, 4 + reach, 400)
    ends = np.concatenate([[0], far])
    s = np.unique(
        np.concatenate([side + sign * ends for side in (density.minimum, density.maximum) for sign in (-1, 1)])
    )
    s = s[(s >= density.minimum - reach) & (s <= density.maximum + reach)]
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = np.diff(s)[:, None]
    points = s[:-1, None] + width * (1 + nodes) / 2
    total = (width / 2 * weights * np.exp(density.log_prob(points.ravel()).reshape(points.shape))).sum()
    assert total == pytest.approx(1, abs=2e-4)


@EACH_DOMAIN
def test_entropy_tends_to_that_without_noise(domain):
    exact = SineDensity(*domain, 0).entropy()
    gaps = [abs(SineDensity(*domain, sigma).entropy() - exact) for sigma in (1e-3, 1e-5, 1e-7)]
    assert gaps[0] >= gaps[1] - 1e-6 >= gaps[2] - 2e-6
    assert gaps[2] < 1e-3


@pytest.mark.parametrize("sigma", [50.0, 1e6, 1e18])
def test_huge_noise_is_all_there_is(sigma):
    gaussian = 0.5 * math.log(2 * PI * math.e * sigma**2)
    assert SineDensity(-1, 2.3, sigma).entropy() == pytest.approx(gaussian, abs=2e-4)
    assert SineDensity(-1, 2.3, sigma).log_prob(np.array([0.3])) == pytest.approx(
        -0.5 * math.log(2 * PI * sigma**2), abs=1e-3
    )


def test_far_tails_stay_finite_and_exact():
    density = SineDensity(0.0, 1e-6, 0.1)  # s is 1e-6 wide: a Gaussian to all purposes
    s = np.array([-1e6, -70.0, 5.0, 1e4])
    assert np.allclose(density.log_prob(s), norm.logpdf(s, 1e-6, 0.1), rtol=1e-8)


def test_noise_that_float32_loses_counts_as_none():
    assert SineDensity(-PI, PI, 1e-8).noise_std == 0
    assert SineDensity(-PI, PI, 1e-8).entropy() == SineDensity(-PI, PI, 0).entropy()
    assert Sine(noise_std=1e-8, surface=True).entropy() is None
    assert SineDensity(0, 1e-4, 1e-9).noise_std == 1e-9  # there s is small, and float32 finer


@pytest.mark.parametrize("domain", [(1e3, 1e3 + 1e-3), (0.5, 0.5 + 1e-6), (-1e-40, 1e-40)])
def test_a_domain_that_float32_does_not_resolve_has_no_density(domain):
    assert Sine(domain=domain).entropy() is None
    assert Sine(domain=domain, surface=True, noise_std=0.1).entropy() is None
    assert Sine(domain=domain).log_prob(torch.zeros(2, 1)) is None
    assert math.isfinite(Sine(domain=domain, noise_std=0.1).entropy())  # the noise has one all the same


def test_values_of_s_that_float32_does_not_resolve_have_no_density():
    assert Sine(domain=(PI / 4 - 1e-4, PI / 4 + 1e-4)).entropy() is None  # s within 2e-8 of 1


@pytest.mark.parametrize("noise_std", [0.0, 1e-6, 0.05, 1.0, 300.0])
@pytest.mark.parametrize("domain", [(-PI, PI), (-1, 2.3), (0, 1), (-50, 1e3)])
def test_draws_score_minus_the_entropy_on_average(domain, noise_std):
    data, target = drawn(domain=domain, noise_std=noise_std)
    log_prob = data.log_prob(target)
    assert log_prob.shape == (len(target),)
    assert_mean_is(-log_prob, data.entropy())


@pytest.mark.parametrize("noise_std", [1e-5, 0.1, 2.0])
@pytest.mark.parametrize("domain", [(-PI, PI), (-1, 2.3), (-100, 1e4)])
def test_surface_points_score_minus_their_entropy_on_average(domain, noise_std):
    data, points = drawn(surface=True, domain=domain, noise_std=noise_std)
    width = domain[1] - domain[0]
    closed_form = 2 * math.log(width) + 0.5 * math.log(2 * PI * math.e * noise_std**2)
    assert data.entropy() == pytest.approx(closed_form, abs=1e-12)
    assert_mean_is(-data.log_prob(points), closed_form)


def test_a_surface_point_has_the_density_of_its_square_and_its_noise():
    data = Sine(surface=True, noise_std=0.2, domain=(-1, 2.5))
    points = torch.tensor([[0.3, 0.4, 0.9], [2.6, 0.0, 0.5], [0.0, -1.1, 0.5]])
    expected = norm.logpdf(0.9, math.sin(0.7), 0.2) - 2 * math.log(3.5)
    assert_close(data.log_prob(points), torch.tensor([expected, -math.inf, -math.inf]).double(), rtol=1e-6, atol=1e-6)


def test_a_surface_without_noise_has_neither_entropy_nor_density():
    assert Sine(surface=True).entropy() is None
    assert Sine(surface=True).log_prob(torch.zeros(2, 3)) is None


def test_without_noise_nothing_lies_beyond_the_range_of_s():
    data = Sine(domain=(0, 0.5))
    assert data.log_prob(torch.tensor([[-0.1], [0.2], [0.9]])).isfinite().tolist() == [False, True, False]
    assert Sine().log_prob(torch.tensor([[-1.0], [1.0], [1.1]])).isfinite().tolist() == [True, True, False]
