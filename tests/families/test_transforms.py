"""Every family and every KL works inside torch.func, and with data of any dtype."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal, kl_divergence
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.testing import assert_close

from helpers.choices import FAMILIES, LIKELIHOODS, named
from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.families.normals import FullNormal

B = 5


def density(row, shape):
    """log p(value) of its numbers and values, and B of both."""
    family = row.build(shape)
    numbers = row.numbers(family, B)
    torch.manual_seed(2)
    return lambda n, value: family(n).log_prob(value), numbers, family(numbers).sample().detach()


@pytest.mark.parametrize("grad_mode", [True, False])
@pytest.mark.parametrize("row", **named(FAMILIES))
def test_every_density_can_be_mapped_and_differentiated(row, grad_mode):
    log_p, numbers, values = density(row, (1, 3) if len(row.shapes[-1]) == 2 else (3,))
    direction, step = torch.randn_like(numbers), 1e-6
    with torch.set_grad_enabled(grad_mode):
        expected = log_p(numbers, values)
        difference = (log_p(numbers + step * direction, values) - log_p(numbers - step * direction, values)) / (
            2 * step
        )
        assert_close(vmap(log_p)(numbers, values), expected)
        assert_close(vmap(log_p, in_dims=(0, None))(numbers, values[0])[0], expected[0])
        assert_close(vmap(vmap(log_p))(numbers.unsqueeze(0), values.unsqueeze(0)), expected.unsqueeze(0))
        forward = jvp(lambda n: log_p(n, values), (numbers,), (direction,))[1]
        assert_close(forward, difference, rtol=1e-6, atol=1e-6)
        assert_close(jacfwd(log_p)(numbers[0], values[0]), jacrev(log_p)(numbers[0], values[0]))
        assert_close((vmap(grad(log_p))(numbers, values) * direction).sum(-1), forward)
        twice = jacrev(jacrev(log_p))(numbers[0], values[0])
        assert_close(hessian(log_p)(numbers[0], values[0]), twice)
    assert_close(torch.autograd.functional.hessian(lambda n: log_p(n, values[0]), numbers[0]), twice)


@pytest.mark.parametrize(("q", "p"), [*itertools.product([DiagonalGaussian, FullGaussian], repeat=2)])
def test_every_kl_can_be_mapped_and_differentiated(q, p):
    q, p = q((3,)).double(), p((3,)).double()
    torch.manual_seed(3)
    ours, theirs = torch.randn(B, q.num_parameters).double(), torch.randn(p.num_parameters).double()

    def kl(ours, theirs):
        return kl_divergence(q(ours), p(theirs))

    assert_close(vmap(kl, in_dims=(0, None))(ours, theirs), kl(ours, theirs))
    for argument in (0, 1):
        first, second = jacfwd(kl, argument)(ours[0], theirs), jacrev(kl, argument)(ours[0], theirs)
        assert_close(first, second)
        assert_close(hessian(kl, argument)(ours[0], theirs), jacrev(jacrev(kl, argument), argument)(ours[0], theirs))


def test_a_leaf_factor_has_no_gradient_above_its_diagonal():
    factor = (torch.randn(2, 3, 3).double().tril(-1) + torch.eye(3)).requires_grad_()
    value = torch.randn(2, 3).double()
    gradients = [
        torch.autograd.grad(kind(value[0], scale_tril=factor, validate_args=False).log_prob(value).sum(), factor)[0]
        for kind in (FullNormal, MultivariateNormal)
    ]
    assert_close(*gradients)
    assert torch.equal(gradients[0], gradients[0].tril())


def test_the_factor_of_a_family_hands_on_no_more_than_its_numbers():
    family = FullGaussian((3,)).double()
    numbers = torch.randn(2, family.num_parameters, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 3, dtype=torch.float64)
    q = family(numbers)
    (own,) = torch.autograd.grad(q.log_prob(values).sum(), numbers)
    q = family(numbers)
    plain = MultivariateNormal(q.loc, scale_tril=q.scale_tril, validate_args=False)
    assert_close(own, torch.autograd.grad(plain.log_prob(values).sum(), numbers)[0])


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


# Data of any dtype

WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("grad_mode", [True, False])
@pytest.mark.parametrize("dtype", WHOLE + FLOATS)
@pytest.mark.parametrize("row", **named(LIKELIHOODS))
def test_values_of_every_dtype_score_alike(row, dtype, grad_mode):
    family = row.build((4,))
    torch.manual_seed(4)
    numbers, values = torch.randn(3, B, family.num_parameters), torch.randint(0, 2, (B, 4))
    expected = family.double()(numbers.double()).log_prob(values.double()).detach()
    with torch.set_grad_enabled(grad_mode):
        found = family.float()(numbers).log_prob(values.to(dtype))
    assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", [torch.ones(B, 4, dtype=torch.complex64), [[1.0] * 4] * B])
@pytest.mark.parametrize("row", **named(LIKELIHOODS))
def test_values_that_are_not_real_numbers_are_refused(row, values):
    family = row.make((4,))
    with pytest.raises(TypeError, match="data must be a tensor of real numbers, but is"):
        family(torch.zeros(B, family.num_parameters)).log_prob(values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_full_covariances_are_solved_in_float32_in_half_precision(dtype):
    family = FullGaussian((3,), min_std=0.1)
    torch.manual_seed(5)
    numbers = torch.randn(B, family.num_parameters).to(dtype)
    values = torch.randn(2, B, 3).to(dtype)
    q, exact = family(numbers), family.double()(numbers.double())
    for value in (values, values[0]):
        assert q.log_prob(value).dtype == dtype
        assert_close(q.log_prob(value).double(), exact.log_prob(value.double()), rtol=0.05, atol=0.3)
    for other in (FullGaussian((3,)), DiagonalGaussian((3,))):
        p = torch.randn(other.num_parameters).to(dtype)
        for pair, truth in (
            ((q, other(p)), (exact, other.double()(p.double()))),
            ((other(p), q), (other(p.double()), exact)),
        ):
            found = kl_divergence(*pair)
            assert found.dtype == dtype
            assert_close(found.double(), kl_divergence(*truth), rtol=0.05, atol=0.1)
