"""A mixture prior starts spread out, and takes every Gaussian family."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch.testing import assert_close

from helpers.choices import SCALES, full, std
from vaelab.families import Bernoulli, DiagonalGaussian, Flow, FullGaussian, IdentityGaussian
from vaelab.priors import MixturePrior

P, K = 3, 5


def test_it_starts_with_equal_weights_and_means_that_are_draws_from_the_normal():
    torch.manual_seed(1)
    prior = MixturePrior(DiagonalGaussian((2,), **SCALES), components=1_001)
    p = prior()
    assert_close(p.mixture_distribution.probs, torch.full((1_001,), 1 / 1_001))
    means = p.component_distribution.mean.detach()
    assert stats.kstest(means.flatten(), "norm").pvalue > 1e-3
    assert_close(p.component_distribution.stddev, torch.full((1_001, 2), float(std(0))))


def test_components_with_full_covariances_are_scipys():
    prior = MixturePrior(FullGaussian((P,), **SCALES), components=K).double()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter)
    z = torch.randn(7, P).double()
    parts = [full.truth(prior.family, numbers).logpdf(z) for numbers in prior.numbers.detach().numpy()]
    expected = logsumexp(np.stack(parts), axis=0, b=prior.logits.softmax(-1).detach().numpy()[:, None])
    assert_close(prior().log_prob(z).detach().numpy(), expected, rtol=1e-10, atol=1e-10)


def test_the_density_has_a_gradient_to_every_number():
    prior = MixturePrior(DiagonalGaussian((P,), **SCALES), components=K)
    for gradient in torch.autograd.grad(prior().log_prob(torch.randn(31, P)).sum(), [*prior.parameters()]):
        assert gradient.isfinite().all()
        assert gradient.all()


def test_one_component_is_its_family():
    family = IdentityGaussian((P,), std=0.3)
    prior, z = MixturePrior(family, components=1), torch.randn(7, P)
    assert_close(prior().log_prob(z), family(prior.numbers[0]).log_prob(z))


@pytest.mark.parametrize("components", [0, -1, 2.5, "3", None])
def test_a_number_of_components_that_is_none_is_refused(components):
    with pytest.raises(ValueError, match=r"prior\.components"):
        MixturePrior(DiagonalGaussian((P,)), components=components)


@pytest.mark.parametrize("family", [Flow, Bernoulli])
def test_a_family_that_is_no_gaussian_is_refused(family):
    with pytest.raises(ValueError, match=r"prior\.family must be a Gaussian family, but is .*; use vaelab"):
        MixturePrior(family((P,)), components=K)


def test_a_prior_of_many_components_is_described_without_memory():
    """A hostile run's config is built on the meta device, so nothing may take time for each component."""
    with torch.device("meta"):
        assert MixturePrior(DiagonalGaussian((P,)), components=10**9).numbers.shape == (10**9, 2 * P)
