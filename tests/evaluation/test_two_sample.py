"""Two-sample tests: their level and power by simulation, and what they say about a model's draws."""

import math

import pytest
import torch
from scipy.stats import binom

from helpers.choices import bernoulli, build, diagonal, standard
from vaelab import VAE, families, networks, priors
from vaelab.data import DataModule
from vaelab.evaluation import classifier_test, compare_draws, evaluate, mmd_test

REPEATS, N, M = 300, 60, 51


def within_level(p_values, level):
    """Whether as many p-values are below a level as chance allows (or fewer, for a conservative test)."""
    return sum(p <= level for p in p_values) <= binom.ppf(0.9999, len(p_values), level)


def test_the_kernel_test_keeps_its_level_and_finds_a_difference():
    null = [mmd_test(torch.randn(N, 3), torch.randn(M, 3), 99, seed).p_value for seed in range(REPEATS)]
    for level in (0.05, 0.2):
        assert within_level(null, level)
        assert sum(p <= level for p in null) >= binom.ppf(0.0001, REPEATS, level)
    wide = [mmd_test(torch.randn(N, 3), 1.6 * torch.randn(M, 3), 99, seed).p_value for seed in range(40)]
    assert sum(p <= 0.05 for p in wide) > 20


def test_the_classifier_test_keeps_its_level_and_finds_a_difference():
    repeats = 60
    null = [classifier_test(torch.randn(N, 3), torch.randn(N, 3), seed) for seed in range(repeats)]
    for level in (0.05, 0.2):
        assert within_level([test.p_value for test in null], level)
    assert sum(test.low <= 0.5 <= test.high for test in null) >= binom.ppf(0.0001, repeats, 0.95)
    found = [classifier_test(torch.randn(N, 3), torch.randn(N, 3) + 1, seed).p_value for seed in range(10)]
    assert sum(p <= 0.05 for p in found) >= 9


@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.93])
def test_the_interval_of_an_accuracy_covers_it(accuracy):
    from scipy.stats import binomtest

    n = 60
    inside = 0.0
    for right in range(n + 1):
        interval = binomtest(right, n).proportion_ci(method="wilson")
        inside += binom.pmf(right, n, accuracy) * (interval.low <= accuracy <= interval.high)
    assert 0.93 < inside < 0.98


def test_mmd_is_its_formula_whatever_the_labels():
    a, b = torch.randn(7, 2).double(), torch.randn(5, 2).double() + 1
    test = mmd_test(a, b, permutations=3)

    def k(u, v):
        return math.exp(-float((u - v).square().sum()) / (2 * test.bandwidth**2))

    pairs = [k(u, v) for i, u in enumerate(a) for j, v in enumerate(a) if i != j]
    others = [k(u, v) for i, u in enumerate(b) for j, v in enumerate(b) if i != j]
    across = [k(u, v) for u in a for v in b]
    truth = sum(pairs) / len(pairs) + sum(others) / len(others) - 2 * sum(across) / len(across)
    assert test.mmd2 == pytest.approx(truth, abs=1e-9)
    assert test.bandwidth == pytest.approx(torch.nn.functional.pdist(torch.cat([a, b])).median().item())
    assert 4 * test.p_value == round(4 * test.p_value)  # the observed one and 3 permutations


def test_equal_points_and_constant_numbers_are_no_trouble():
    assert mmd_test(torch.zeros(9, 2), torch.zeros(8, 2)).p_value == 1
    test = classifier_test(torch.zeros(30, 2), torch.zeros(30, 2))
    assert test.low < 0.5 < test.high
    with pytest.raises(
        ValueError, match="both sets must have the same number of examples, at least 2, but have 9 and 8"
    ):
        classifier_test(torch.zeros(9, 2), torch.zeros(8, 2))
    with pytest.raises(ValueError, match="both sets must have at least 2 examples, but have 1 and 8"):
        mmd_test(torch.zeros(1, 2), torch.zeros(8, 2))


class Rows(DataModule):
    x_shape = target_shape = (4,)
    eval_batch_size = 97

    def __init__(self, rows):
        super().__init__()
        self.test = rows


def linear_model(prior_mean):
    """t = z₁ + z₂ + …, with a prior that is too far to one side by `prior_mean`."""
    torch.manual_seed(0)
    parts = families.DiagonalGaussian((2,)), families.IdentityGaussian((4,), std=0.5), priors.StandardNormal((2,))
    vae = VAE.build((4,), *parts, lambda shape, outputs: networks.MLP(shape, outputs, hidden=[]))
    good = vae.sample(400)
    w = vae.decoder.network.layers[-1].weight.detach()
    posterior = torch.linalg.inv(torch.eye(2) + w.T @ w / 0.25)
    layer = vae.encoder.network.layers[-1]
    layer.weight.data.zero_()
    layer.weight.data[:2] = posterior @ w.T / 0.25
    layer.bias.data.zero_()
    layer.bias.data[:2] = -posterior @ w.T / 0.25 @ vae.decoder.network.layers[-1].bias.detach()
    spread = posterior.diagonal() - 0.01**2
    layer.bias.data[2:] = (spread / 0.2**2).log()
    vae.prior.zeros += prior_mean
    return vae, Rows(good)


def test_a_prior_in_the_wrong_place_shows_in_draws_but_not_in_those_of_the_aggregate_posterior():
    vae, data = linear_model(0.0)
    fine = compare_draws(vae, data, "test")
    assert fine["draws_compared"] == 200
    assert fine["draws_mmd2_p"] > 0.01
    assert fine["draws_accuracy_low"] < 0.5
    vae, data = linear_model(2.0)
    bad = compare_draws(vae, data, "test")
    assert bad["draws_mmd2_p"] < 0.01
    assert bad["draws_accuracy_low"] > 0.6
    assert bad["aggregate_draws_mmd2_p"] > 0.01
    assert bad["aggregate_draws_accuracy_low"] < 0.5


def test_few_examples_are_not_compared_and_the_other_numbers_stay_the_same():
    vae, data = linear_model(0.0)
    assert compare_draws(vae, Rows(data.test[:99]), "test") == {}
    small = Rows(data.test[:120])
    torch.manual_seed(1)
    plain = evaluate(vae, small, samples=3)
    torch.manual_seed(1)
    more = evaluate(vae, small, samples=3, draws=70)
    assert more["draws_compared"] == 60
    assert plain == {key: value for key, value in more.items() if "draws_" not in key}


def test_a_conditional_model_draws_under_the_conditions_of_examples():
    vae = build(bernoulli, diagonal, standard, x_shape=(2,), target_shape=(4, 1), condition_size=3).float()
    n = 130
    conditions = torch.nn.functional.one_hot(torch.arange(n) % 3).float()
    data = Rows((torch.randn(n, 2), vae.sample(n, conditions)))
    data.conditions = {"test": conditions}
    found = compare_draws(vae, data, "test")
    assert found["draws_compared"] == 65
    assert found["draws_accuracy_low"] <= found["draws_accuracy"] <= found["draws_accuracy_high"]
    shuffled = Rows(data.test)
    shuffled.conditions = {"test": conditions.roll(1, 0)}
    torch.manual_seed(1)
    one = compare_draws(vae, data, "test")
    torch.manual_seed(1)
    assert compare_draws(vae, shuffled, "test")["draws_mmd2"] != one["draws_mmd2"]  # the conditions reach the decoder
