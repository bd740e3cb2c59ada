"""Runs as rows of a table. A run that cannot be read has a row that says why, and does not affect the others."""

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

UNREADABLE = "unreadable"  # a row's state, beside those of a run
PRUNED = "pruned"  # how the reason of such a run begins; `vaelab.training.PruneTrial` sets a trial's attribute so named
MARKS = ("state.json", "metrics.json")  # a folder that holds one of these is a run
WHERE = ("data.root", "data.path")  # where the data lie: shown only if it differs


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        folder: of the run.
        values: key -> value of its command line.
        state: one of `vaelab.runs.run_state.STATES`, or UNREADABLE.
        reason: why it failed, was stopped, pruned or cannot be read.
        config: a hash of its config.
        metrics: its final numbers, nats per example; `test/nll (5000 samples)` if `vaelab evaluate` has run.
        data: what data.json says its numbers are of; two runs compare only if all of it agrees.
        seconds: spent in it.
        score: the tag of the number that says how good it is.
        meaning: of its score: two runs compare only if it agrees; see `vaelab.sweeps.scores.compared_by`.
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
    """The runs in these folders, each a run or a sweep.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: it is a file, or holds no run.
    """
    found: dict[Path, Row] = {}
    for folder in folders:
        if folder.is_file():
            raise ValueError(f"{folder} must be the folder of a run or a sweep, but is a file; name its folder")
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist, so there is nothing to compare; name a run or a sweep")
        runs = list(_runs_in(folder))
        if not runs:
            raise ValueError(f"{folder} holds no run; name the folder of a run or of a sweep")
        found |= {path.resolve(): read_row(path) for path in runs}
    return list(found.values())


def read_row(folder: Path) -> Row:
    """The run in a folder; one that cannot be read has the state UNREADABLE and a reason."""
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
    """The row with what its state.json holds, if there is one."""
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
    """The row with the NLL that `vaelab evaluate` found on the test split."""
    try:
        return replace(row, metrics={**row.metrics, **read_nll(row.folder, row.data)})
    except CANNOT_BE_READ as error:
        return replace(row, remark=f"test/nll is left out, because {error}")


def _runs_in(folder: Path) -> Iterator[Path]:
    """The folders of runs at or under a folder, in the order of their names; links are not followed."""
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
            yield here  # it may hold a run: its row says that it cannot be read
            continue
        left += sorted(inside, key=lambda path: by_number(path.name), reverse=True)


def by_number(name: str) -> list[Any]:
    """A key by which names are sorted like people do: m2 comes before m10."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", name)
    return [(0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)]


def finite(text: str) -> float | None:
    """The finite number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
