"""`vaelab reconstruct`: what comes back if the model encodes and decodes these data?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.commands.columns import arrays, category_names, column_names, likelihood_columns
from vaelab.commands.conditions import Condition, column_of, every_condition, is_every, parse_condition, shown_classes
from vaelab.commands.rows import ROWS, read, rows_at_once
from vaelab.evaluation import views
from vaelab.evaluation.discrete import representative
from vaelab.evaluation.styles import with_style
from vaelab.runs.run import Run
from vaelab.tables import write_table

SHOWN = 10  # the most images in a picture
Decoded = tuple[dict[str, Tensor], Tensor, Tensor | None]  # columns of a table, z (n, p), and its condition


@torch.no_grad()
def reconstruct(
    run: Run,
    data: str,
    file: Path,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
    condition: str | None = None,
    decode_as: str | None = None,
) -> int:
    """Writes mean and one draw of p(t|z), z the mean of q(z|x), for each row, or draws the first. Returns the rows.

    If z is discrete, it is the mode of q(z|x).

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        file: a table, .npz, .csv or .parquet, or a .png picture.
        seed: the seed of the draws in a picture.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the condition of all rows of a file, for a conditional run; by default the file's own labels.
        decode_as: the condition to decode with, if it is another than the one of each row. `all` decodes each row with
            every class: a picture has a column for each class, and a table a row for each, with the columns `row` and
            `condition`.
    """
    every = is_every(run, decode_as)
    other = None if decode_as is None or every else parse_condition(run, decode_as, "--as")
    if file.suffix.lower() == ".png":
        return _draw(run, data, file, seed, overrides, condition, other, every)
    names, categories = column_names(run, file), category_names(run)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        first = 0
        for x, _, given in read(run, data, overrides, condition):
            z = representative(run.vae.encode(x, given))
            for columns, z_of, values in _with_every(run, z, given, first) if every else [_with(run, z, given, other)]:
                p = run.vae.decode(z_of, values)
                yield arrays(columns | likelihood_columns(p, names, categories))
            first += len(x)

    return write_table(file, chunks())


def _with(run: Run, z: Tensor, given: Tensor | None, other: Condition | None) -> Decoded:
    """z (n, p) with the other condition, or else their own."""
    return ({}, with_style(run.vae, z, given, other.values), other.values) if other else ({}, z, given)


def _with_every(run: Run, z: Tensor, given: Tensor | None, first: int) -> Iterator[Decoded]:
    """z (n, p) of rows from `first`, each with every class in turn, some at a time."""
    every = torch.stack([each.values for each in every_condition(run)])  # (k, c)
    own = None if given is None else given.expand(len(z), -1)
    pairs = torch.cartesian_prod(torch.arange(len(z)), torch.arange(len(every))).to(z.device)
    for row, kind in (part.unbind(-1) for part in pairs.split(rows_at_once(run))):
        styled = with_style(run.vae, z[row], None if own is None else own[row], every[kind])
        yield {"row": first + row} | column_of(run, every[kind]), styled, every[kind]


def _draw(
    run: Run,
    data: str,
    file: Path,
    seed: int,
    overrides: Mapping[str, Any],
    condition: str | None,
    other: Condition | None,
    every: bool,
) -> int:
    x, target, given = next(read(run, data, overrides, condition))
    if target is None:
        raise ValueError(
            f"a picture needs targets beside the reconstructions, but {data} holds only inputs; write a table such as "
            "-o reconstructions.csv, or use train, val or test as DATA"
        )
    shown = min(len(x), SHOWN if views.is_image(run.target_shape) else ROWS)
    given = given if given is None or given.dim() == 1 else given[:shown]
    x, target = x[:shown], target[:shown]
    if every and given is not None:
        views.restyled(run.vae, x, target, given, *shown_classes(run)).save(file)
        return shown
    options: dict[str, Any] = {"decode_as": other.values, "given": other.given} if other else {}
    views.reconstructions(run.vae, x, target, run.datamodule().names, seed, given, **options).save(file)
    return shown
