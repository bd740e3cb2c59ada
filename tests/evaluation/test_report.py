import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.testing import assert_close

from vaelab import VAE
from vaelab.data import DataModule
from vaelab.evaluation import aggregate_posterior, kl_per_dimension, score
from vaelab.evaluation.comparability import incomparable
from vaelab.evaluation.report import evaluate, mean_and_stderr, warnings
from vaelab.families import Bernoulli, DiagonalGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.priors import LearnedPrior, StandardNormal

N, K, P = 53, 5, 3
SIZES = [20, 20, 13]


class Fake:
    """Targets in batches of unequal sizes; `log_prob` and `entropy` are those of N(mean, covariance) where known."""

    def __init__(self, targets, levels=None, measure="density", generator=None, entropy=True):
        self.targets = targets
        self.levels = levels
        self.measure = measure
        self.generator = generator
        self.knows_entropy = entropy
        self.target_shape = tuple(targets["test"].shape[1:])

    def batches(self, split):
        t = self.targets[split]
        sizes = SIZES if len(t) == N else [len(t)]
        return zip(t.split(sizes), t.split(sizes), strict=True)

    def entropy(self):
        return self.generator.entropy().item() if self.generator and self.knows_entropy else None

    def log_prob(self, target):
        return self.generator.log_prob(target) if self.generator else None

    def describe(self):
        return {"measure": self.measure}


def gaussian_data(n=N, **options):
    """Draws from the model `linear` itself."""
    vae = linear()
    w, b = vae.decoder.network.layers[0].weight.detach(), vae.decoder.network.layers[0].bias.detach()
    generator = MultivariateNormal(b, w @ w.T + torch.eye(K, dtype=torch.float64))
    torch.manual_seed(2)
    return Fake({"test": generator.sample((n,)), "val": generator.sample((29,))}, generator=generator, **options)


def linear(k=K, likelihood=IdentityGaussian):
    """A linear VAE; where it is Gaussian, q has the mean of the posterior, and no less variance in any direction."""
    torch.manual_seed(1)
    network = partial(MLP, hidden=[])
    vae = VAE.build(
        (k,), DiagonalGaussian((P,), init_std=1.0), likelihood((k,)), StandardNormal((P,)), network
    ).double()
    (w, b), layer = vae.decoder.network.parameters(), vae.encoder.network.layers[0]
    s = (torch.eye(P, dtype=torch.float64) + w.T @ w).inverse()
    layer.weight.data = torch.cat([s @ w.T, torch.zeros(P, k, dtype=torch.float64)]).detach()
    layer.bias.data = torch.cat([-s @ w.T @ b, (P * s.diagonal()).log()]).detach()
    return vae


def run(vae=None, data=None, samples=107, seed=3, **options):
    torch.manual_seed(seed)
    return evaluate(vae or linear(), data or gaussian_data(), samples=samples, **options)


def test_every_number_is_the_mean_over_examples_with_its_standard_error():
    vae, data = linear(), gaussian_data()
    found = run(vae, data)
    torch.manual_seed(3)
    terms = score(vae, data.batches("test"), 107)
    assert {"nll", "elbo", "log_likelihood", "kl", "iw_1", "iw_5", "iw_107", "nll_change", "exact_nll"} <= set(terms)
    for name in set(terms) - {"ess", "pareto_k"}:
        values = terms[name].numpy()
        assert found[name] == pytest.approx(values.mean(), rel=1e-12)
        assert found[f"{name}_stderr"] == pytest.approx(values.std(ddof=1) / math.sqrt(N), rel=1e-10, abs=1e-14)
    assert found["ess"] == np.median(terms["ess"])
    assert found["ess_min"] == terms["ess"].min()
    assert found["pareto_k"] == np.median(terms["pareto_k"])
    assert found["pareto_k_above_0.7"] == (terms["pareto_k"] > 0.7).double().mean()
    assert (found["split"], found["examples"], found["samples"]) == ("test", N, 107)
    assert found["elbo"] == pytest.approx(found["log_likelihood"] - found["kl"])


def test_the_report_is_flat_ordered_and_json():
    found = run()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [key for key, value in found.items() if not isinstance(value, str | int | float)] == ["kl_per_dimension"]
    assert list(found)[:6] == ["split", "examples", "samples", "precision", "nll", "nll_stderr"]
    assert list(run(seed=4)) == list(found)
    without_errors = [key.removesuffix("_stderr") for key in found if key.endswith("_stderr")]
    assert set(without_errors) < set(found)


