"""`vaelab sample`: what has the model learned to draw?"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import check_whole
from vaelab.commands.columns import arrays, category_names, column_names, likelihood_columns
from vaelab.commands.conditions import (
    column_of,
    conditions_in_turn,
    every_condition,
    find_condition,
    is_every,
    row_names,
    shown_classes,
)
from vaelab.commands.rows import rows_at_once
from vaelab.evaluation import views
from vaelab.runs.run import Run
from vaelab.tables import write_table

DEFAULT = 64  # samples, unless --condition all asks for styles
MOST = 10_000  # the most samples in a picture


@torch.no_grad()
def sample(
    run: Run, n: int | None, file: Path, show: str | None = None, seed: int = 0, condition: str | None = None
) -> int:
    """Writes z ~ p(z), the mean of p(t|z) and a draw from it, n of each, or draws a picture. Returns the rows.

    `with_latents` gives a run whose z come from the latents of training examples instead.

    In the table of a conditional run, the column `condition` holds the class of each row, counted from 0.

    Args:
        run: the run, from `load_run`.
        n: the number of samples; None is 64, or 10 with condition `all`.
        file: a table, .npz, .csv or .parquet, or a .png picture.
        show: `mean` or `sample`, in a picture; by default the mean of images and a draw of points.
        seed: the seed of the draws in a picture.
        condition: the condition of all samples, for a conditional run, such as a class; by default its classes take
            turns. `all` decodes each z with every class: a picture has a row for each z and a column for each class.
    """
    every = is_every(run, condition)
    n = check_whole("-n", (views.STYLES if every else DEFAULT) if n is None else n, 1)
    if file.suffix.lower() == ".png":
        return _draw_styles(run, n, file, show, seed) if every else _draw(run, n, file, show, seed, condition)
    names, categories, rows = column_names(run, file), category_names(run), rows_at_once(run)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for z, given in _styles(run, n, rows) if every else _samples(run, n, rows, condition):
            number = {} if given is None else column_of(run, given)
            p = run.vae.decode(z, given)
            yield arrays({"z": z} | number | likelihood_columns(p, names, categories))

    return write_table(file, chunks())


def _samples(run: Run, n: int, rows: int, condition: str | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """z (rows, p) and their conditions (rows, c), some rows at a time."""
    for start in range(0, n, rows):
        given = _conditions(run, condition, start, min(rows, n - start))
        yield run.vae.sample_prior(min(rows, n - start), given), given


def _styles(run: Run, n: int, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Each of n styles under every class in turn: z (rows, p) and their conditions (rows, c), some rows at a time."""
    every = torch.stack([each.values for each in every_condition(run)])  # (k, c)
    at_once = max(1, rows // len(every))
    seeds = torch.randint(2**31, (-(-n // at_once),)).tolist()
    for start, seed in zip(range(0, n, at_once), seeds, strict=True):
        z = views.style_draws(run.vae, min(at_once, n - start), every, seed).flatten(0, 1)
        given = every.repeat(len(z) // len(every), 1)
        yield from zip(z.split(rows), given.split(rows), strict=True)


def _draw(run: Run, n: int, file: Path, show: str | None, seed: int, condition: str | None) -> int:
    _check_count(n, MOST)
    chosen, given = find_condition(run, condition), _conditions(run, condition, 0, n)
    title = chosen.given if chosen else "" if given is None else "c"
    views.prior_samples(
        run.vae,
        n,
        show or ("mean" if views.is_image(run.target_shape) else "sample"),
        names=run.datamodule().names,
        seed=seed,
        condition=given,
        given=title,
        row_names=None if chosen else row_names(run, n),
    ).save(file)
    return n


def _draw_styles(run: Run, n: int, file: Path, show: str | None, seed: int) -> int:
    conditions, titles = shown_classes(run)
    _check_count(n, MOST // len(conditions))
    views.styles(run.vae, conditions, titles, n, seed, show or "mean").save(file)
    return n * len(conditions)


def _check_count(n: int, most: int) -> None:
    if n > most:
        raise ValueError(f"-n must be at most {most} for a picture, but is {n}; draw fewer, or write a table")


def _conditions(run: Run, condition: str | None, first: int, n: int) -> Tensor | None:
    """The conditions of n rows from row `first`, (n, c): one for all, or all in turn; None if the run has none."""
    if chosen := find_condition(run, condition):
        return chosen.values.expand(n, -1)
    return conditions_in_turn(run, first, n)
