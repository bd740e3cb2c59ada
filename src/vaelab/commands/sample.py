"""`vaelab sample`: what has the model learned to draw?"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import check_whole
from vaelab.commands.columns import arrays, category_names, column_names, likelihood_columns
from vaelab.commands.conditions import class_names, classes_in_turn, find_class
from vaelab.commands.rows import rows_at_once
from vaelab.evaluation import views
from vaelab.runs.run import Run
from vaelab.tables import write_table

MOST = 10_000  # the most samples in a picture


@torch.no_grad()
def sample(run: Run, n: int, file: Path, show: str | None = None, seed: int = 0, condition: str | None = None) -> int:
    """Writes z ~ p(z), the mean of p(t|z) and a draw from it, n of each, or draws a picture. Returns the rows.

    In the table of a conditional run, the column `condition` holds the class of each row, counted from 0.

    Args:
        run: the run, from `load_run`.
        n: the number of samples.
        file: a table, .npz, .csv or .parquet, or a .png picture.
        show: `mean` or `sample`, in a picture; by default the mean of images and a draw of points.
        seed: the seed of the draws in a picture.
        condition: the class of all samples, for a conditional run; by default its classes take turns.
    """
    check_whole("-n", n, 1)
    if file.suffix.lower() == ".png":
        return _draw(run, n, file, show, seed, condition)
    names, categories = column_names(run, file), category_names(run)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        rows = rows_at_once(run)
        for start in range(0, n, rows):
            z = run.vae.prior().sample((min(rows, n - start),))
            given = _conditions(run, condition, start, len(z))
            number = {} if given is None else {"condition": given.argmax(-1)}
            p = run.vae.decode(z, given)
            yield arrays({"z": z} | number | likelihood_columns(p, names, categories))

    return write_table(file, chunks())


def _draw(run: Run, n: int, file: Path, show: str | None, seed: int, condition: str | None) -> int:
    if n > MOST:
        raise ValueError(f"-n must be at most {MOST} for a picture, but is {n}; draw fewer, or write a table")
    chosen, classes = find_class(run, condition), class_names(run)
    given = chosen.given if chosen else "c" if classes else ""
    in_turn = bool(classes) and not chosen
    views.prior_samples(
        run.vae,
        n,
        show or ("mean" if views.is_image(run.target_shape) else "sample"),
        names=run.datamodule().names,
        seed=seed,
        condition=_conditions(run, condition, 0, n),
        given=given,
        row_names=classes[:n] if in_turn else None,
    ).save(file)
    return n


def _conditions(run: Run, condition: str | None, first: int, n: int) -> Tensor | None:
    """The conditions of n rows from row `first`, (n, c): one class, or all in turn; None if the run has none."""
    if chosen := find_class(run, condition):
        return chosen.condition.expand(n, -1)
    classes = class_names(run)
    return classes_in_turn(run.vae, len(classes), first, n) if classes else None