def test_another_split_is_another_report():
    found = run(split="val")
    assert (found["split"], found["examples"], found["aggregated_examples"]) == ("val", 29, 29)


def test_one_example_has_no_standard_errors():
    found = run(data=gaussian_data(1))
    assert found["examples"] == 1
    assert not [key for key in found if key.endswith("_stderr")]
    assert {"nll", "regret", "regret_paired", "mutual_information_low", "aggregate_kl_high"} <= set(found)
    assert (found["mutual_information_low"], found["aggregate_kl_low"]) == (0, 0)
    assert found["mutual_information_high"] == found["aggregate_kl_high"] == pytest.approx(found["kl"])
    assert json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("samples", [1, 4, 20, 21, 24])
def test_few_samples_have_no_pareto_k(samples):
    found = run(samples=samples)
    assert ("pareto_k" in found) == ("pareto_k_above_0.7" in found) == (samples > 20)
    assert json.dumps(found, allow_nan=False)
    assert isinstance(warnings(found), list)


def test_examples_whose_weights_have_no_tail_count_as_unreliable():
    vae, data = linear(), gaussian_data()
    vae.decoder.family.std = 1e-4  # the log-weights lie thousands of nats apart
    found = run(vae, data)
    assert found["pareto_k_above_0.7"] > 0.9
    assert any("Pareto" in sentence for sentence in warnings(found))
    assert json.dumps(found, allow_nan=False)


def test_progress_counts_every_example_once():
    done = []
    run(memory=40_000, progress=done.append)
    assert sum(done) == N


# Bits per dimension


def test_bits_per_dimension_of_a_mass_are_those_of_the_probability():
    vae = linear(likelihood=Bernoulli)
    data = Fake({"test": (torch.rand(N, K) < 0.4).double()}, levels=2, measure="mass")
    found = run(vae, data)
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / K / math.log(2), rel=1e-12)
    assert found["bits_per_dim_stderr"] == pytest.approx(found["nll_stderr"] / K / math.log(2), rel=1e-12)


def test_bits_per_dimension_of_a_coin_are_one():
    vae = linear(likelihood=Bernoulli)
    for parameter in vae.decoder.parameters():
        parameter.data.zero_()  # every pixel has probability ½
    data = Fake({"test": (torch.rand(N, K) < 0.4).double()}, levels=2, measure="mass")
    assert run(vae, data, samples=7000)["bits_per_dim"] == pytest.approx(1, abs=0.01)


def test_bits_per_dimension_of_a_dequantised_uniform_density_are_the_log_of_its_levels():
    class Uniform(nn.Module):
        """The density 1 on [0, 1]^k, as a Gaussian whose density over the targets is near 1."""

        def forward(self, z):
            std = torch.full((*z.shape[:-1], K), 1 / math.sqrt(2 * math.pi), dtype=z.dtype)
            return Independent(Normal(torch.full_like(std, 0.5), std), 1)

    vae, data = linear(), Fake({"test": torch.full((N, K), 0.5, dtype=torch.float64)}, levels=256)
    vae.decoder = Uniform()
    found = run(vae, data, samples=7000)
    assert found["nll"] == pytest.approx(0, abs=0.02)
    assert found["bits_per_dim"] == pytest.approx(8, abs=0.01)
    assert found["bits_per_dim"] == pytest.approx((found["nll"] / K + math.log(256)) / math.log(2), rel=1e-12)


def test_continuous_data_have_no_bits():
    assert not [key for key in run() if key.startswith("bits")]


def test_images_count_every_pixel():
    vae = VAE.build((2, 3), DiagonalGaussian((P,), init_std=1.0), Bernoulli((2, 3)), StandardNormal((P,)), MLP)
    found = run(vae, Fake({"test": (torch.rand(N, 2, 3) < 0.4).float()}, levels=2, measure="mass"))
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / 6 / math.log(2), rel=1e-12)


# Regret


def test_regret_is_the_nll_over_the_entropy():
    vae, data = linear(), gaussian_data()
    found = run(vae, data)
    torch.manual_seed(3)
    nll = score(vae, data.batches("test"), 107)["nll"]
    entropy = data.generator.entropy().item()
    log_p = data.generator.log_prob(data.targets["test"])
    assert found["entropy"] == pytest.approx(entropy)
    assert found["regret"] == pytest.approx(nll.mean().item() - entropy)
    assert found["regret_stderr"] == pytest.approx(found["nll_stderr"])
    assert found["regret_paired"] == pytest.approx((log_p + nll).mean().item())
    assert found["regret_paired_stderr"] == pytest.approx(((log_p + nll).std() / math.sqrt(N)).item())


