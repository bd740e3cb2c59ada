"""`vaelab sample --latents`: draws z from the latents of training examples instead of the prior."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.commands.conditions import find_condition, is_every
from vaelab.commands.rows import rows_at_once
from vaelab.evaluation.aggregate import AggregatePosterior
from vaelab.evaluation.gaussian import is_gaussian
from vaelab.evaluation.latent_fits import Fit, fit_flow, fit_mixture
from vaelab.evaluation.report import AGGREGATED, AGGREGATED_OTHERS
from vaelab.precision import double, full_precision
from vaelab.runs.run import Run
from vaelab.seeded import seeded
from vaelab.vae import VAE

KINDS = ("prior", "aggregate", "mixture", "flow")
FEWEST = 5  # training examples that a fit needs
HELD_OUT = 1_000  # the most validation examples
DRAWS, POINTS = 50, 20_000  # the most draws for each example, and about how many latents in all
MEMORY = 2**28  # the most bytes of examples


class Examples(NamedTuple):
    """Examples of a split: x (n, *x), and their conditions (n, c) or None."""

    x: Tensor
    condition: Tensor | None

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some of the examples."""
        return self.x[rows], None if self.condition is None else self.condition[rows]


class FittedPrior(nn.Module):
    """p(z): a distribution that was fitted after training. `text` is what titles write for it."""

    def __init__(self, distribution: Distribution, text: str) -> None:
        super().__init__()
        self.distribution, self.text = distribution, text

    def forward(self) -> Distribution:
        """The distribution, batch_shape ()."""
        return self.distribution


@torch.no_grad()
def with_latents(
    run: Run, kind: str, condition: str | None = None, seed: int = 0, overrides: Mapping[str, Any] = {}
) -> tuple[Run, str]:
    """The run with latents of its training examples in place of its prior, and a table of held-out log-densities.

    Args:
        run: the run, from `load_run`.
        kind: `aggregate`: z ~ q(z|x) for a random training example x; `mixture` or `flow`: from a density fitted to
            such z.
        condition: the class of all samples, for a conditional run; only its examples are used.
        seed: the seed of the choice of examples, of their latents and of the fit.
        overrides: keys of the run's data config to change, such as `root`.

    Raises:
        ValueError: there are too few examples, a conditional run got no condition, a package is missing, or a density
            cannot be fitted because the latents are discrete.
        FileNotFoundError: the run's data are not where they were.
    """
    if run.condition_shape is not None and (condition is None or is_every(run, condition)):
        raise ValueError(
            f"--condition must be one condition with --latents {kind}, because the latents of each condition differ, "
            f"but is {condition or 'not given'}; use for example --condition 0"
        )
    support = getattr(getattr(run.vae.encoder, "family", None), "support", "real")
    if kind != "aggregate" and support != "real":
        raise ValueError(f"--latents {kind} needs real latents, but the latents are {support}; use --latents aggregate")
    values = None if condition is None else _values(run, condition)
    at_once, data = rows_at_once(run), run.ready_datamodule(overrides)
    with seeded(seed), full_precision(run.vae) as vae:
        train, held_out = (_examples(vae, data, split, values) for split in ("train", "val"))
        _check_count(len(train.x), kind, condition)
        fit = _fit(vae, kind, train, at_once, seed)
        table = _table(vae, fit, held_out, _draws(vae, held_out, 1, at_once)[0]) if len(held_out.x) else ""
        prior = FittedPrior(fit.distribution, "q(z)" if kind == "aggregate" else f"a {kind} fitted to q(z)")
        return replace(run, vae=VAE(vae.encoder, vae.decoder, prior)), f"z from {fit.text}\n\n{table}".rstrip()


def _values(run: Run, condition: str) -> Tensor:
    chosen = find_condition(run, condition)
    assert chosen is not None
    return chosen.values


def _check_count(count: int, kind: str, condition: str | None) -> None:
    if count < FEWEST:
        having = "" if condition is None else f" with the condition {condition}"
        raise ValueError(
            f"--latents {kind} needs at least {FEWEST} training examples{having}, but there are {count}; use --latents "
            "prior"
        )


def _examples(vae: VAE, data: Any, split: str, values: Tensor | None) -> Examples:
    """Random examples of a split; with `values`, only those with this condition."""
    served = data.batches(split)
    x, conditions = served.x, served.condition
    rows = torch.arange(len(x))
    if values is not None:
        rows = rows[(conditions == values.to(conditions)).all(-1)]
    gaussian = is_gaussian(vae.encode(*Examples(x[:1], None if conditions is None else conditions[:1])))
    most = HELD_OUT if split == "val" else AGGREGATED if gaussian else AGGREGATED_OTHERS
    most = max(1, min(most, MEMORY // max(1, x[:1].nbytes)))
    rows = rows[torch.randperm(len(rows))[:most]]
    device, chosen = next(vae.parameters()).device, Examples(x, conditions).rows(rows)
    return Examples(chosen[0].to(device), None if chosen[1] is None else chosen[1].to(device))


def _draws(vae: VAE, examples: Examples, samples: int, at_once: int) -> Tensor:
    """z ~ q(z|x), (samples, n, p)."""
    rows = torch.arange(len(examples.x)).split(at_once)
    return torch.cat([vae.encode(*examples.rows(each)).sample((samples,)) for each in rows], dim=1)


def _fit(vae: VAE, kind: str, train: Examples, at_once: int, seed: int) -> Fit:
    n = len(train.x)
    text = f"{n:,} training examples"
    if kind == "aggregate":

        def posterior(rows: Tensor) -> Distribution:
            return vae.encode(*train.rows(rows))

        return Fit(AggregatePosterior(posterior, n, vae.latent_shape, at_once), f"q(z|x) of {text}, chosen at random")
    z = _draws(vae, train, max(1, min(DRAWS, POINTS // n)), at_once)
    fit = (fit_mixture if kind == "mixture" else fit_flow)(z, seed)
    return Fit(fit.distribution, f"{fit.text}, fitted to z ~ q(z|x) of {text}")


def _table(vae: VAE, fit: Fit, held_out: Examples, z: Tensor) -> str:
    """The mean log-density of held-out latents (n, p) under the fit and under the prior, and their difference."""
    fitted, prior = double(fit.distribution.log_prob(z)), double(vae.prior_given(held_out.condition).log_prob(z))
    rows = {"the fit": fitted, "the prior": prior, "difference": fitted - prior}
    lines = [f"{name:12}{_mean_and_error(values)}" for name, values in rows.items()]
    few = "; the first is on average too low" if isinstance(fit.distribution, AggregatePosterior) else ""
    return (
        f"mean log-density of the latents of {len(z):,} validation examples, nats\n"
        + "\n".join(lines)
        + f"\nThese estimate E[log p(z)] over q(z), the latents of the data{few}. They are not bounds on log p(t)."
    )


def _mean_and_error(values: Tensor) -> str:
    error = f" ± {values.std() / math.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{values.mean():10.2f}{error}"
