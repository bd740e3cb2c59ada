"""`vaelab list`: which runs are in a folder, how far they are, and in what they differ."""

import json
import math
import os
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vaelab.escapes import for_terminal, short
from vaelab.sweeps.composed_config import read_config
from vaelab.sweeps.config_hash import WITHOUT_EFFECT
from vaelab.sweeps.rows import UNREADABLE, WHERE, Row, by_number, read_row
from vaelab.sweeps.run_files import CANNOT_BE_READ
from vaelab.sweeps.scores import is_lower_better

FINISHED, NOT_STARTED = "finished", "not started"
STATES = ("running", FINISHED, "interrupted", "failed", NOT_STARTED, UNREADABLE)  # in the order of the list
SORTS = ("score", "date")
MARKS = ("state.json", "metrics.json", "checkpoints", ".hydra")  # a folder that holds one of these may be a run
INSIDE = ("checkpoints", "figures")  # folders of a run, which hold no runs
DATED = ("state.json", "metrics.json", "checkpoints/last.ckpt")  # files that change while a run makes progress
TARGET = "._target_"  # how the key of a group's constructor ends
FOLLOWS = "${"  # how a value begins that follows another key
MOST_KEYS = 6  # the most columns of keys in a table
LONGEST, LONGEST_WHY, WIDTH = 28, 90, 110  # letters in a cell, in a reason, and in a line of notes


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
    """Finds all runs in or below a folder: (the runs, the keys in which they differ). Links are not followed.

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
    config: Mapping[str, str] = row.values if row.state != UNREADABLE else {}  # if there is no config, what was typed
    try:
        config = read_config(place) or config
    except CANNOT_BE_READ as error:
        why = why or f"its keys are left out, because {error}"
    return Listed(row, state, why or row.remark, config, _changed(place))


def _state(row: Row) -> tuple[str, str]:
    """The state of a run in the words of this list, and the reason."""
    if not row.metrics and not os.path.lexists(row.folder / "state.json"):
        closed = not os.access(row.folder, os.R_OK | os.X_OK)
        return UNREADABLE, "the folder cannot be opened" if closed else "holds no state.json, so it is no run of vaelab"
    if row.state == "done":
        return FINISHED, row.reason
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
    return max(times)


def _by_date(run: Listed) -> tuple[Any, ...]:
    return STATES.index(run.state), -run.changed


def _by_score(run: Listed) -> tuple[Any, ...]:
    score = run.score if is_lower_better(run.row.score) else -run.score
    kind = (run.row.score, run.row.meaning, sorted(run.row.data.items())) if run.state == FINISHED else ()
    return STATES.index(run.state), kind, math.isnan(score), 0.0 if math.isnan(score) else score, -run.changed


def differing_keys(runs: Sequence[Listed]) -> list[str]:
    """The keys whose values differ between runs: first those typed on a command line, then the others.

    If a group has another option, only its `_target_` and keys that differ among runs of one option count. Keys that
    follow another key are left out, and so are those that only some runs have, unless they were typed.
    """
    typed = dict.fromkeys(found for run in runs for key in run.row.values for found in (key, f"{key}{TARGET}"))
    known = dict.fromkeys(key for run in runs for key in run.config)
    keys = sorted([*(key for key in typed if key in known), *(key for key in known if key not in typed)], key=_last)
    readable = [run for run in runs if run.config]
    return [key for key in keys if key not in WITHOUT_EFFECT and _differs(key, readable, key in typed)]


def _last(key: str) -> bool:
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


def as_json(runs: Sequence[Listed], keys: Sequence[str]) -> str:
    """The runs as JSON, a list of objects. It is ASCII, so control characters in a run's files are escaped."""
    return json.dumps([_object(run, keys) for run in runs], indent=2)


def _object(run: Listed, keys: Sequence[str]) -> dict[str, Any]:
    score = {"name": run.row.score, "value": run.score, "meaning": run.row.meaning}
    return {
        "folder": os.path.abspath(run.row.folder),
        "state": run.state,
        "why": run.why,
        "score": None if math.isnan(run.score) else score,
        "differs": {key: run.config[key] for key in keys if key in run.config},
        "metrics": {tag: value if math.isfinite(value) else None for tag, value in run.row.metrics.items()},
        "changed": datetime.fromtimestamp(run.changed, timezone.utc).isoformat(timespec="seconds"),
        "seconds": run.row.seconds if math.isfinite(run.row.seconds) else None,
    }


def as_text(runs: Sequence[Listed], keys: Sequence[str], folder: Path, sort: str = "score") -> str:
    """The runs as a table for a terminal, and what it shows."""
    now, shown = time.time(), list(keys[:MOST_KEYS])
    scores = {run.row.score for run in runs if not math.isnan(run.score)}
    meanings = list(dict.fromkeys(run.row.meaning for run in runs if not math.isnan(run.score)))
    explained = any(run.why for run in runs)
    several = len(meanings) > 1
    head = ["state", scores.copy().pop() if len(scores) == 1 else "score", *(["meaning"] if several else [])]
    head += [_heading(key) for key in shown] + ["changed", "run", *(["why"] if explained else [])]
    lines = [head]
    for run in runs:
        line = [run.state, _score(run, len(scores) > 1)]
        line += [short(run.row.meaning, LONGEST) if not math.isnan(run.score) else "-"] if several else []
        line += [short(_value(key, run.config.get(key, "-")), LONGEST) for key in shown]
        line += [_age(now - run.changed), os.path.relpath(run.row.folder, folder)]
        lines.append([*line, *([short(run.why, LONGEST_WHY)] if explained else [])])
    cells = [[for_terminal(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    notes = (textwrap.fill(for_terminal(note), WIDTH) for note in _notes(runs, keys, meanings, sort))
    return "\n".join([*table, "", *notes])


def _notes(runs: Sequence[Listed], keys: Sequence[str], meanings: Sequence[str], sort: str) -> list[str]:
    count = {state: sum(run.state == state for run in runs) for state in STATES}
    total = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    order = "by score, the best first" if sort == "score" else "by date, the latest first"
    found = [f"{total}: {', '.join(f'{n} {state}' for state, n in count.items() if n)}; sorted by state, then {order}."]
    if meanings:
        kinds = f" ({meanings[0]})" if len(meanings) == 1 else ""
        found.append(
            f"A score is a final number of the validation split{kinds}, in nats per example. Scores compare if data "
            "and objective agree; `vaelab compare` checks that."
        )
    if (more := len(keys) - MOST_KEYS) > 0:
        found.append(f"{more} more {'key differs' if more == 1 else 'keys differ'}; --json lists all.")
    return found


def _heading(key: str) -> str:
    """`model._target_` is called `model`; a long key loses its beginning, because keys mostly differ at their ends."""
    name = key.removesuffix(TARGET)
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _value(key: str, value: str) -> str:
    """A value as a table shows it: without the package of a class."""
    return value.rpartition(".")[2] if key.endswith(TARGET) else value


def _score(run: Listed, named: bool) -> str:
    if math.isnan(run.score):
        return "-"
    return f"{run.row.score} {run.score:.3f}" if named else f"{run.score:.3f}"


def _age(seconds: float) -> str:
    """3 min ago."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{min(seconds / size, 9_999):.0f} {unit} ago"
    return "now"
