"""Reads the curves of a run from its event files, or from the table of a CSV logger."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaelab.files import open_regular
from vaelab.hparams_tab import FINAL

EVENTS = "events.out.tfevents.*"
TABLES = ("curves.csv", "metrics.csv")  # of vaelab's CSVLogger, and of Lightning's
COUNTERS = ("step", "epoch", "hp_metric")
ONCE = (f"{FINAL}/", "test/", "final/")  # numbers of the end, which are in metrics.json; older runs have the last two
MOST = 1 << 27  # the most numbers in all curves of a run together
Array = np.ndarray[Any, Any]


class Point(NamedTuple):
    """A number of a curve."""

    tag: str
    step: int
    value: float


def read_curves(folder: Path, steps_per_epoch: int | None = None) -> dict[str, Array]:
    """The curves of a run: `step`, `epoch`, and an array for each curve, all of the same length n.

    A curve without a point at a step is NaN there. A resumed run has each step once: if it wrote a step again, the
    later point counts, and the points after that step which it had written before are left out. You can read a run
    while it trains.

    Args:
        folder: the run's folder.
        steps_per_epoch: the number of optimiser steps in an epoch; None if there has not been a whole one.

    Raises:
        ValueError: a file is not an ordinary file, or does not hold curves.
    """
    curves: dict[str, dict[int, float]] = {}
    for point in _points(folder):
        if point.tag not in COUNTERS and not point.tag.startswith(ONCE):
            _add(curves.setdefault(point.tag, {}), point.step, point.value)
    steps = sorted({step for curve in curves.values() for step in curve})
    if len(steps) * len(curves) > MOST:
        raise ValueError(f"the curves in {folder} must hold at most {MOST} numbers; log fewer numbers, or less often")
    step = np.array(steps, dtype=np.int64)
    epoch = step // steps_per_epoch + 1 if steps_per_epoch else np.ones_like(step)
    return {"step": step, "epoch": epoch} | {tag: _spread(curve, step) for tag, curve in curves.items()}


def steps_per_epoch_of(checkpoint: Mapping[str, Any]) -> int | None:
    """The number of optimiser steps in an epoch, from the counters of a checkpoint; None if no epoch is complete."""
    try:
        loop = checkpoint["loops"]["fit_loop"]
        batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]["total"]["completed"]
        current = batches["current"]["completed"]
        count = current if batches["is_last_batch"] else (batches["total"]["completed"] - current) // epochs
        together = checkpoint["hyper_parameters"]["trainer"].get("accumulate_grad_batches") or 1
        return max(1, math.ceil(count / together)) if count > 0 else None
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):  # another program wrote it, or no epoch is done
        return None


def _add(curve: dict[int, float], step: int, value: float) -> None:
    """Adds a point. If the curve is already at this step or after it, the run was resumed from an earlier one."""
    while curve and (last := next(reversed(curve))) >= step:
        del curve[last]
    curve[step] = value


def _spread(curve: Mapping[int, float], steps: Array) -> Array:
    """A curve as an array over all steps (n,), with NaN where it has no point."""
    values = np.full(len(steps), np.nan)
    values[np.searchsorted(steps, list(curve))] = list(curve.values())
    return values


def _points(folder: Path) -> Iterable[Point]:
    """Every number that a run has logged, in the order of writing."""
    events = sorted(folder.glob(EVENTS), key=_age)
    if events:
        return (point for path in events for point in _points_of_events(path))
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    return _points_of_table(tables[0]) if tables else ()


def _age(path: Path) -> tuple[str, int, str]:
    """Orders event files by the second in their names, and files of one second by the number at the end."""
    return path.name.split(".")[3], len(path.name), path.name


def _points_of_events(path: Path) -> Iterator[Point]:
    """The numbers in an event file. One that is still being written ends with its last complete point."""
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    open_regular(path).close()
    try:
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                is_number = not value.tensor.tensor_shape.dim  # a tensor could be declared larger than the memory
                if value.metadata.plugin_data.plugin_name == "scalars" and is_number:
                    yield Point(value.tag, event.step, float(make_ndarray(value.tensor)))
    except (DecodeError, TypeError, ValueError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path} must be an event file of TensorBoard, but cannot be read ({error})") from error


def _points_of_table(path: Path) -> Iterator[Point]:
    """The numbers in a table with a row for each point. Cells are empty if a curve has no point there.

    A last line without an end is still being written, so it is left out.
    """
    with open_regular(path) as binary:
        lines = (line.decode("utf-8", "replace") for line in binary if line.endswith(b"\n"))
        try:
            for row in csv.DictReader(lines):
                step = int(row["step"])
                yield from (Point(tag, step, float(value)) for tag, value in row.items() if value and tag != "step")
        except (csv.Error, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be a table with a column step, as a CSV logger writes it, but cannot be read "
                f"({type(error).__name__}: {error})"
            ) from error
