"""Bounds and gradients of models with discrete latents, against sums over all values of z."""

import pytest
import torch
from torch.testing import assert_close

from helpers.choices import (
    CLASSES,
    LIKELIHOODS,
    PRIORS,
    bernoulli,
    build,
    diagonal,
    every_z,
    learned_bernoulli,
    learned_categorical,
    named,
    one_hot,
)
from vaelab.evaluation import log_marginal_likelihood, score
from vaelab.evaluation.importance import log_weights
from vaelab.evaluation.weight_statistics import pareto_k
from vaelab.objectives import ELBO, IWAE, ELBOMonteCarlo

N, GROUPS, K = 4_096, 32, 2
PAIRS = {bernoulli: (learned_bernoulli, 3), one_hot: (learned_categorical, 2 * CLASSES)}


def model(posterior=bernoulli, likelihood=bernoulli):
    """A model with three bits, or two variables of three classes, and one example."""
    prior, size = PAIRS[posterior]
    vae = build(likelihood, posterior, prior, x_shape=(2,), target_shape=(5,), latents=size)
    torch.manual_seed(1)
    return vae, torch.randn(1, 2).double(), vae.sample(1)


class Sums:
    """The terms of one example, summed over all values of its latents."""

    def __init__(self, vae, x, target):
        z, q = every_z(vae.encoder.family).unsqueeze(1), vae.encode(x)  # (n, 1, p)
        self.log_q, self.log_p = q.log_prob(z).squeeze(1), vae.prior().log_prob(z).squeeze(1)
        self.log_pt_z = vae.log_likelihood(z, target).squeeze(1)
        self.log_w = self.log_pt_z + self.log_p - self.log_q

    @property
    def elbo(self):
        return (self.log_q.exp() * self.log_w).sum()

    @property
    def iw(self):
        """IW₂: over all pairs of values."""
        pairs = torch.logaddexp(self.log_w.unsqueeze(0), self.log_w.unsqueeze(1)) - torch.tensor(2.0).log()
        return ((self.log_q.unsqueeze(0) + self.log_q.unsqueeze(1)).exp() * pairs).sum()

    @property
    def log_marginal(self):
        return (self.log_pt_z + self.log_p).logsumexp(0)


def gradients_of(objective, vae, x, target):
    """-> estimates of the gradient of −loss, (GROUPS, parameters), and the mean of the bound with its error."""
    torch.manual_seed(2)
    terms = objective(vae, x.expand(N, -1), target.expand(N, -1))
    means = terms.bound.view(GROUPS, -1).mean(-1)
    losses = -terms.loss.view(GROUPS, -1).mean(-1)
    found = torch.autograd.grad(losses, list(vae.parameters()), torch.eye(GROUPS).double(), is_grads_batched=True)
    return torch.cat([each.flatten(1) for each in found], 1), means.mean(), means.std() / GROUPS**0.5


ESTIMATORS = {
    "score_function": (ELBO(samples=K, gradient="score_function"), "elbo"),
    "baseline": (ELBO(samples=K, gradient="score_function_baseline"), "elbo"),
    "monte_carlo": (ELBOMonteCarlo(samples=K, gradient="score_function"), "elbo"),
    "monte_carlo_baseline": (ELBOMonteCarlo(samples=K, gradient="score_function_baseline"), "elbo"),
    "iw_score_function": (IWAE(samples=K, gradient="score_function"), "iw"),
    "iw_baseline": (IWAE(samples=K, gradient="score_function_baseline"), "iw"),
    "vimco": (IWAE(samples=K, gradient="vimco"), "iw"),
}


@pytest.mark.parametrize("posterior", **named([bernoulli, one_hot]))
@pytest.mark.parametrize("name", ESTIMATORS)
def test_bound_and_gradient_average_to_those_of_the_sum(name, posterior):
    (objective, of), (vae, x, target) = ESTIMATORS[name], model(posterior)
    exact = getattr(Sums(vae, x, target), of)
    truth = torch.cat([each.flatten() for each in torch.autograd.grad(exact, list(vae.parameters()))])
    found, mean, error = gradients_of(objective, vae, x, target)
    assert (mean - exact).abs() < 4.5 * error
    assert ((found.mean(0) - truth).abs() < 4.5 * found.std(0) / GROUPS**0.5 + 1e-9).all()
    assert truth.abs().sum() > 0


def test_a_baseline_lowers_the_variance():
    vae, x, target = model()
    own = slice(0, sum(each.numel() for each in vae.encoder.parameters()))
    for with_baseline, without in (("baseline", "score_function"), ("vimco", "iw_score_function")):
        found = [gradients_of(ESTIMATORS[name][0], vae, x, target)[0][:, own] for name in (with_baseline, without)]
        assert found[0].var(0).sum() < 0.5 * found[1].var(0).sum()


@pytest.mark.parametrize("posterior", **named([bernoulli, one_hot]))
def test_gumbel_softmax_reports_the_bound_of_discrete_draws(posterior):
    vae, x, target = model(posterior)
    found, mean, error = gradients_of(ELBO(gradient="gumbel_softmax"), vae, x, target)
    assert (mean - Sums(vae, x, target).elbo).abs() < 4.5 * error
    assert found.isfinite().all()
    assert (found.abs().sum(0) > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("posterior", **named([bernoulli, one_hot]))
def test_importance_sampling_finds_the_exact_log_marginal(posterior):
    vae, x, target = model(posterior)
    exact = Sums(vae, x, target).log_marginal
    torch.manual_seed(3)
    log_w = log_weights(vae, x, target, 20_001).log_w
    error = (log_w - exact).exp().std() / len(log_w) ** 0.5
    assert (log_marginal_likelihood(vae, x, target, 20_001) - exact).abs() < 5 * error
    terms = score(vae, [(x, target)], samples=5_001)
    assert_close(terms["iw_1"], Sums(vae, x, target).elbo.view(1), rtol=0, atol=0.2)
    assert all(values.isfinite().all() for values in terms.values())


def test_weights_of_which_many_are_the_largest_can_be_trusted():
    """A few discrete latents give few different weights. The largest is then known, so the mean is."""
    log_w = torch.tensor([0.0, -1.0, -3.0]).double().repeat(2_000).view(-1, 1) + 1e-7 * torch.randn(6_000, 1)
    assert pareto_k(log_w) == 0
    assert pareto_k(torch.randn(6_000, 1, generator=torch.Generator().manual_seed(4)) * 4) > 0.7


@pytest.mark.parametrize("objective", [ELBO(), ELBOMonteCarlo(gradient="stl"), IWAE(samples=K), IWAE(gradient="dreg")])
def test_a_gradient_through_the_draws_is_refused_with_the_cure(objective):
    with pytest.raises(ValueError, match=r"objective\.gradient.*use objective\.gradient=.*gumbel_softmax"):
        objective.check(model()[0])


def test_gumbel_softmax_is_refused_for_real_latents():
    with pytest.raises(ValueError, match=r"objective\.gradient.*gumbel_softmax.*discrete"):
        ELBO(gradient="gumbel_softmax").check(build(LIKELIHOODS[0], diagonal))


def test_a_discrete_posterior_needs_a_prior_of_its_kind():
    with pytest.raises(ValueError, match=r"prior's z must be binary.*prior=bernoulli"):
        build(LIKELIHOODS[0], bernoulli, PRIORS[0])
    with pytest.raises(ValueError, match=r"prior's z must be category.*prior=categorical"):
        build(LIKELIHOODS[0], one_hot, PRIORS[0])
