"""The report on a trained VAE: its numbers on a split with standard errors, and warnings.

Besides the means of the numbers from `vaelab.evaluation.score`, `evaluate` gives these:

bits_per_dim            if the data are discrete
precision               dtype of the model's numbers, at least float32; sums over examples are kept in float64
baseline                mean of log p(t) under the baseline, if one is given
gain                    mean of log p̂(t) − log p(t) under the baseline, paired: what the latents are worth
ceiling                 −entropy, if the entropy of the data's generator is known; no model scores higher on average
regret                  nll − entropy, if the entropy is known
regret_paired           mean of log p*(t) − log p̂(t) for the generator p*: the same expectation, another error
kl_by                   "closed form", or "draws" if q and p have none
moments_by              how the mean and the standard deviation of q(z|x) were computed: "closed form", "1000 draws"
latent_dim              how many latents there are: for discrete z, the number of variables
kl_per_dimension        KL(q(z_j|x) ‖ p(z_j)), a list
kl_per_dimension_by     "closed form", or "moments" for Gaussians with the marginals' means and variances
active_units            how many latents have Var_x(E_q[z_j]) > 0.01 · Var_p(z_j); under p(z|c), E_q[z_j] counts from
                        the prior's mean, in its standard deviations
mutual_information_low, mutual_information_high, aggregate_kl_low, aggregate_kl_high
                        `aggregate_posterior`: bounds on I(x; z) and KL(q(z) ‖ p(z)) from `aggregated_examples` examples
mig, sap, dci_…         see `representation`; if the data know their factors
draws_…, aggregate_…    see `compare_draws`; if `draws` > 0
prior_given             "condition", if the prior is p(z|c). The four bounds are then those of I(x; z | c) and of the
                        mean of KL(q(z|c) ‖ p(z|c)) (`aggregate_posterior_given`), if enough examples share a condition
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from vaelab.baseline import Baseline
from vaelab.evaluation.aggregate_given import aggregate_posterior_given
from vaelab.evaluation.discrete import variables_of
from vaelab.evaluation.draw_tests import compare_draws
from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.evaluation.gaussian import is_gaussian
from vaelab.evaluation.importance import MEMORY, SAMPLES
from vaelab.evaluation.latents import (
    Aggregate,
    active_units,
    aggregate_posterior,
    kl_per_dimension,
    kl_per_dimension_by,
)
from vaelab.evaluation.representation import represent_factors
from vaelab.evaluation.score import score
from vaelab.families import closed_form_kl
from vaelab.precision import device_of, double, full_precision
from vaelab.vae import VAE

AGGREGATED = 10_000  # the most examples in the aggregate posterior if q(z|x) is Gaussian or discrete
AGGREGATED_OTHERS = 1_000  # the most for any other q(z|x), because each density costs more
TINY = 1e-9  # a discrete latent with one certain class has no spread
UNCONVERGED = 0.1  # a larger rise, in nats, beyond two standard errors, means that log p̂ has not converged
FEW = 100  # fewer samples cannot tell if log p̂ has converged
UNRELIABLE = 0.7  # above this Pareto k̂, an estimate depends on few draws
NO_TAIL = 20  # with so few samples, k̂ cannot be fitted to their tail


class Data(Protocol):
    """The part of a data module that a report uses, after `setup`. `vaelab.data.DataModule` has it."""

    levels: int | None
    target_shape: tuple[int, ...]

    def batches(self, split: str) -> Iterable[tuple[Tensor, ...]]:
        """Batches (x, target) or (x, target, condition), in a fixed order."""

    def entropy(self) -> float | None:
        """The entropy of the generator, nats; None if it is unknown."""

    def log_prob(self, target: Tensor) -> Tensor | None:
        """The generator's own log-density, (n, *t) -> (n,), nats; None if it is unknown."""

    def describe(self) -> dict[str, str]:
        """Facts that give a log-density on these data its meaning, such as the measure and the unit."""


