import itertools
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from vaelab.families import (
    Bernoulli,
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)

L, B = 9, 7
SCALES = {"min_std": 0.2, "init_std": 0.7}
GAUSSIANS = [
    (IdentityGaussian, {}),
    (IdentityGaussian, {"std": 0.3}),
    (IsotropicGaussian, SCALES),
    (SharedDiagonalGaussian, SCALES),
    (DiagonalGaussian, SCALES),
    (FullGaussian, SCALES),
]
FAMILIES = [*GAUSSIANS, (Bernoulli, {})]
LEARNED = [IsotropicGaussian, SharedDiagonalGaussian, DiagonalGaussian, FullGaussian]
EVENT_SHAPES = [(1,), (5,), (3, 5)]


def make(family, event_shape, options):
    made = family(event_shape, **options).double()
    for parameter in made.parameters():  # h, where all examples share it: another one for each dimension
        parameter.data = torch.linspace(0.4, 1.3, parameter.numel(), dtype=torch.float64).view(parameter.shape)
    return made


def random_numbers(family, *leading, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*leading, family.num_parameters, generator=generator, dtype=torch.float64)


def gaussian_moments(family, options, numbers):
    """The mean (k,) and the factor C (k, k) of one Gaussian, from its raw numbers alone."""
    k = family.event_size
    mean, rest = numbers[:k], numbers[k:]
    if isinstance(family, IdentityGaussian):
        return mean, options.get("std", 1) * np.eye(k)
    shared = {IsotropicGaussian: np.full(k, 0.4), SharedDiagonalGaussian: np.linspace(0.4, 1.3, k)}
    h = shared.get(type(family), rest[:k])
    factor = np.diag(np.sqrt(options["min_std"] ** 2 + options["init_std"] ** 2 * np.exp(h)))
    if isinstance(family, FullGaussian):
        c = iter(rest[k:])
        for row in range(k):
            for column in range(row):
                factor[row, column] = options["init_std"] / math.sqrt(k) * next(c)
    return mean, factor


def reference_log_prob(family, options, numbers, value):
    """One log p(value) by scipy, from the raw numbers of one distribution."""
    value = value.flatten().numpy()
    if isinstance(family, Bernoulli):
        return stats.bernoulli(1 / (1 + np.exp(-numbers.numpy()))).logpmf(value).sum()
    mean, factor = gaussian_moments(family, options, numbers.numpy())
    return stats.multivariate_normal(mean, factor @ factor.T).logpdf(value)


# Densities


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_log_prob_is_that_of_scipy(family, options, event_shape):
    family = make(family, event_shape, options)
    numbers = random_numbers(family, L, B)
    value = torch.randn(L, B, *event_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if isinstance(family, Bernoulli):
        value = (value > 0).double()
    places = list(itertools.product(range(L), range(B)))
    expected = [reference_log_prob(family, options, numbers[place], value[place]) for place in places]
    log_prob = family(numbers).log_prob(value)
    assert_close(log_prob, torch.tensor(expected).view(L, B), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("family", "options"), GAUSSIANS[:5])
def test_gaussians_without_correlations_are_products_of_univariate_ones(family, options):
    family = make(family, (5,), options)
    numbers, value = random_numbers(family), torch.linspace(-2, 2, 5, dtype=torch.float64)
    mean, factor = gaussian_moments(family, options, numbers.numpy())
    expected = stats.norm(mean, np.diag(factor)).logpdf(value).sum()
    assert family(numbers).log_prob(value).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_univariate_gaussians_integrate_to_one(family, options):
    family = make(family, (1,), options)
    grid = torch.linspace(-30, 30, 20001, dtype=torch.float64)
    density = family(random_numbers(family)).log_prob(grid.unsqueeze(-1)).exp()
    assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("event_shape", [(2,), (1, 2), (2, 1)])
@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_bivariate_gaussians_integrate_to_one(family, options, event_shape):
    family = make(family, event_shape, options)
    grid = torch.linspace(-15, 15, 601, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid).unflatten(-1, event_shape)
    density = family(random_numbers(family)).log_prob(points).exp().view(601, 601)
    assert torch.trapezoid(torch.trapezoid(density, grid), grid).item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("event_shape", [(1,), (5,), (16,), (3, 5), (4, 6), (13, 17)])
@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])  # at 300 a product of eight likelihoods underflows
def test_bernoulli_without_gradients_is_the_sum_over_its_terms(event_shape, spread):
    family = Bernoulli(event_shape)
    logits = spread * random_numbers(family, L, B)
    value = (random_numbers(family, B, seed=1) > 0).double()
    expected = -np.logaddexp(0, (1 - 2 * value) * logits).sum(-1)
    with torch.no_grad():
        log_prob = family(logits).log_prob(value.unflatten(-1, event_shape))
    assert_close(log_prob, expected, rtol=1e-10, atol=1e-10)


