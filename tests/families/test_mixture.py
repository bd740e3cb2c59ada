"""A mixture of Gaussians as a posterior: its stratified draws against quadrature."""

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from helpers.choices import SCALES, P
from vaelab.families import DiagonalGaussian, GaussianMixture

K, L, B = 3, 5, 4


def mixture(p, *leading):
    family = GaussianMixture((p,), components=K, **SCALES).double()
    numbers = torch.randn(*leading, family.num_parameters, generator=torch.Generator().manual_seed(1)).double()
    return family, numbers


def test_it_is_the_weighted_sum_of_its_gaussians():
    family, numbers = mixture(P, B)
    z = torch.randn(L, B, P).double()
    each = DiagonalGaussian((P,), **SCALES).double()
    means, h = numbers[:, K:].view(B, 2, K, P).unbind(1)
    parts = each(torch.cat([means, h], -1)).log_prob(z.unsqueeze(2)).exp()  # (L, B, K)
    expected = (numbers[:, :K].softmax(-1) * parts).sum(-1).log()
    assert_close(family(numbers).log_prob(z), expected)


def test_stratified_draws_are_as_many_of_each_component_and_their_shares_sum_to_one():
    family, numbers = mixture(P, B)
    q = family(numbers)
    z, log_share = q.stratified_rsample(L)
    assert z.shape == (K * L, B, P)
    assert_close(log_share.view(K, L, B), (numbers[:, :K].softmax(-1) / L).log().T.unsqueeze(1).expand(K, L, B))
    assert_close(log_share.exp().sum(0), torch.ones(B).double())
    many = q.stratified_rsample(10_001)[0].view(K, -1, B, P)
    error = 4.5 * q.component_distribution.stddev / 10_001**0.5  # (B, K, P)
    assert ((many.mean(1).movedim(0, 1) - q.component_distribution.mean).abs() < error).all()


def test_the_stratified_mean_and_its_gradient_are_the_integrals():
    """E_q[f] and ∇ E_q[f] for f = sin(2z) + z², by the trapezoidal rule."""
    family, numbers = mixture(1)
    numbers.requires_grad_()

    def f(z):
        return ((2 * z).sin() + z.square()).squeeze(-1)

    grid = torch.linspace(-12, 12, 40_001).double().unsqueeze(-1)
    exact = torch.trapezoid(family(numbers).log_prob(grid).exp() * f(grid), grid.squeeze(-1))
    (slope,) = torch.autograd.grad(exact, numbers)
    groups, n = 64, 256
    torch.manual_seed(2)
    many = numbers.expand(groups, -1)
    z, log_share = family(many).stratified_rsample(n)
    each = (log_share.exp() * f(z)).sum(0)  # (groups,)
    assert (each.mean() - exact).abs() < 4.5 * each.std() / groups**0.5
    (found,) = torch.autograd.grad(each, numbers, torch.eye(groups).double(), is_grads_batched=True)
    assert ((found.mean(0) - slope).abs() < 4.5 * found.std(0) / groups**0.5 + 1e-9).all()
    assert (slope != 0).all()


def test_draws_have_the_density():
    family, numbers = mixture(1)
    q = family(numbers)
    torch.manual_seed(3)
    draws = q.sample((4_001,))
    grid = torch.linspace(-15, 15, 100_001).double()
    cdf = torch.cumulative_trapezoid(q.log_prob(grid.unsqueeze(-1)).exp(), grid)
    places = torch.searchsorted(grid, draws.flatten()) - 1
    assert stats.kstest(cdf[places.clamp(max=len(cdf) - 1)].numpy(), "uniform").pvalue > 1e-3
    assert draws.shape == (4_001, 1)
    assert not draws.requires_grad


def test_one_component_is_its_gaussian():
    family, one = GaussianMixture((P,), components=1, **SCALES), DiagonalGaussian((P,), **SCALES)
    numbers, z = torch.randn(B, 1 + 2 * P), torch.randn(L, B, P)
    assert_close(family(numbers).log_prob(z), one(numbers[:, 1:]).log_prob(z))


def test_it_starts_at_the_mean_of_the_data():
    family = GaussianMixture((2, 3), components=K, **SCALES)
    mean = torch.randn(2, 3)
    q = family(family.at_mean(mean))
    assert_close(q.mean, mean)
    assert q.sample((L,)).shape == (L, 2, 3)


@pytest.mark.parametrize("components", [0, 2.5, "3", None])
def test_a_number_of_components_that_is_none_is_refused(components):
    with pytest.raises(ValueError, match="components must be a whole number"):
        GaussianMixture((P,), components=components)
