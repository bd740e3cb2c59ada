"""Counts how often a mean ± two standard errors contains the truth, over new test sets."""

from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from vaelab import VAE
from vaelab.evaluation import exact_log_marginal, iw_bound, log_weights
from vaelab.evaluation.importance import log_mean
from vaelab.evaluation.report import mean_and_stderr
from vaelab.families import DiagonalGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

SETS, N, K, P = 400, 50, 5, 3


@pytest.fixture(scope="module")
def scored():
    """Terms of SETS test sets of N examples each, (SETS, N), drawn from the linear model itself, and its entropy."""
    torch.manual_seed(1)
    network = partial(MLP, hidden=[])
    vae = VAE.build((K,), DiagonalGaussian((P,)), IdentityGaussian((K,)), StandardNormal((P,)), network).double()
    w, b = (parameter.detach() for parameter in vae.decoder.network.parameters())
    generator = MultivariateNormal(b, w @ w.T + torch.eye(K, dtype=torch.float64))
    x = generator.sample((SETS * N,))
    weights, kl = log_weights(vae, x, x, 20), kl_divergence(vae.encode(x), vae.prior()).detach()
    terms = {
        "nll": -log_mean(weights.log_w),
        "elbo": weights.log_likelihood.mean(0) - kl,
        "log_likelihood": weights.log_likelihood.mean(0),
        "kl": kl,
        "iw_1": iw_bound(weights.log_w, 1),
        "iw_5": iw_bound(weights.log_w, 5),
        "exact_nll": -exact_log_marginal(vae, x),
        "regret_paired": generator.log_prob(x) - log_mean(weights.log_w),
    }
    return {name: values.view(SETS, N) for name, values in terms.items()}, generator.entropy().item()


@pytest.mark.parametrize("name", ["nll", "elbo", "log_likelihood", "kl", "iw_1", "iw_5", "regret_paired"])
def test_two_standard_errors_contain_the_mean_over_all_examples(name, scored):
    """The mean is over 20,000 examples, so its own error is a twentieth of the error of a set."""
    terms, _ = scored
    assert 0.91 < coverage(terms[name], terms[name].mean().item(), name) < 0.98


def test_two_standard_errors_contain_the_entropy_of_the_generator(scored):
    terms, entropy = scored
    assert 0.91 < coverage(terms["exact_nll"], entropy, "exact_nll") < 0.98


def test_standard_errors_do_not_cover_the_gap_of_a_bound(scored):
    """With 20 draws of a poor posterior −log p̂ lies above −log p(t), and its standard error does not cover that."""
    terms, entropy = scored
    bias = terms["nll"].mean() - terms["exact_nll"].mean()
    assert bias > 0.05
    assert coverage(terms["nll"], entropy, "nll") < 0.91


def coverage(values, truth, name):
    """The share of the sets whose interval contains the truth."""
    hits = 0
    for row in values:
        numbers = mean_and_stderr(name, row)
        hits += abs(numbers[name] - truth) <= 1.96 * numbers[f"{name}_stderr"]
    return hits / len(values)