def test_bernoulli_without_gradients_is_as_good_in_float32_as_the_sum_of_its_terms():
    family = Bernoulli((28, 28))
    logits, value = 4 * random_numbers(family, L, B), (random_numbers(family, B, seed=1) > 0).double()
    exact = -np.logaddexp(0, (1 - 2 * value) * logits).sum(-1)  # about -1,300 nats
    with torch.no_grad():
        log_prob = family(logits.float()).log_prob(value.float().unflatten(-1, (28, 28)))
    assert_close(log_prob.double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bernoulli_in_half_precision_is_the_same_with_gradients_and_without(dtype):
    logits, value = torch.full((784,), 8.0, dtype=dtype), torch.ones(784, dtype=dtype)
    log_prob = Bernoulli((784,))(logits).log_prob(value)
    with torch.no_grad():
        assert torch.equal(Bernoulli((784,))(logits).log_prob(value), log_prob)
    assert log_prob.item() == pytest.approx(-784 * math.log1p(math.exp(-8)), rel=0.01)


def test_bernoulli_sums_to_one():
    family = Bernoulli((1, 3))
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64).unflatten(-1, (1, 3))
    total = family(random_numbers(family)).log_prob(outcomes).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
def test_full_gaussian_without_correlations_is_the_diagonal_one(event_shape):
    full, diagonal = FullGaussian(event_shape, **SCALES), DiagonalGaussian(event_shape, **SCALES)
    numbers = random_numbers(diagonal, L, B)
    value = torch.randn(B, *event_shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    c = torch.zeros(L, B, full.num_parameters - diagonal.num_parameters, dtype=torch.float64)
    q, p = full(torch.cat([numbers, c], dim=-1)), diagonal(numbers)
    assert_close(q.log_prob(value), p.log_prob(value), rtol=1e-12, atol=0)
    assert_close(q.mean, p.mean, rtol=0, atol=0)
    assert_close(q.variance, p.variance, rtol=1e-12, atol=0)
    assert_close(q.entropy(), p.entropy(), rtol=1e-12, atol=1e-12)


def test_the_shared_diagonal_gaussian_has_one_variance_per_dimension_for_all_examples():
    family = SharedDiagonalGaussian((2, 3), min_std=0.5, init_std=2).double()
    assert [tuple(parameter.shape) for parameter in family.parameters()] == [(2, 3)]
    family.h.data = torch.tensor([[-1000, -1, 0], [1, 2, 3]], dtype=torch.float64)
    variance = family(random_numbers(family, L, B)).variance
    expected = 0.25 + 4 * torch.tensor([[0, math.exp(-1), 1], [math.e, math.exp(2), math.exp(3)]], dtype=torch.float64)
    assert_close(variance, expected.expand(L, B, 2, 3), rtol=1e-12, atol=0)


# Moments


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_gaussian_mean_variance_and_entropy_are_those_of_the_numbers(family, options, event_shape):
    family = make(family, event_shape, options)
    numbers = random_numbers(family, B)
    distribution = family(numbers)
    for row in range(B):
        mean, factor = gaussian_moments(family, options, numbers[row].numpy())
        covariance = factor @ factor.T
        entropy = stats.multivariate_normal(mean, covariance).entropy()
        assert distribution.mean[row].flatten().tolist() == pytest.approx(mean, rel=1e-12)
        assert distribution.variance[row].flatten().tolist() == pytest.approx(np.diag(covariance), rel=1e-12)
        assert distribution.entropy()[row].item() == pytest.approx(entropy, rel=1e-10)


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_gaussian_draws_have_the_mean_and_covariance_of_the_numbers(family, options, event_shape):
    family, n = make(family, event_shape, options), 20_001
    numbers = random_numbers(family)
    mean, factor = gaussian_moments(family, options, numbers.numpy())
    covariance = factor @ factor.T
    torch.manual_seed(3)
    draws = family(numbers).sample((n,)).flatten(1).numpy()
    variance = np.diag(covariance)
    mean_error = np.sqrt(variance / n)
    covariance_error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    assert np.all(np.abs(draws.mean(0) - mean) < 4.5 * mean_error)
    assert np.all(np.abs(np.cov(draws.T) - covariance) < 4.5 * covariance_error)


def test_bernoulli_draws_are_binary_with_the_mean_and_variance_of_the_logits():
    family, n = Bernoulli((3, 5)), 20_001
    logits = random_numbers(family)
    y = 1 / (1 + (-logits).exp()).view(3, 5)
    distribution = family(logits)
    assert_close(distribution.mean, y, rtol=1e-12, atol=0)
    assert_close(distribution.variance, y * (1 - y), rtol=1e-12, atol=0)
    torch.manual_seed(4)
    draws = distribution.sample((n,))
    assert set(draws.unique().tolist()) == {0, 1}
    assert ((draws.mean(0) - y).abs() < 4.5 * (y * (1 - y) / n).sqrt()).all()


# Shapes


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(
    ("family", "count"),
    [
        (IdentityGaussian, lambda k: k),
        (IsotropicGaussian, lambda k: k),
        (SharedDiagonalGaussian, lambda k: k),
        (DiagonalGaussian, lambda k: 2 * k),
        (FullGaussian, lambda k: 2 * k + k * (k - 1) // 2),
        (Bernoulli, lambda k: k),
    ],
)
def test_num_parameters_counts_what_describes_one_distribution(family, count, event_shape):
    assert family(event_shape).num_parameters == count(math.prod(event_shape))
    assert family(event_shape).event_shape == event_shape


@pytest.mark.parametrize("leading", [(), (B,), (L, B)])
@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_leading_dimensions_are_the_batch_and_the_event_is_summed(family, options, event_shape, leading):
    family = make(family, event_shape, options)
    distribution = family(random_numbers(family, *leading))
    assert distribution.batch_shape == leading
    assert distribution.event_shape == event_shape
    assert distribution.mean.shape == distribution.variance.shape == (*leading, *event_shape)
    draws = distribution.sample((11,))
    assert draws.shape == (11, *leading, *event_shape)
    assert draws.dtype == torch.float64
    assert not draws.requires_grad
    assert distribution.log_prob(draws).shape == (11, *leading)


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_one_target_is_scored_by_every_sample_of_the_decoder(family, options, event_shape):
    family = make(family, event_shape, options)
    distribution = family(random_numbers(family, L, B))
    target = distribution.sample()[0]  # (B, *event_shape)
    log_prob = distribution.log_prob(target)
    assert_close(log_prob, distribution.log_prob(target.expand(L, B, *event_shape)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("family", "support"), [(Bernoulli, "binary"), *((family, "real") for family, _ in GAUSSIANS)])
def test_support_names_the_data_that_the_family_scores(family, support):
    assert family.support == support


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_the_wrong_count_of_numbers_is_no_distribution(family, options):
    family = make(family, (5,), options)
    for count in [family.num_parameters - 1, family.num_parameters + 1]:
        with pytest.raises(RuntimeError):
            family(torch.zeros(B, count, dtype=torch.float64))


# Gradients


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_rsample_is_the_mean_plus_the_factor_times_noise(family, options, event_shape):
    family = make(family, event_shape, options)
    numbers = random_numbers(family)
    mean, factor = gaussian_moments(family, options, numbers.numpy())
    torch.manual_seed(5)
    draws = family(numbers).rsample((L,)).flatten(1).detach().numpy()
    torch.manual_seed(5)
    noise = torch.randn(L, *event_shape, dtype=torch.float64).flatten(1).numpy()
    assert_close(draws, mean + noise @ factor.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize(("family", "options"), GAUSSIANS)
def test_every_number_of_a_gaussian_has_a_gradient_through_its_draws(family, options, event_shape):
    family = make(family, event_shape, options)
    numbers = random_numbers(family, B).requires_grad_()
    distribution = family(numbers)
    assert distribution.has_rsample
    torch.manual_seed(6)
    draws = distribution.rsample((L,))
    gradients = torch.autograd.grad(draws.square().sum(), [numbers, *family.parameters()])
    assert all(gradient.isfinite().all() and (gradient != 0).all() for gradient in gradients)


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_log_prob_has_the_gradient_of_finite_differences(family, options):
    family = make(family, (1, 3), options)
    numbers = random_numbers(family, B).requires_grad_()
    value = family(numbers).sample()
    assert torch.autograd.gradcheck(lambda numbers: family(numbers).log_prob(value), [numbers])


def test_bernoulli_has_no_pathwise_gradient():
    distribution = Bernoulli((5,))(torch.zeros(B, 5))
    assert not distribution.has_rsample
    with pytest.raises(NotImplementedError):
        distribution.rsample()


# Extremes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("event_shape", EVENT_SHAPES)
@pytest.mark.parametrize("family", LEARNED)
def test_the_floor_of_the_standard_deviation_holds(family, event_shape, dtype):
    family = family(event_shape, min_std=0.01).to(dtype)
    for parameter in family.parameters():
        parameter.data.fill_(-1000)
    numbers = torch.full((B, family.num_parameters), -1000, dtype=dtype)
    numbers[:, : family.event_size] = 0
    numbers[:, 2 * family.event_size :] = 0
    numbers.requires_grad_()
    distribution = family(numbers)
    log_prob = distribution.log_prob(torch.ones(event_shape, dtype=dtype))
    expected = stats.norm(0, 0.01).logpdf(1) * family.event_size
    assert_close(distribution.stddev, torch.full((B, *event_shape), 0.01, dtype=dtype), rtol=1e-6, atol=0)
    assert_close(log_prob, torch.full((B,), expected, dtype=dtype), rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(log_prob.sum(), [numbers, *family.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("family", LEARNED)
def test_the_standard_deviation_starts_at_init_std_beside_its_floor(family):
    family = family((5,), min_std=0.3, init_std=0.4)
    stddev = family(torch.zeros(family.num_parameters)).stddev
    assert_close(stddev, torch.full((5,), 0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_stays_finite_at_extreme_logits(dtype):
    logits = torch.tensor([1000, -1000, 1000, -1000, 0], dtype=dtype, requires_grad=True)
    target = torch.tensor([1, 0, 0, 1, 1], dtype=dtype)
    log_prob = Bernoulli((5,))(logits).log_prob(target)
    assert_close(log_prob, torch.tensor(-2000 - math.log(2), dtype=dtype))
    log_prob.backward()
    assert_close(logits.grad, torch.tensor([0, 0, -1, 1, 0.5], dtype=dtype))


# Arguments


@pytest.mark.parametrize("family", [IdentityGaussian, *LEARNED, Bernoulli])
@pytest.mark.parametrize("size", [0, -3, 2.5, True, "5", None])
def test_a_size_that_is_no_size_is_named_in_the_error(family, size):
    with pytest.raises(ValueError, match=rf"event_shape must be .*, but is {re.escape(repr(size))}"):
        family((3, size))


@pytest.mark.parametrize("std", [0, -0.3, math.nan, math.inf, "1", None])
def test_a_fixed_standard_deviation_must_be_positive(std):
    with pytest.raises(ValueError, match=rf"std must be .*, but is {re.escape(repr(std))}"):
        IdentityGaussian((5,), std=std)


@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("min_std", [-0.1, math.nan, math.inf, "0", None])
def test_a_floor_must_be_zero_or_more(family, min_std):
    with pytest.raises(ValueError, match=rf"min_std must be .*, but is {re.escape(repr(min_std))}"):
        family((5,), min_std=min_std)


@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("init_std", [0, -0.1, math.nan, math.inf, "1", None])
def test_an_initial_standard_deviation_must_be_positive(family, init_std):
    with pytest.raises(ValueError, match=rf"init_std must be .*, but is {re.escape(repr(init_std))}"):
        family((5,), init_std=init_std)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch has no batching rule of its own for a copy
def test_a_full_gaussian_has_the_gradients_that_torch_finds():
    family = FullGaussian((5,), min_std=0.1, init_std=0.7)
    parameters = torch.randn(3, 7, family.num_parameters, dtype=torch.float64, requires_grad=True)
    value = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)

    def torchs(parameters, value):
        q = family(parameters)
        return MultivariateNormal(q.loc, scale_tril=q.scale_tril).log_prob(value)

    def own(parameters, value):
        return family(parameters).log_prob(value)

    assert_close(own(parameters, value), torchs(parameters, value))
    expected = torch.autograd.grad(torchs(parameters, value).cos().sum(), (parameters, value))
    found = torch.autograd.grad(own(parameters, value).cos().sum(), (parameters, value))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    one = torch.randn(2, family.num_parameters, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(own, (one, value[0, :2].detach().requires_grad_()))
    each = torch.func.vmap(torch.func.grad(lambda *row: own(*row).cos()))(parameters[0], value[0])
    assert_close(each, expected[0][0])


def test_a_full_gaussian_of_few_factors_scores_many_values():
    q = FullGaussian((3,))(torch.randn(4, 9, dtype=torch.float64))
    values = torch.randn(5, 4, 3, dtype=torch.float64)
    expected = stats.multivariate_normal(q.mean[2].numpy(), q.covariance_matrix[2].numpy()).logpdf(values[:, 2])
    np.testing.assert_allclose(q.log_prob(values)[:, 2], expected)
    np.testing.assert_allclose(q.log_prob(values[1, 2])[2], expected[1])