def evaluate(
    vae: VAE,
    data: Data,
    split: str = "test",
    samples: int = SAMPLES,
    memory: int = MEMORY,
    progress: Callable[[int], object] = lambda examples: None,
    baseline: Baseline | None = None,
    draws: int = 0,
) -> dict[str, Any]:
    """Computes all numbers of `vaelab evaluate`, in nats per example; `NAME_stderr` is a standard error over examples.

    The module's docstring lists them. Draws come from torch's global generator.

    >>> from vaelab import VAE, data, families, networks, priors
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.DiagonalGaussian((1,))
    >>> points = data.Sine(train_size=5, val_size=5, test_size=50)
    >>> points.setup()
    >>> vae = VAE.build((2,), posterior, likelihood, priors.StandardNormal((3,)), networks.MLP)
    >>> report = evaluate(vae, points, samples=20)
    >>> report["examples"], report["nll_stderr"] > 0
    (50, True)

    Args:
        vae: the model.
        data: a data module, after `setup`.
        split: train, val or test.
        samples, memory, progress: as for `vaelab.evaluation.score`.
        baseline: the likelihood without a latent, fitted to the training data.
        draws: how many draws of the model to compare with examples; 0 for none.

    Raises:
        ValueError: the density of an example is not finite, or `vaelab.evaluation.score` raises it.
    """
    with ready_to_score(vae) as vae:
        report = _report(vae, data, split, samples, memory, progress, baseline)
        report |= _latent_use(vae, data, split) | represent_factors(vae, data, split)
        return report | (compare_draws(vae, data, split, draws) if draws else {})


def _report(
    vae: VAE,
    data: Data,
    split: str,
    samples: int,
    memory: int,
    progress: Callable[[int], object],
    baseline: Baseline | None,
) -> dict[str, Any]:
    terms = score(vae, data.batches(split), samples, memory, progress)
    if bad := int((~terms["nll"].isfinite()).sum()):
        raise ValueError(
            f"log p̂ must be finite, but is not for {bad} of {len(terms['nll'])} examples, because the model's weights "
            "have diverged or its density vanishes at the data; evaluate an earlier checkpoint, or train with a lower "
            "optimizer.lr"
        )
    report: dict[str, Any] = {"split": split, "examples": len(terms["nll"]), "samples": samples}
    dtype = next((parameter.dtype for parameter in vae.parameters()), torch.get_default_dtype())
    report["precision"] = str(dtype).split(".")[-1]  # such as float32
    for name, values in terms.items():
        if name not in ("ess", "pareto_k"):
            report |= mean_and_stderr(name, values)
    ess, k = terms["ess"], terms["pareto_k"]
    report |= {"ess": ess.median().item(), "ess_min": ess.min().item()}
    if samples > NO_TAIL:  # then an infinite k̂ means unreliable weights, not too few draws
        report |= {"pareto_k": k.median().item()} if k.median().isfinite() else {}
        report |= {"pareto_k_above_0.7": (k > UNRELIABLE).double().mean().item()}
    report |= _bits(report, data)
    if baseline is not None:
        report |= _gain(terms["nll"], baseline, data, split)
    return report | _regret(terms["nll"], data, split)


def mean_and_stderr(name: str, values: Tensor) -> dict[str, float]:
    """{name: mean over examples, name_stderr: its standard error}. A single example has no standard error."""
    mean = {name: values.mean().item()}
    return mean if len(values) < 2 else mean | {f"{name}_stderr": (values.std() / math.sqrt(len(values))).item()}


def _bits(report: Mapping[str, Any], data: Data) -> dict[str, float]:
    """−log₂ p per dimension. A dequantised density is per unit of [0, 1], and that interval has `levels` steps."""
    if data.levels is None:
        return {}
    size = math.prod(data.target_shape)
    step = 0.0 if data.describe()["measure"] == "mass" else math.log(data.levels)
    bits = {"bits_per_dim": (report["nll"] / size + step) / math.log(2)}
    if "nll_stderr" in report:
        bits["bits_per_dim_stderr"] = report["nll_stderr"] / size / math.log(2)
    return bits


