"""The start of the Gaussian priors, and what they learn."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.priors import LearnedPrior, StandardNormal

P, B = 3, 7


def test_the_standard_normal_has_nothing_to_learn_or_to_save():
    prior = StandardNormal((P,))
    assert not list(prior.parameters())
    assert not prior.state_dict()


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
def test_a_learned_prior_starts_at_n_0_i_beside_its_floor(family):
    for min_std in (0, 0.1):
        prior = LearnedPrior(family((P,), min_std=min_std, init_std=1.0)).double()
        z = torch.linspace(-1, 3, B * P, dtype=torch.float64).view(B, P)
        covariance = (1 + min_std**2) * torch.eye(P, dtype=torch.float64)
        expected = MultivariateNormal(torch.zeros(P, dtype=torch.float64), covariance).log_prob(z)
        assert_close(prior().log_prob(z), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
def test_a_learned_prior_learns_the_moments_of_the_latents(family):
    prior = LearnedPrior(family((P,), init_std=1.0)).double()
    target = MultivariateNormal(
        torch.tensor([1.0, -2, 0.5], dtype=torch.float64),
        scale_tril=torch.tensor([[0.5, 0, 0], [0.3, 1, 0], [-0.4, 0.2, 2]], dtype=torch.float64),
    )
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        divergence = kl_divergence(target, prior())
        divergence.backward()
        return divergence

    start = loss().item()
    optimizer.step(loss)
    assert loss().item() < start
    assert_close(prior().mean, target.mean, rtol=0, atol=1e-3)
    assert_close(prior().variance, target.variance, rtol=0, atol=1e-3)
