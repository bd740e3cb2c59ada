"""Compares the model's draws with examples: a number for "good reconstructions, bad samples"."""

from typing import Any, Protocol

import torch
from torch import Tensor

from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.evaluation.two_sample import classifier_test, mmd_test
from vaelab.precision import device_of
from vaelab.vae import VAE

DRAWS = 1_000  # each of draws and examples
FEWEST = 50  # fewer examples say too little
NUMBERS = 2**25  # the most numbers in the examples and the draws
CHUNK = 2**22  # numbers that are decoded at once


class Data(Protocol):
    """The part of a data module that the tests use."""

    def batches(self, split: str) -> Any:
        """Batches (x, target) or (x, target, condition), in a fixed order."""


@torch.no_grad()
def compare_draws(vae: VAE, data: Data, split: str, draws: int = DRAWS) -> dict[str, Any]:
    """Tests n draws of a model against n examples of a split, where 2n is at most the size of the split.

    draws_mmd2, draws_mmd2_p              t ~ p(t|z), z ~ p(z): MMD² to the examples and its p-value (`mmd_test`)
    draws_accuracy, _low, _high, _p       of a classifier that tells them apart (`classifier_test`)
    aggregate_draws_…                     the same for t ~ p(t|z), z ~ q(z|x) with x from n other examples
    draws_compared, draws_bandwidth, aggregate_draws_bandwidth
                                          n, and the kernel's bandwidths

    In a conditional model, each draw has the condition of one of the other examples. Draws come from torch's global
    generator. Empty if n would be less than 50.

    >>> from vaelab import data, families, networks, priors
    >>> points = data.Sine(train_size=5, val_size=5, test_size=120)
    >>> points.setup()
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.DiagonalGaussian((1,))
    >>> vae = VAE.build((2,), posterior, likelihood, priors.StandardNormal((3,)), networks.MLP)
    >>> compare_draws(vae, points, "test")["draws_compared"]
    60
    """
    batches = list(data.batches(split))
    size, numbers = sum(len(batch[0]) for batch in batches), batches[0][1][0].numel()
    n = min(draws, size // 2, NUMBERS // (3 * numbers))
    if n < FEWEST:
        return {}
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    examples = _rows(batches, order[:n])[1]
    x, target, *condition = _rows(batches, order[n : 2 * n])
    found: dict[str, Any] = {"draws_compared": n}
    with ready_to_score(vae) as module:
        chunks = [tuple(parts) for parts in zip(*(_split(each, target) for each in (x, *condition)), strict=True)]
        for name, latents in (("draws", _from_prior), ("aggregate_draws", _from_posterior)):
            drawn = torch.cat([_decoded(module, latents, chunk) for chunk in chunks])
            found |= _tests(name, _in_units(module, examples), _in_units(module, drawn))
    return found


def _rows(batches: list[tuple[Tensor, ...]], rows: Tensor) -> list[Tensor]:
    """The rows of all batches together, in any order: one tensor each for x, target and any condition."""
    return [torch.cat(parts)[rows] for parts in zip(*batches, strict=True)]


def _split(values: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return values.split(max(1, CHUNK // target[0].numel()))


def _from_prior(vae: VAE, x: Tensor, condition: Tensor | None) -> Tensor:
    prior = vae.prior_given(condition)
    return prior.sample(() if prior.batch_shape else (len(x),))


def _from_posterior(vae: VAE, x: Tensor, condition: Tensor | None) -> Tensor:
    return vae.encode(x, condition).sample()


def _decoded(vae: VAE, latents: Any, chunk: tuple[Tensor, ...]) -> Tensor:
    """One draw t for each example of a chunk (x,) or (x, condition)."""
    x, condition = (*(each.to(device_of(vae)) for each in chunk), None)[:2]
    return vae.decode(latents(vae, x, condition), condition).sample().cpu()


def _in_units(vae: Any, target: Tensor) -> Tensor:
    """(n, *t) -> (n, k), standardised if the model standardises. Otherwise a wide column would decide alone."""
    units = getattr(vae.decoder, "output_units", None)
    return (target if units is None else units(target.to(device_of(vae))).cpu()).flatten(1)


def _tests(name: str, examples: Tensor, drawn: Tensor) -> dict[str, float]:
    kernel, classifier = mmd_test(examples, drawn), classifier_test(examples, drawn)
    return {
        f"{name}_mmd2": kernel.mmd2,
        f"{name}_mmd2_p": kernel.p_value,
        f"{name}_accuracy": classifier.accuracy,
        f"{name}_accuracy_low": classifier.low,
        f"{name}_accuracy_high": classifier.high,
        f"{name}_accuracy_p": classifier.p_value,
        f"{name}_bandwidth": kernel.bandwidth,
    }
