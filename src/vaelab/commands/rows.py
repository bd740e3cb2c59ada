"""Reads the DATA of a command as batches for the run's model."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import SPLITS
from vaelab.commands.conditions import class_names, conditions_in_turn, find_condition, of_labels
from vaelab.evaluation.memory_needed import decode_bytes, encode_bytes
from vaelab.runs.run import Run

if TYPE_CHECKING:
    from vaelab.data import DataModule, Reading

ROWS = 1_000  # the most examples that pass through the networks at once
MEMORY = 2**28  # the most bytes that they may take: a full covariance of 28x28 pixels needs 2.5 MB per example


class Rows(NamedTuple):
    """Some rows of DATA, on the device of the model.

    Attributes:
        x: (n, *x), the encoder's input.
        target: (n, *t), the decoder's target; None if a file holds only inputs.
        condition: (n, c), or (c,) for all rows; None if the run has no condition.
    """

    x: Tensor
    target: Tensor | None
    condition: Tensor | None


def read(run: Run, data: str, overrides: Mapping[str, Any] = {}, condition: str | None = None) -> Iterator[Rows]:
    """Reads DATA in batches, prepared as in training.

    If a file has names, its columns are reordered to match the model.

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the condition of all rows of a file, such as a class by its name or number; by default the file's own
            labels, if it has any. The rows of a split have their own.

    Raises:
        ValueError: as for `vaelab.data.read_chunks`; or the columns are not the model's; or the condition is missing,
            unknown or not needed.
    """
    return (rows for rows, _ in read_labelled(run, data, overrides, condition))


def read_labelled(
    run: Run, data: str, overrides: Mapping[str, Any] = {}, condition: str | None = None
) -> Iterator[tuple[Rows, np.ndarray | None]]:
    """Like `read`, but with the label of each row, (n,), numbers or text; None if the data have no label."""
    read_from = _split_rows if data in SPLITS else _file_rows
    return read_from(run, data, overrides, condition)


def _split_rows(
    run: Run, split: str, overrides: Mapping[str, Any], condition: str | None
) -> Iterator[tuple[Rows, np.ndarray | None]]:
    if find_condition(run, condition):
        raise ValueError(f"--condition is {condition}, but the rows of {split} have their own conditions; leave it out")
    device = next(run.vae.parameters()).device
    module, first = run.ready_datamodule(overrides), 0
    labels = _names_of_labels(module, split)
    for batch in module.batches(split, rows_at_once(run)):
        x, target, *own = (tensor.to(device) for tensor in batch)
        yield Rows(x, target, own[0] if own else None), labels if labels is None else labels[first : first + len(x)]
        first += len(x)


def _names_of_labels(module: "DataModule", split: str) -> np.ndarray | None:
    """The labels of a split, (n,): the names of classes, or numbers; None if there are none."""
    if (found := module.labels(split)) is None:
        return None
    labels = found[1].numpy()
    return labels if module.label_names is None else np.array(module.label_names, dtype=str)[labels]


def _file_rows(
    run: Run, data: str, overrides: Mapping[str, Any], condition: str | None
) -> Iterator[tuple[Rows, np.ndarray | None]]:
    from vaelab.data import open_rows
    from vaelab.data.columns import order_columns

    chosen = find_condition(run, condition)
    device, at_once = next(run.vae.parameters()).device, rows_at_once(run)
    module, reading = _module_and_reading(run, overrides)
    names = module.names_in_files
    if chosen and reading.selection is not None:  # then the file need not hold the columns of the condition
        names, reading = run.x_names, replace(reading, selection=reading.selection.without_condition(run.x_names))
    source = open_rows(Path(data), reading=reading)
    order = order_columns(source.names, names, str(source.path), module.reads_columns)
    generator = torch.Generator().manual_seed(getattr(module, "seed", 0))
    first = 0
    for chunk, labels in source.pieces:
        for start, rows in zip(range(0, len(chunk), at_once), chunk.split(at_once), strict=True):
            rows = rows if order is None else rows[:, order]
            where = source.placed(first, order)
            rows, own = (rows, None) if chosen else module.with_conditions(rows, where)
            x = module.prepare(rows, run.x_shape, generator, where).to(device)
            label = None if labels is None else labels[start : start + at_once]
            given = chosen.values if chosen else _of_file(run, data, label) if own is None else own.to(device)
            yield Rows(x, x if run.x_shape == run.target_shape else None, given), label
            first += len(rows)


def _of_file(run: Run, data: str, labels: np.ndarray | None) -> Tensor | None:
    """The conditions of rows of a file, from their labels, (n, c); None if the run has no condition."""
    if not (names := class_names(run)):
        return None
    if labels is not None:
        return of_labels(run, labels, data)
    from vaelab.data.wording import listed

    raise ValueError(
        f"{data} needs --condition, because the model was trained with one, and the file holds no labels; use one of "
        f"{listed(names)}"
    )


def _module_and_reading(run: Run, overrides: Mapping[str, Any]) -> tuple["DataModule", "Reading"]:
    """The run's data module, and how it reads a file. Every run accepts the keys of `Reading`."""
    from vaelab.data import Reading

    ways = {field.name for field in fields(Reading)} - {"selection"}
    module = run.datamodule(**{key: value for key, value in overrides.items() if key not in ways})
    return module, replace(
        module.reading_for(run.x_shape), **{key: value for key, value in overrides.items() if key in ways}
    )


def rows_at_once(run: Run) -> int:
    """The number of examples that pass through the networks together."""
    device = next(run.vae.parameters()).device
    x, target = (torch.zeros(1, *shape, device=device) for shape in (run.x_shape, run.target_shape))
    condition = conditions_in_turn(run, 0, 1)
    needed = max(decode_bytes(run.vae, x, target, condition), encode_bytes(run.vae, x, condition))
    return max(1, min(ROWS, MEMORY // needed))