def test_both_regrets_of_the_true_model_are_zero_and_the_paired_one_has_less_noise():
    found = run(data=gaussian_data(1501), samples=400)
    assert found["regret"] == pytest.approx(0, abs=3 * found["regret_stderr"] + 0.02)
    assert found["regret_paired"] == pytest.approx(0, abs=0.02)
    assert found["regret_paired_stderr"] < 0.2 * found["regret_stderr"]


def test_both_regrets_of_another_model_are_the_kl_to_it():
    vae, data = linear(), gaussian_data(1501)
    vae.decoder.network.layers[0].bias.data += 0.7
    precision = data.generator.precision_matrix
    shift = torch.full((K,), 0.7, dtype=torch.float64)
    kl = 0.5 * (shift @ precision @ shift).item()
    found = run(vae, data, samples=400)
    assert kl > 0.3
    for name in ("regret", "regret_paired"):
        assert found[name] == pytest.approx(kl, abs=3 * found[f"{name}_stderr"] + 0.03)


def test_regret_is_there_only_where_the_entropy_is():
    assert not [key for key in run(data=gaussian_data(entropy=False)) if key.startswith(("regret", "entropy"))]


def test_regret_is_not_paired_where_the_generator_has_no_density():
    data = gaussian_data()
    data.log_prob = lambda target: None
    found = run(data=data)
    assert "regret" in found
    assert "regret_paired" not in found


# Latents


def test_the_use_of_the_latents_is_that_of_all_examples():
    vae, data = linear(), gaussian_data()
    vae.encoder.network.layers[0].weight.data[1] = 0  # a latent that ignores the data
    found = run(vae, data)
    q = vae.encode(data.targets["test"])
    expected = kl_per_dimension(q, vae.prior()).mean(0)
    assert found["kl_per_dimension"] == pytest.approx(expected.tolist())
    assert sum(found["kl_per_dimension"]) == pytest.approx(found["kl"])
    assert (found["latent_dim"], found["active_units"]) == (P, 2)
    assert found["aggregated_examples"] == N
    draws = [torch.stack(aggregate_posterior(q, vae.prior())) for _ in range(101)]
    mean, spread = torch.stack(draws).mean(0), torch.stack(draws).std(0)
    for index, name in enumerate(aggregate_posterior(q, vae.prior())._fields):
        assert found[name] == pytest.approx(mean[index].item(), abs=4 * spread[index].item() + 1e-9)
    for low, high in (("mutual_information_low", "aggregate_kl_high"), ("mutual_information_high", "aggregate_kl_low")):
        assert found[low] + found[high] == pytest.approx(found["kl"])
    assert found["mutual_information_low"] < found["mutual_information_high"]


def test_active_units_follow_the_scale_of_a_learned_prior():
    vae, data = linear(), gaussian_data()
    vae.encoder.network.layers[0].weight.data[0] *= 1e-3
    assert run(vae, data)["active_units"] == P - 1
    vae.prior = LearnedPrior(DiagonalGaussian((P,), min_std=0.0, init_std=1.0)).double()
    vae.prior.numbers.data[P] = math.log(1e-6)  # its variance: z_1 is as wide as before beside it
    assert run(vae, data)["active_units"] == P


def test_the_aggregate_posterior_is_of_the_first_examples_if_there_are_many(monkeypatch):
    monkeypatch.setitem(evaluate.__globals__, "AGGREGATED", 27)
    found = run()
    assert (found["examples"], found["aggregated_examples"]) == (N, 27)
    assert found["mutual_information_low"] < math.log(27)


def test_a_prior_without_a_closed_form_kl_is_reported_too():
    class Mixture(nn.Module):
        def forward(self):
            means = torch.stack([-torch.ones(P), torch.ones(P)]).double()
            return MixtureSameFamily(Categorical(torch.ones(2)), Independent(Normal(means, 1.0), 1))

    vae = linear()
    vae.prior = Mixture()
    found = run(vae)
    assert found["elbo"] == pytest.approx(found["iw_1"])
    assert "exact_nll" not in found
    assert json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_a_model_in_single_precision_is_reported_under_either_default(default):
    vae, data = linear().float(), gaussian_data()
    data.targets = {"test": data.targets["test"].float()}
    torch.set_default_dtype(default)
    try:
        found = run(vae, data)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found["nll"] == pytest.approx(found["exact_nll"], abs=0.3)
    assert json.dumps(found, allow_nan=False)


