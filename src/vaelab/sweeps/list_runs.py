"""`vaelab list`: which runs are in a folder, how far they are, and how they differ."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vaelab.sweeps.composed_config import read_config
from vaelab.sweeps.config_hash import WITHOUT_EFFECT
from vaelab.sweeps.ranking import why_not
from vaelab.sweeps.rows import UNREADABLE, WHERE, Row, by_number, read_row
from vaelab.sweeps.run_files import CANNOT_BE_READ
from vaelab.sweeps.scores import is_lower_better

FINISHED, NOT_STARTED = "finished", "not started"
STATES = ("running", FINISHED, "interrupted", "failed", NOT_STARTED, UNREADABLE)  # in the order of the list
SORTS = ("score", "date")
MARKS = ("state.json", "metrics.json", "checkpoints", ".hydra")  # a folder that holds one of these may be a run
INSIDE = ("checkpoints", "figures")  # folders of a run, which hold no runs
DATED = ("state.json", "metrics.json", "checkpoints/last.ckpt")  # files that change while a run makes progress
LATEST = 253_402_300_799  # the end of the year 9999, in seconds since 1970
NAME = "run"  # the key of a row without overrides
TARGET = "._target_"  # how the key of a group's constructor ends
FOLLOWS = "${"  # how a value begins that follows another key


@dataclass(frozen=True)
class Listed:
    """One run, or a folder that looks like one.

    Attributes:
        row: its files, as `vaelab compare` reads them.
        state: one of `STATES`.
        why: why it ended early or cannot be read; empty otherwise.
        config: key -> value of its composed config.
        changed: the time of its last progress, in seconds since 1970.
    """

    row: Row
    state: str
    why: str
    config: Mapping[str, str]
    changed: float

    @property
    def score(self) -> float:
        """Its score; NaN if it has none."""
        return self.row.metrics.get(self.row.score, math.nan)


def list_runs(folder: Path, sort: str = "score") -> tuple[list[Listed], list[str]]:
    """Finds all runs in or below a folder: (the runs, the keys that differ). Links are not followed.

    Args:
        folder: a run, a sweep, or a folder of them.
        sort: `score` puts runs of one state, one kind of score and the same data in the order of their scores, the best
            first; `date` puts the latest first. The states come in the order of `STATES`.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it is a file, or no run is below it.
    """
    if folder.is_file():
        raise ValueError(f"FOLDER must be a folder of runs, but {folder} is a file; name its folder")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; name a folder of runs, such as outputs or multirun")
    runs = _with_options([_listed(place) for place in _places(folder)])
    if not runs:
        raise ValueError(f"{folder} must hold a run, but neither it nor a folder below it does; name another folder")
    return sorted(runs, key=_by_score if sort == "score" else _by_date), differing_keys(runs)


def _places(folder: Path) -> Iterator[Path]:
    """The folders that may be runs, in or below a folder, in the order of their names."""
    left = [folder]
    while left:
        here = left.pop()
        if any(os.path.lexists(here / mark) for mark in MARKS):
            yield here
        try:
            with os.scandir(here) as entries:
                inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            yield here  # it may hold runs, and its row will say that it cannot be read
            continue
        inside = [name for name in inside if name not in INSIDE and not name.startswith(".")]
        left += [here / name for name in sorted(inside, key=by_number, reverse=True)]


def _listed(place: Path) -> Listed:
    row = read_row(place)
    state, why = _state(row)
    config: Mapping[str, str] = {}
    try:
        config = read_config(place) or {key: text for key, text in row.values.items() if key != NAME}
    except CANNOT_BE_READ as error:
        why = why or f"its keys are left out, because {error}"
    return Listed(row, state, why or row.remark, config, _changed(place))


def _state(row: Row) -> tuple[str, str]:
    """The state of a run in the words of this list, and the reason."""
    if not row.metrics and not os.path.lexists(row.folder / "state.json"):
        closed = not os.access(row.folder, os.R_OK | os.X_OK)
        return (
            UNREADABLE,
            "the folder cannot be opened" if closed else "holds no state.json, so it is not a run of vaelab",
        )
    if row.state == "done":
        return FINISHED, row.reason or why_not(row)
    if row.state == "pending":
        return ("interrupted" if row.reason else NOT_STARTED), row.reason
    return row.state, row.reason


def _changed(place: Path) -> float:
    times = [0.0]
    for name in DATED:
        try:
            times.append(os.lstat(place / name).st_mtime)
        except OSError:
            continue
    return min(max(times), LATEST)


def _by_date(run: Listed) -> tuple[Any, ...]:
    return STATES.index(run.state), -run.changed


def _by_score(run: Listed) -> tuple[Any, ...]:
    score = run.score if is_lower_better(run.row.score) else -run.score
    kind = (run.row.score, run.row.meaning, sorted(run.row.data.items())) if run.state == FINISHED else ()
    return STATES.index(run.state), kind, math.isnan(score), 0.0 if math.isnan(score) else score, -run.changed


def differing_keys(runs: Sequence[Listed]) -> list[str]:
    """The keys whose values differ between runs: first those typed on command lines, the most frequent first.

    If a group has another option, only its `_target_` and keys that differ among runs of one option count. Keys that
    follow another key are left out, and so are those that only some runs have, unless they were typed.
    """
    counted = Counter(found for run in runs for key in run.row.values for found in (key, f"{key}{TARGET}"))
    typed = [key for key, _ in counted.most_common()]
    known = dict.fromkeys(key for run in runs for key in run.config)
    keys = sorted(
        [*(key for key in typed if key in known), *(key for key in known if key not in counted)], key=_comes_last
    )
    readable = [run for run in runs if run.config]
    return [key for key in keys if key not in WITHOUT_EFFECT and _differs(key, readable, key in counted)]


def _comes_last(key: str) -> bool:
    """True for a key that comes after the others, because it affects no numbers, or only says where files are."""
    return key in WHERE or key.split(".")[0] in ("callbacks", "logger")


def _differs(key: str, runs: Sequence[Listed], typed: bool) -> bool:
    kinds: dict[str, set[str]] = {}
    for run in runs:
        value = run.config.get(key, "-" if typed or key.endswith(TARGET) else FOLLOWS)
        option = "" if typed or key.endswith(TARGET) else run.config.get(f"{key.split('.')[0]}{TARGET}", "")
        if typed or FOLLOWS not in value:
            kinds.setdefault(option, set()).add(value)
    return any(len(values) > 1 for values in kinds.values())


def _with_options(runs: Sequence[Listed]) -> list[Listed]:
    """Writes a group without an option, such as `scheduler: null`, as `scheduler._target_: null`."""
    groups = {key.removesuffix(TARGET) for run in runs for key in run.config if key.endswith(TARGET)}
    renamed = ({f"{key}{TARGET}" if key in groups else key: text for key, text in run.config.items()} for run in runs)
    return [replace(run, config=config) for run, config in zip(runs, renamed, strict=True)]
