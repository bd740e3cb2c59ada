import itertools

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.priors import StandardNormal

P, B, L = 5, 7, 3
KINDS = ["diagonal", "full"]
PAIRS = list(itertools.product(KINDS, repeat=2))
BATCHES = [((B,), ()), ((), (B,)), ((L, B), ()), ((L, B), (B,)), ((), ())]


def gaussian(kind, *batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loc, log_std = torch.randn(2, *batch, P, generator=generator, dtype=torch.float64)
    if kind == "diagonal":
        return Independent(Normal(loc, log_std.exp()), 1)
    lower = torch.randn(*batch, P, P, generator=generator, dtype=torch.float64).tril(-1)
    return MultivariateNormal(loc, scale_tril=lower + torch.diag_embed(log_std.exp()))


def covariance_of(distribution):
    if isinstance(distribution, MultivariateNormal):
        return distribution.covariance_matrix
    return torch.diag_embed(distribution.variance)


def as_full(distribution):
    return MultivariateNormal(distribution.mean, covariance_of(distribution))


def dense_kl(q, p):
    """The tutorial's eq. 19 with inverses and determinants, in numpy."""
    mean1, mean2, covariance1, covariance2 = (x.numpy() for x in [q.mean, p.mean, covariance_of(q), covariance_of(p)])
    precision2, shift = np.linalg.inv(covariance2), mean1 - mean2
    log_ratio = np.log(np.linalg.det(covariance2) / np.linalg.det(covariance1))
    trace = np.trace(precision2 @ covariance1, axis1=-2, axis2=-1)
    square = np.einsum("...i,...ij,...j->...", shift, precision2, shift)
    return torch.from_numpy(np.asarray(0.5 * (log_ratio - P + trace + square)))


@pytest.mark.parametrize(("q_kind", "p_kind"), PAIRS)
@pytest.mark.parametrize(("q_batch", "p_batch"), BATCHES)
def test_kl_is_the_dense_formula(q_kind, p_kind, q_batch, p_batch):
    q, p = gaussian(q_kind, *q_batch, seed=1), gaussian(p_kind, *p_batch, seed=2)
    divergence = kl_divergence(q, p)
    assert divergence.shape == torch.broadcast_shapes(q_batch, p_batch)
    assert divergence.min() > 0
    assert_close(divergence, dense_kl(q, p), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("q_kind", "p_kind"), PAIRS)
def test_kl_is_that_of_torch_between_full_gaussians(q_kind, p_kind):
    q, p = gaussian(q_kind, B, seed=3), gaussian(p_kind, seed=4)
    assert_close(kl_divergence(q, p), kl_divergence(as_full(q), as_full(p)), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("q_kind", "p_kind"), PAIRS)
def test_kl_is_the_mean_log_ratio_of_draws(q_kind, p_kind):
    q, p, n = gaussian(q_kind, B, seed=5), gaussian(p_kind, seed=6), 10_001
    torch.manual_seed(7)
    z = q.sample((n,))
    log_ratio = q.log_prob(z) - p.log_prob(z)  # (n, B)
    error = (log_ratio.mean(0) - kl_divergence(q, p)).abs()
    assert (error < 4 * log_ratio.std(0) / n**0.5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_kl_to_the_standard_normal_is_the_short_formula(kind):
    q, p = gaussian(kind, L, B, seed=8), StandardNormal((P,)).double()()
    mean, covariance = q.mean, covariance_of(q)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    expected = 0.5 * (-covariance.logdet() - P + trace + mean.square().sum(-1))
    assert_close(kl_divergence(q, p), expected, rtol=1e-10, atol=1e-10)
    if kind == "diagonal":
        by_dimension = 0.5 * (-1 - q.variance.log() + q.variance + mean.square())
        assert_close(kl_divergence(q, p), by_dimension.sum(-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("q_kind", "p_kind"), PAIRS)
def test_kl_of_equal_gaussians_is_zero(q_kind, p_kind):
    diagonal = gaussian("diagonal", B, seed=9)
    same = {"diagonal": diagonal, "full": as_full(diagonal)}
    assert_close(kl_divergence(same[q_kind], same[p_kind]), torch.zeros(B, dtype=torch.float64), rtol=0, atol=1e-12)


def test_kl_of_a_full_gaussian_with_itself_is_zero():
    q = gaussian("full", B, seed=10)
    assert_close(kl_divergence(q, q), torch.zeros(B, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("q_family", [DiagonalGaussian, FullGaussian])
@pytest.mark.parametrize("p_family", [DiagonalGaussian, FullGaussian])
def test_kl_between_families_is_the_dense_formula_and_its_gradient_that_of_finite_differences(q_family, p_family):
    q_family, p_family = q_family((P,)), p_family((P,))
    generator = torch.Generator().manual_seed(11)
    q_numbers = torch.randn(3, q_family.num_parameters, generator=generator, dtype=torch.float64)
    p_numbers = torch.randn(p_family.num_parameters, generator=generator, dtype=torch.float64)
    q, p = q_family(q_numbers), p_family(p_numbers)
    assert_close(kl_divergence(q, p), dense_kl(q, p), rtol=1e-9, atol=1e-10)
    numbers = [q_numbers.requires_grad_(), p_numbers.requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, b: kl_divergence(q_family(a), p_family(b)), numbers)


def test_kl_of_a_nearly_degenerate_gaussian_keeps_its_digits():
    q, p = gaussian("full", seed=12), gaussian("diagonal", seed=13)
    narrow = MultivariateNormal(q.loc, scale_tril=1e-6 * q.scale_tril)
    log_ratio = p.stddev.log().sum() - narrow.scale_tril.diagonal().log().sum()
    square = ((q.loc - p.mean) / p.stddev).square().sum()
    assert_close(kl_divergence(narrow, p), log_ratio + 0.5 * (square - P), rtol=1e-9, atol=0)  # the trace is near 1e-12


def image(*batch):
    return Independent(Normal(torch.zeros(*batch, 1, P), torch.ones(*batch, 1, P)), 2)


@pytest.mark.parametrize(
    "other", [Independent(Bernoulli(logits=torch.zeros(B, P)), 1), image(B), FullGaussian((1, P))(torch.zeros(B, 20))]
)
def test_a_pair_without_a_closed_form_is_an_error(other):
    full = FullGaussian((P,))(torch.zeros(20))
    for pair in [(other, full), (full, other)]:
        with pytest.raises(NotImplementedError):
            kl_divergence(*pair)