@torch.no_grad()
def _gain(nll: Tensor, baseline: Baseline, data: Data, split: str) -> dict[str, float]:
    with full_precision(baseline) as module:
        p, device = module(), device_of(module)
        log_pt = torch.cat([double(p.log_prob(target.to(device))).cpu() for _, target, *_ in data.batches(split)])
    return mean_and_stderr("baseline", log_pt) | mean_and_stderr("gain", -nll - log_pt)


def _regret(nll: Tensor, data: Data, split: str) -> dict[str, float]:
    entropy = data.entropy()
    if entropy is None:
        return {}
    numbers = {"ceiling": -entropy, "entropy": entropy} | mean_and_stderr("regret", nll - entropy)
    truth = [data.log_prob(target) for _, target, *_ in data.batches(split)]
    own = [part for part in truth if part is not None]
    return numbers | mean_and_stderr("regret_paired", double(torch.cat(own)).cpu() + nll) if own else numbers


@torch.no_grad()
def _latent_use(vae: VAE, data: Data, split: str) -> dict[str, Any]:
    device = device_of(vae)
    kept: list[tuple[Tensor, ...]] = []  # (x,) or (x, condition), for the aggregate posterior
    shifts, kls, seen, most = [], [], 0, AGGREGATED
    for x, _, *condition in data.batches(split):
        given = [tensor.to(device) for tensor in (x, *condition)]
        q, prior = vae.encode(*given), vae.prior_given(*given[1:])
        shifts.append(double((q.mean - prior.mean) / prior.stddev.clamp_min(TINY)))
        kls.append(double(kl_per_dimension(q, prior)))
        most = AGGREGATED if is_gaussian(q) or variables_of(q) else AGGREGATED_OTHERS
        if seen < most:
            kept.append(tuple(tensor[: most - seen] for tensor in given))
            seen += len(kept[-1][0])
    x, *conditions = (torch.cat(tensors) for tensors in zip(*kept, strict=True))
    q, prior = vae.encode(x, *conditions), vae.prior_given(*conditions)
    many = bool(prior.batch_shape)  # one prior for each condition
    aggregate = aggregate_posterior_given(vae, x, conditions[0]) if many else aggregate_posterior(q, prior)
    active = active_units(torch.cat(shifts), columns=variables.columns if (variables := variables_of(q)) else 1)
    return {
        "kl_by": "draws" if closed_form_kl(q, prior) is None else "closed form",
        "moments_by": getattr(q, "moments_by", "closed form"),
        "latent_dim": len(active),
        "active_units": int(active.sum()),
        "kl_per_dimension": torch.cat(kls).mean(0).tolist(),
        "kl_per_dimension_by": kl_per_dimension_by(q, prior),
        **_aggregate(aggregate, seen),
        **({"prior_given": "condition"} if many else {}),
    }


def _aggregate(found: Aggregate | None, examples: int) -> dict[str, float]:
    if found is None:
        return {}
    numbers = {name: number.item() for name, number in found._asdict().items() if number.isfinite()}
    return numbers | {"aggregated_examples": examples}


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Warnings to show beside the numbers, a sentence each."""
    found = []
    if report["samples"] < FEW:
        found.append(
            f"{report['samples']} samples per example are too few to tell if log p̂ has converged, so the NLL is only "
            f"an upper bound; use --samples {FEW} or more"
        )
    elif report["nll_change"] + 2 * report.get("nll_change_stderr", 0.0) > UNCONVERGED:
        found.append(
            f"log p̂ has not converged: it still rose by {report['nll_change']:.2f} nats from {report['samples'] // 2} "
            f"to {report['samples']} samples, so the true NLL is lower than {report['nll']:.2f}; use more --samples"
        )
    if (unreliable := report.get("pareto_k_above_0.7", 0.0)) > 0.5:
        found.append(
            f"Pareto k̂ is above {UNRELIABLE} for {unreliable:.0%} of the examples: their log p̂ depends on a few draws, "
            "so read the NLL as an upper bound rather than an estimate"
        )
    return found
