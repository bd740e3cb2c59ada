"""`vaelab traverse`: what does each latent do?"""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from vaelab.commands.conditions import find_or_first
from vaelab.evaluation import views
from vaelab.evaluation.discrete import variables_of
from vaelab.files import read_json
from vaelab.runs.run import Run

MOST_STEPS = 200  # the most values of a latent in a picture


def traverse(
    run: Run,
    file: Path,
    steps: int | None = None,
    span: float = views.SPAN,
    dimensions: Sequence[int] | None = None,
    condition: str | None = None,
) -> str:
    """Draws the mean of p(t|z) along one latent at a time, or over both if latent_dim is 2. Returns what it shows.

    A discrete latent moves through its classes.

    Args:
        run: the run, from `load_run`.
        file: a .png file.
        steps: values per latent, by default 11, or 20 over both; not for discrete latents.
        span: how far a latent moves, in standard deviations of the prior.
        dimensions: the latents to move, counted from 1 as in the picture; by default the ten with the most KL if the
            run has been evaluated, or else the first ten.
        condition: the condition to decode with, for a conditional run, such as a class; by default the first class.
    """
    chosen = find_or_first(run, condition)
    options: dict[str, Any] = {"names": run.datamodule().names}
    options |= {"condition": chosen.values, "given": chosen.given} if chosen else {}
    shown = f", condition {chosen.title}" if chosen else ""
    variables = variables_of(run.vae.prior_given(chosen.values if chosen else None))
    if variables and steps is not None:
        raise ValueError(
            f"--steps must be left out for discrete latents, because each moves through its {variables.classes} classes"
        )
    if run.vae.latent_shape == (2,) and dimensions is None and not variables:
        views.manifold(run.vae, _steps(steps, views.MANIFOLD_STEPS), **options).save(file)
        return f"the plane of both latents{shown}"
    latent_dim = run.vae.latent_shape.numel() // (variables.columns if variables else 1)
    if dimensions is not None and not all(1 <= dimension <= latent_dim for dimension in dimensions):
        raise ValueError(f"--latents must be numbers from 1 to {latent_dim}, the run's latents, but is {dimensions}")
    moved, why = _informative(run, latent_dim) if dimensions is None else ([each - 1 for each in dimensions], "")
    views.traversals(run.vae, _steps(steps, views.STEPS), span, dimensions=moved, **options).save(file)
    return f"latents {' '.join(str(index + 1) for index in moved)} of {latent_dim}{shown}{why}"


def _steps(steps: int | None, default: int) -> int:
    """The number of values per latent, checked."""
    if steps is None:
        return default
    if steps > MOST_STEPS:
        raise ValueError(f"--steps must be at most {MOST_STEPS} for a picture, but is {steps}; use fewer")
    return steps


def _informative(run: Run, latent_dim: int) -> tuple[list[int], str]:
    """The latents with the most KL, from 0, ascending, if an evaluation has measured it; or else the first ones.

    The text says how to see the others, if the first ones may be the wrong choice.
    """
    try:
        kl = read_json(run.folder / "evaluation.json")["kl_per_dimension"]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it was edited by hand
        kl = None
    if not isinstance(kl, list) or len(kl) != latent_dim or not all(type(k) is float and isfinite(k) for k in kl):
        first = list(range(min(latent_dim, views.TRAVERSED)))
        few = len(first) == latent_dim
        return first, "" if few else "; after `vaelab evaluate RUN`, those with the most KL"
    return sorted(sorted(range(latent_dim), key=lambda index: -kl[index])[: views.TRAVERSED]), ""
