"""Reads runs as rows of a table. If a run cannot be read, its row says why, and the other rows are unaffected."""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vaelab.runs.folder import in_use
from vaelab.sweeps.cells import key_and_value
from vaelab.sweeps.config_hash import WITHOUT_EFFECT
from vaelab.sweeps.run_files import CANNOT_BE_READ, check_state, read_data, read_metrics, read_nll, read_object
from vaelab.sweeps.scores import ELBO, compared_by, score_of

UNREADABLE = "unreadable"  # a state that only a row can have, not a run
PRUNED = "pruned"  # the first word of a pruned run's reason, and the trial's attribute that `PruneTrial` sets
MARKS = ("state.json", "metrics.json")  # a folder that holds one of these is a run
WHERE = ("data.root", "data.path")  # the places of the data, shown only if they differ


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        folder: the folder of the run.
        values: key -> value, from its command line.
        state: one of `vaelab.runs.run_state.STATES`, or UNREADABLE.
        reason: why it failed, was stopped or pruned, or cannot be read.
        config: a hash of its config.
        metrics: its final numbers, nats per example; `test/nll (5000 samples)` if `vaelab evaluate` has run.
        data: facts about its data, from data.json. Two runs can be compared only if all of them agree.
        seconds: the time spent in it.
        score: the tag of the number that says how good it is.
        meaning: the meaning of its score. Two runs can be compared only if it agrees; see
            `vaelab.sweeps.scores.compared_by`.
        remark: why a file that the row does not need was left out; empty otherwise.
    """

    folder: Path
    values: Mapping[str, str]
    state: str = UNREADABLE
    reason: str = ""
    config: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = math.nan
    score: str = ELBO
    meaning: str = "ELBO"
    remark: str = ""


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """Reads the runs in these folders. Each folder is a run or a sweep.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: a folder is a file, or holds no run.
    """
    found: dict[Path, Row] = {}
    for folder in folders:
        if folder.is_file():
            raise ValueError(f"{folder} must be the folder of a run or a sweep, but is a file; name its folder")
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist, so there is nothing to compare; name a run or a sweep")
        runs = list(_runs_in(folder))
        if not runs:
            raise ValueError(f"{folder} must hold a run, but holds none; name the folder of a run or of a sweep")
        found |= {path.resolve(): read_row(path) for path in runs}
    return list(found.values())


def read_row(folder: Path) -> Row:
    """Reads the run in a folder. If that fails, the row has the state UNREADABLE and a reason."""
    row = Row(folder, {"run": folder.name})
    try:
        row = _with_state(row)
        data, metrics = read_data(folder), read_metrics(folder)
    except CANNOT_BE_READ as error:
        return replace(row, state=UNREADABLE, reason=str(error))
    state = row.state if row.state != UNREADABLE else "done" if metrics else "pending"  # without a state.json
    if state == "running" and not in_use(folder):
        state, row = "pending", replace(row, reason="was killed")
    row = replace(row, state=state, data=data)
    return _with_nll(_with_score(replace(row, metrics=metrics))) if state == "done" else row


def _with_state(row: Row) -> Row:
    """Adds the contents of state.json to a row, if there is one."""
    found = read_object(row.folder / "state.json")
    if found is None:
        return row
    check_state(found)
    given = dict(map(key_and_value, found.get("overrides", [])))
    values = {key: value for key, value in given.items() if key not in WITHOUT_EFFECT}
    texts = {key: found.get(key, "") for key in ("state", "reason", "config")}
    return replace(row, values=values or row.values, seconds=float(found.get("seconds", 0.0)), **texts)


def _with_score(row: Row) -> Row:
    try:
        score = score_of(row.folder, row.metrics)
        return replace(row, score=score, meaning=compared_by(row.folder, score, row.metrics))
    except CANNOT_BE_READ as error:
        return replace(row, state=UNREADABLE, reason=str(error))


def _with_nll(row: Row) -> Row:
    """Adds the NLL that `vaelab evaluate` found on the test split to a row."""
    try:
        return replace(row, metrics={**row.metrics, **read_nll(row.folder, row.data)})
    except CANNOT_BE_READ as error:
        return replace(row, remark=f"test/nll is left out, because {error}")


def _runs_in(folder: Path) -> Iterator[Path]:
    """The folders of runs in or below a folder, in the order of their names. Links are not followed."""
    left = [folder]
    while left:
        here = left.pop()
        if any(os.path.lexists(here / mark) for mark in MARKS):
            yield here
            continue
        try:
            with os.scandir(here) as entries:
                inside = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            yield here  # it may hold a run, and its row will say that it cannot be read
            continue
        left += sorted(inside, key=lambda path: by_number(path.name), reverse=True)


def by_number(name: str) -> list[Any]:
    """A sort key that orders names as people do: m2 comes before m10."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", name)
    return [(0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)]


def finite(text: str) -> float | None:
    """Reads a text as a finite number; None if it isn't one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
