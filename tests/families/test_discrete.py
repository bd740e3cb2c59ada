"""Discrete latents against enumeration, χ², torch's distributions, and the limits of their relaxation."""

import pytest
import torch
from scipy import stats
from torch.distributions import OneHotCategorical as TorchOneHot
from torch.distributions import kl_divergence
from torch.testing import assert_close

from helpers.choices import CLASSES, bernoulli, every_z, named, one_hot
from vaelab.families import Bernoulli, OneHotCategorical, closed_form_kl
from vaelab.priors import DiscretePrior, LearnedPrior

B, D = 5, 2
ROWS = [bernoulli, one_hot]
every_family = pytest.mark.parametrize("row", **named(ROWS))


def posterior(row, *leading, seed=1):
    family = row.make((D * row.unit,)).double()
    numbers = torch.randn(*leading, family.num_parameters, generator=torch.Generator().manual_seed(seed)).double()
    return family, 2 * numbers


def expectation(q, z, values):
    """Σ_z q(z) f(z): values (n, …) at all z (n, p)."""
    return (q.log_prob(z.view(len(z), *[1] * len(q.batch_shape), -1)).exp() * values).sum(0)


@every_family
def test_the_probabilities_of_all_values_sum_to_one_and_give_mean_variance_and_entropy(row):
    family, numbers = posterior(row, B)
    q, z = family(numbers), every_z(family)
    each = z.unsqueeze(1)  # (n, 1, p)
    log_q = q.log_prob(each)
    assert_close(log_q.exp().sum(0), torch.ones(B).double())
    assert_close(q.entropy(), -(log_q.exp() * log_q).sum(0))
    mean = (log_q.exp().unsqueeze(-1) * each).sum(0)
    assert_close(q.mean, mean)
    assert_close(q.variance, (log_q.exp().unsqueeze(-1) * (each - mean).square()).sum(0))
    assert_close(q.log_prob(q.mode), log_q.amax(0))


def test_joined_one_hot_vectors_have_the_log_probabilities_of_torch():
    family, numbers = posterior(one_hot, B)
    q, z = family(numbers), every_z(family)
    torchs = TorchOneHot(logits=numbers.view(B, D, CLASSES))
    assert_close(q.log_prob(z.unsqueeze(1)), torchs.log_prob(z.view(-1, 1, D, CLASSES)).sum(-1))
    assert (family.latent_dim, family.event_shape, family.support) == (D, (D * CLASSES,), "category")


@every_family
@pytest.mark.parametrize("relaxed", [False, True])
def test_draws_have_their_probabilities(row, relaxed):
    """χ² of 4,001 draws over all values; a straight-through draw is a draw of the distribution itself."""
    family, numbers = posterior(row)
    q, z, n = family(numbers / 3), every_z(family), 4_001
    torch.manual_seed(2)
    draws = q.relaxed_rsample((n,), 0.7) if relaxed else q.sample((n,))
    counts = (draws.unsqueeze(1) == z).all(-1).sum(0)
    assert counts.sum() == n  # every draw is one of the values
    assert stats.chisquare(counts, n * q.log_prob(z).exp()).pvalue > 1e-3


@every_family
@pytest.mark.parametrize("learned", [False, True])
def test_the_kl_is_the_sum_over_all_values(row, learned):
    family, numbers = posterior(row, B)
    prior = DiscretePrior(family, learned=learned)
    assert len(list(prior.parameters())) == learned
    assert prior.support == family.support
    if learned:
        assert_close(prior().mean, DiscretePrior(family)().mean)  # it starts uniform
        torch.nn.init.normal_(prior.numbers)
    q, p, z = family(numbers), prior.double()(), every_z(family)
    log_ratio = q.log_prob(z.unsqueeze(1)) - p.log_prob(z.unsqueeze(1))
    assert_close(kl_divergence(q, p), expectation(q, z, log_ratio))
    assert_close(closed_form_kl(q, p), kl_divergence(q, p))
    assert torch.autograd.gradcheck(lambda n: kl_divergence(family(n), p), (numbers.requires_grad_(),))


@every_family
def test_the_kl_of_certain_latents_is_finite_and_differentiable(row):
    family, _ = posterior(row)
    numbers = (300 * torch.linspace(-1, 1, family.num_parameters)).requires_grad_()
    kl = kl_divergence(family(numbers), DiscretePrior(family)())
    assert_close(kl.item(), D * torch.tensor(float(2 if row is bernoulli else CLASSES)).log().item())
    assert torch.autograd.grad(kl, numbers)[0].isfinite().all()


@every_family
def test_a_relaxed_draw_has_the_gradient_of_its_relaxation(row):
    """It is finite at every temperature, and its mean nears ∇ E[f] as the temperature falls, for a linear f."""
    family, numbers = posterior(row)
    numbers = (numbers / 3).requires_grad_()
    weight = torch.linspace(-1, 2, family.event_size).double()
    (exact,) = torch.autograd.grad((family(numbers).mean * weight).sum(), numbers)
    errors = []
    for temperature in (10.0, 1.0, 0.1, 1e-3):
        torch.manual_seed(3)
        draws = family(numbers).relaxed_rsample((40_001,), temperature)
        (found,) = torch.autograd.grad((draws * weight).sum(-1).mean(), numbers)
        assert found.isfinite().all()
        errors.append((found - exact).abs().max().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


@every_family
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_relaxed_draws_are_finite_in_half_precision(row, dtype):
    family, numbers = posterior(row, 4_001)
    numbers = numbers.to(dtype).requires_grad_()
    torch.manual_seed(4)
    draws = family(numbers).relaxed_rsample((1,), 0.5)
    assert draws.dtype == dtype
    assert draws.unique().tolist() == [0, 1]
    assert torch.autograd.grad(draws.sum(-1).square().sum(), numbers)[0].isfinite().all()


def test_equally_likely_bits_have_a_mode():
    assert Bernoulli((3,))(torch.tensor([0.0, 2.0, -2.0])).mode.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("latent_dim", "categories", "said"),
    [(0, 3, r"latent_dim .* is 0"), (2, 1, r"categories .* is 1"), (2, 2.5, r"categories .* is 2\.5")],
)
def test_sizes_that_make_no_sense_are_refused(latent_dim, categories, said):
    with pytest.raises(ValueError, match=said):
        OneHotCategorical(latent_dim, categories)


def test_a_prior_is_uniform_or_learned():
    with pytest.raises(ValueError, match=r"prior\.learned must be true or false, but is 'yes'"):
        DiscretePrior(Bernoulli((3,)), learned="yes")
    assert LearnedPrior(Bernoulli((3,)))().mean.tolist() == [0.5] * 3
