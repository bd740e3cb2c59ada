"""`vaelab interpolate`: what lies between two examples?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.checks import SPLITS, check_choice, check_whole
from vaelab.commands.columns import arrays, category_names, column_names, likelihood_columns
from vaelab.commands.conditions import Condition, described, find_condition
from vaelab.commands.rows import read, rows_at_once
from vaelab.escapes import for_terminal
from vaelab.evaluation import PATHS, latent_path, views
from vaelab.evaluation.discrete import representative, variables_of
from vaelab.evaluation.styles import with_style
from vaelab.figures.text_sizes import shortened
from vaelab.runs.run import Run
from vaelab.tables import write_table

MOST_STEPS = 200  # the most points of a path in a picture
LONGEST = 24  # the most letters of a row's name in a title


class Place(NamedTuple):
    """One row of DATA, such as `test:3`."""

    typed: str
    data: str
    row: int | None  # from 0; None for the only row of a file


class Example(NamedTuple):
    """An example at an end of the path."""

    z: Tensor  # (p,), the mean of q(z|x), or its mode if z is discrete
    target: Tensor | None  # (*t,)
    condition: Tensor | None  # (c,)


@torch.no_grad()
def interpolate(
    run: Run,
    start: str,
    end: str,
    file: Path,
    steps: int = views.STEPS,
    path: str = "linear",
    overrides: Mapping[str, Any] = {},
    condition: str | None = None,
) -> str:
    """Walks from the posterior mean of one row to that of another, and decodes each step. Returns what it wrote.

    A picture shows the mean of p(t|z) along the path, between both originals if they are known. A table has the columns
    position, from 0 to 1, z, and the mean and a draw of p(t|z). Discrete latents change one after the other.

    Args:
        run: the run, from `load_run`.
        start: a row of a split or a file, from 0, such as `test:3` or `wine.csv:0`; or a file that holds one row.
        end: another such row.
        file: a .png picture, or a table, .npz, .csv or .parquet.
        steps: the number of points, both ends included.
        path: `linear`, or `spherical` around the prior's mean, which discrete latents don't have.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the condition to decode with, for a conditional run; by default that of both rows, if they agree.

    Raises:
        ValueError: there is no such row, or the two rows have different conditions and none is given.
    """
    check_whole("--steps", steps, 2)
    if file.suffix.lower() == ".png" and steps > MOST_STEPS:
        raise ValueError(f"--steps must be at most {MOST_STEPS} for a picture, but is {steps}; use fewer")
    a, b = (_example(run, place_of(text), overrides, condition) for text in (start, end))
    chosen = find_condition(run, condition) or _shared(run, start, end, a, b)
    to = chosen.values if chosen else None
    first, last = (with_style(run.vae, each.z, each.condition, to) for each in (a, b))
    z = _path(first, last, steps, path, run.vae.prior_given(to))
    if file.suffix.lower() == ".png":
        _draw(run, file, z, a, b, chosen, f"A = {_short(start)}, B = {_short(end)}")
    else:
        _write(run, file, z, chosen)
    return f"{steps} steps on a {path} path{f', condition {chosen.title}' if chosen else ''}"


def _path(start: Tensor, end: Tensor, steps: int, path: str, prior: Distribution) -> Tensor:
    """The points of the path, (steps, p)."""
    variables = variables_of(prior)
    if variables is None:
        return latent_path(start, end, steps, path, prior.mean)
    if check_choice("--path", path, PATHS) != "linear":
        raise ValueError(f"--path must be linear for discrete latents, but is {path}; leave it out")
    return variables.path(start, end, steps)


def place_of(typed: str) -> Place:
    """Reads `DATA:ROW`, or the name of a file that holds one row.

    Raises:
        ValueError: the row is missing or not a number.
    """
    data, colon, row = typed.rpartition(":")
    if colon and row.isdecimal() and not Path(typed).expanduser().exists():
        return Place(typed, data, int(row))
    if typed in SPLITS or (colon and data in SPLITS):
        raise ValueError(
            f"A and B must be rows, numbered from 0, such as {typed.partition(':')[0]}:3, but one is {typed}"
        )
    return Place(typed, typed, None)


def _example(run: Run, place: Place, overrides: Mapping[str, Any], condition: str | None) -> Example:
    """The posterior mean of one row, and the row itself."""
    first = 0
    found: Example | None = None
    for x, target, given in read(run, place.data, overrides, condition if place.data not in SPLITS else None):
        if place.row is None and (found or len(x) > 1):
            raise ValueError(
                f"A and B must be single rows, but {place.typed} holds several; name one, from 0, such as "
                f"{place.typed}:0"
            )
        if (index := (place.row or 0) - first) < len(x):
            given = given if given is None or given.dim() == 1 else given[index]
            z = representative(run.vae.encode(x[index : index + 1], given))[0]
            found = Example(z, None if target is None else target[index], given)
            if place.row is not None:
                return found
        first += len(x)
    if found is None:
        raise ValueError(
            f"A and B must be rows from {place.data}:0 to {place.data}:{first - 1}, but one is {place.typed}; use a "
            "smaller number"
        )
    return found


def _shared(run: Run, start: str, end: str, a: Example, b: Example) -> Condition | None:
    """The condition of both rows; None if the run has none."""
    if a.condition is None or b.condition is None:
        return None
    of_a, of_b = (described(run, each) for each in (a.condition, b.condition))
    if not torch.equal(a.condition, b.condition):
        raise ValueError(
            f"{start} and {end} must have the same condition, or a condition must be given, but they have "
            f"{of_a.title} and {of_b.title}; choose the one to decode with, such as --condition {of_a.title}"
        )
    return of_a


def _draw(run: Run, file: Path, z: Tensor, a: Example, b: Example, chosen: Condition | None, ends: str) -> None:
    originals = None if a.target is None or b.target is None else torch.stack([a.target, b.target])
    options: dict[str, Any] = {"condition": chosen.values, "given": chosen.given} if chosen else {}
    names = run.datamodule().names
    views.interpolation(run.vae, z, originals, names, ends=ends, **options).save(file)


def _write(run: Run, file: Path, z: Tensor, chosen: Condition | None) -> None:
    names, categories = column_names(run, file), category_names(run)
    position = torch.linspace(0, 1, len(z))

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for at, part in zip(position.split(rows_at_once(run)), z.split(rows_at_once(run)), strict=True):
            p = run.vae.decode(part, chosen.values if chosen else None)
            yield arrays({"position": at, "z": part} | likelihood_columns(p, names, categories))

    write_table(file, chunks())


def _short(typed: str) -> str:
    return shortened(for_terminal(Path(typed).name), LONGEST)
