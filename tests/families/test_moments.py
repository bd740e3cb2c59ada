"""Estimated means and standard deviations: their errors, and that nothing else changes."""

import pytest
import torch
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

from vaelab.families import EstimatedMoments, FullGaussian, rsample_and_log_prob, with_moments
from vaelab.families.flow import ShiftedFlow

B, P = 7, 3


class Unknown(Distribution):
    """A Gaussian that hides its moments, and records how much is drawn at once."""

    has_rsample = True
    largest = 0

    def __init__(self, loc, scale):
        self.known = Independent(Normal(loc, scale), 1)
        super().__init__(self.known.batch_shape, self.known.event_shape, validate_args=False)

    def rsample(self, sample_shape=()):
        return self.known.rsample(torch.Size(sample_shape))

    def log_prob(self, value):
        return self.known.log_prob(value)

    def sample(self, sample_shape=()):
        draws = super().sample(torch.Size(sample_shape))
        self.largest = max(self.largest, draws.numel())
        return draws


def unknown(*shape):
    generator = torch.Generator().manual_seed(1)
    loc, log_std = torch.randn(2, *shape, generator=generator).double()
    return Unknown(10 * loc, log_std.exp())


def test_the_error_is_of_the_stated_size():
    q = unknown(400, P)
    estimated = EstimatedMoments(q)
    loc, scale = q.known.base_dist.loc, q.known.base_dist.scale
    assert estimated.moments_by == "1000 draws"
    assert ((estimated.mean - loc) / scale).square().mean().sqrt().item() == pytest.approx(0.0316, rel=0.1)
    assert (estimated.stddev / scale - 1).square().mean().sqrt().item() == pytest.approx(0.0224, rel=0.1)


def test_the_estimate_is_the_same_each_time_and_other_draws_stay_as_they_were():
    first = EstimatedMoments(unknown(B, P))
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    moments = first.mean, first.stddev
    assert torch.equal(torch.rand(4), expected)
    again = EstimatedMoments(unknown(B, P))
    assert torch.equal(again.mean, moments[0])
    assert torch.equal(again.stddev, moments[1])
    other = EstimatedMoments(unknown(B, P), draws=50, seed=1)
    assert other.moments_by == "50 draws"
    assert not torch.equal(other.mean, moments[0])


def test_images_are_drawn_a_few_at_a_time():
    q = unknown(20, 784)
    estimated = EstimatedMoments(q)
    error = (estimated.mean - q.known.base_dist.loc) / q.known.base_dist.scale
    assert q.largest <= 2**22  # 1,000 draws at once would be 16 million numbers
    assert error.abs().max() < 6 / 1_000**0.5


def test_draws_and_densities_are_the_distributions_own():
    q = unknown(B, P)
    estimated = EstimatedMoments(q)
    assert (estimated.batch_shape, estimated.event_shape, estimated.has_rsample) == ((B,), (P,), True)
    for draw in ("sample", "rsample"):
        torch.manual_seed(6)
        z = getattr(estimated, draw)((5,))
        torch.manual_seed(6)
        assert torch.equal(z, getattr(q, draw)((5,)))
    torch.manual_seed(6)
    both, log_q = rsample_and_log_prob(estimated, 5)
    assert torch.equal(both, z)
    assert_close(log_q, q.log_prob(z))
    assert_close(estimated.log_prob(z), log_q)


def test_moments_in_closed_form_are_left_alone():
    for known in (FullGaussian((2, 3))(torch.zeros(B, 27)), Independent(Normal(torch.zeros(B, P), 1.0), 1)):
        assert with_moments(known) is known
    assert isinstance(with_moments(unknown(B, P)), EstimatedMoments)
    assert isinstance(with_moments(ShiftedFlow(None, torch.zeros(B, P), torch.ones(B, P))), EstimatedMoments)


def test_a_mixture_of_distributions_without_moments_says_that_its_own_are_estimated():
    weights = torch.distributions.Categorical(logits=torch.zeros(B))
    mixture = with_moments(MixtureSameFamily(weights, EstimatedMoments(unknown(B, P)), validate_args=False))
    assert mixture.moments_by == "1000 draws"
    assert mixture.mean.shape == (P,)