def test_a_report_trains_nothing():
    vae = linear()
    before = [parameter.clone() for parameter in vae.parameters()]
    run(vae)
    assert all(torch.equal(one, other) for one, other in zip(before, vae.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_real_data_modules_are_what_a_report_asks_for():
    class Rows(DataModule):
        x_shape = target_shape = (K,)
        test = torch.randn(N, K)
        eval_batch_size = 20

    found = run(linear().float(), Rows())
    assert (found["examples"], found["latent_dim"]) == (N, P)


# Standard errors


def test_mean_and_stderr_are_those_of_numpy():
    values = torch.randn(11, dtype=torch.float64)
    expected = {"a": values.numpy().mean(), "a_stderr": values.numpy().std(ddof=1) / math.sqrt(11)}
    assert mean_and_stderr("a", values) == pytest.approx(expected)
    assert mean_and_stderr("a", values[:1]) == {"a": values[0].item()}


# Sentences

GOOD = {
    "samples": 500,
    "nll": 87.65,
    "nll_change": 0.1,
    "pareto_k_above_0.7": 0.5,
}


def test_good_numbers_need_no_warning():
    assert warnings(GOOD) == []
    assert warnings({key: value for key, value in GOOD.items() if "pareto" not in key}) == []


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"nll_change": 0.1001}, ["not converged", "from 250 to 500", "0.10 nats", "lower than 87.65", "--samples"]),
        ({"nll_change": 12.3}, ["still rose by 12.30 nats"]),
        ({"pareto_k_above_0.7": 0.51}, ["Pareto k̂ is above 0.7 for 51% of the examples", "upper bound"]),
    ],
)
def test_each_warning_fires_alone_just_beyond_its_limit(numbers, said):
    (sentence,) = warnings(GOOD | numbers)
    for part in said:
        assert part in sentence
    assert "  " not in sentence


def test_warnings_add_up():
    assert len(warnings(GOOD | {"nll_change": 1.0, "pareto_k_above_0.7": 1.0})) == 2


SAME = {"measure": "mass", "per": "image", "data": "mnist", "split": "test", "binarisation": "fixed", "nll": 90.0}


@pytest.mark.parametrize("key", ["measure", "per", "data", "split", "binarisation", "dequantisation", "condition"])
def test_reports_that_differ_in_what_is_scored_do_not_compare(key):
    reasons = incomparable([SAME, SAME | {"nll": 80.0}, SAME | {key: "other"}, SAME | {key: "third"}])
    absent = "none" if key == "condition" else None
    assert reasons == [f"{key}: {SAME.get(key, absent)} | other | third"]


def test_reports_that_differ_in_their_numbers_alone_compare():
    assert incomparable([SAME, SAME | {"nll": 80.0, "samples": 3, "beta": 4.0}]) == []
    assert incomparable([SAME]) == []
    assert incomparable([]) == []


def test_other_examples_do_not_compare_and_reports_without_a_checksum_do():
    (reason,) = incomparable([SAME | {"checksum": "1a"}, SAME | {"checksum": "2b"}])
    assert reason == "the examples of the split, by their checksum: 1a | 2b"
    assert incomparable([SAME | {"checksum": "1a"}, SAME | {"checksum": "1a"}]) == []
    assert incomparable([SAME | {"checksum": "1a"}, SAME]) == []  # of an older version


def test_every_difference_is_a_reason():
    other = SAME | {"split": "val", "measure": "density"}
    assert incomparable([SAME, other]) == ["measure: mass | density", "split: test | val"]


def test_the_model_and_the_data_of_these_tests_are_the_same_gaussian():
    vae, data = linear(), gaussian_data()
    torch.manual_seed(5)
    terms = score(vae, data.batches("test"), 107)
    assert_close(-terms["exact_nll"], data.generator.log_prob(data.targets["test"]), rtol=1e-10, atol=1e-10)


def test_the_report_says_how_the_kl_was_computed():
    assert run(samples=7)["kl_by"] == "closed form"
    vae = linear()
    mixture = MixtureSameFamily(
        Categorical(torch.ones(2, dtype=torch.float64)),
        Independent(Normal(torch.zeros(2, P, dtype=torch.float64), torch.ones(2, P, dtype=torch.float64)), 1),
    )
    vae.prior.forward = lambda: mixture
    assert run(vae, samples=7)["kl_by"] == "draws"


def test_a_model_that_diverged_is_told_in_a_sentence():
    data = gaussian_data()
    data.targets["test"][7] = 1e200  # no float64 holds its square
    with pytest.raises(ValueError, match=r"must be finite, but is not for 1 of 53 examples, .*; evaluate an earlier"):
        run(data=data, samples=7)
