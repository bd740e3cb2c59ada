"""Runs as rows: what the files in a run's folder say, or why they cannot be read.

A run folder may come from anyone. Each file is small, regular and of the expected form, or the row says what is wrong
with it. A bad folder affects only its own row.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from vaelab.escapes import short
from vaelab.files import read_small
from vaelab.runs.folder import in_use
from vaelab.runs.run_state import STATES
from vaelab.sweeps.cells import key_and_value
from vaelab.sweeps.config_hash import PLACES

UNREADABLE = "unreadable"  # a row's state, beside those of a run
MARKS = ("state.json", "metrics.json")  # a folder that holds one of these is a run
LARGEST_FILE = 1 << 20  # bytes
MOST_OVERRIDES, MOST_NUMBERS = 200, 1000
EVALUATION = ("split", "examples", "samples", "checkpoint", "seed", "overrides")  # keys that are not about the data
WHERE = ("data.root", "data.path")  # where the data lie: shown if that differs
CANNOT_BE_READ = (OSError, ValueError, RecursionError)
BEST, NLL = "best.ckpt", "test/nll"
HOW_IT_WAS_READ = "read"  # a sentence in data.json for people, which says nothing about the numbers


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        folder: where it lies.
        values: key -> value of its command line.
        state: one of `vaelab.runs.run_state.STATES`, or UNREADABLE.
        reason: why it failed, was stopped, pruned or cannot be read.
        config: a hash of its config.
        metrics: its final numbers, nats per example; `test/nll (5000 samples)` if `vaelab evaluate` has run.
        data: what data.json says its numbers are of; two runs compare only if all of it agrees.
        seconds: spent in it.
        remark: what is wrong with a file that the ranking does not need; empty otherwise.
    """

    folder: Path
    values: Mapping[str, str]
    state: str = UNREADABLE
    reason: str = ""
    config: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = math.nan
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
        state, data, metrics = (read_object(folder / f"{name}.json") for name in ("state", "data", "metrics"))
        row = row if state is None else _with_state(row, state)
        data = {key: _as_text(value) for key, value in (data or {}).items() if key != HOW_IT_WAS_READ}
        metrics = _numbers(metrics or {})
    except CANNOT_BE_READ as error:
        return replace(row, state=UNREADABLE, reason=str(error))
    how = row.state if row.state != UNREADABLE else "done" if metrics else "pending"  # without a state.json
    if how == "running" and not in_use(folder):
        how, row = "pending", replace(row, reason="was killed")
    row = replace(row, state=how, data=data)
    return _with_nll(replace(row, metrics=metrics)) if how == "done" else row


def read_object(path: Path) -> dict[str, Any] | None:
    """A small JSON file that holds an object; None if there is no such file.

    Raises:
        OSError, ValueError: it is another kind of file, too large, or holds something else.
    """
    try:
        contents = read_small(path, LARGEST_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error
    try:
        found = json.loads(contents, parse_int=_whole)
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply to be read") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} must hold a JSON object, but holds {_in_short(found)}")
    return found


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
        left += sorted(inside, key=_natural, reverse=True)


def _natural(path: Path) -> list[Any]:
    """Numbers in names in the order of numbers."""
    parts = path.name.replace("=", ",").split(",")
    return [(0, number, "") if (number := finite(part)) is not None else (1, 0.0, part) for part in parts]


def finite(text: str) -> float | None:
    """The finite number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _with_state(row: Row, found: Mapping[str, Any]) -> Row:
    """The row with what its state.json holds."""
    state, reason, config = (found.get(key, "") for key in ("state", "reason", "config"))
    overrides, seconds = found.get("overrides", []), found.get("seconds", 0.0)
    if state not in STATES:
        raise ValueError(f"state in state.json must be one of {', '.join(STATES)}, but is {_in_short(state)}")
    if not isinstance(overrides, list) or len(overrides) > MOST_OVERRIDES:
        raise ValueError(f"overrides in state.json must be a list of at most {MOST_OVERRIDES} texts")
    if wrong := [each for each in (reason, config, *overrides) if not isinstance(each, str)]:
        raise ValueError(f"state.json must hold a text in place of {_in_short(wrong[0])}")
    if not _is_number(seconds):
        raise ValueError(f"seconds in state.json must be a number, but is {_in_short(seconds)}")
    given = dict(map(key_and_value, overrides))
    values = {key: value for key, value in given.items() if key not in PLACES}
    return replace(row, values=values or row.values, state=state, reason=reason, config=config, seconds=float(seconds))


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of metrics.json; null stands for one that is not finite, and older runs wrote NaN or Infinity."""
    if len(found) > MOST_NUMBERS:
        raise ValueError(f"metrics.json must hold at most {MOST_NUMBERS} numbers, but holds {len(found)}")
    numbers = {tag: math.nan if value is None else value for tag, value in found.items()}
    for tag, value in numbers.items():
        if not _is_number(value):
            raise ValueError(f"{_in_short(tag)} in metrics.json must be a number, but is {_in_short(value)}")
    return {tag: float(value) for tag, value in numbers.items()}


def _with_nll(row: Row) -> Row:
    """The row with the NLL that `vaelab evaluate` found on the test split; its tag names what else must agree."""
    try:
        report = read_object(row.folder / "evaluation.json")
        return row if report is None else replace(row, metrics={**row.metrics, **_nll(report, row.data)})
    except CANNOT_BE_READ as error:
        return replace(row, remark=f"test/nll is left out, because {error}")


def _nll(report: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, float]:
    nll, samples, checkpoint = report.get("nll"), report.get("samples"), report.get("checkpoint", BEST)
    if not _is_number(nll) or type(samples) is not int or samples < 1 or not isinstance(checkpoint, str):
        raise ValueError("evaluation.json must hold an nll, its number of samples and the name of a checkpoint")
    others = [key for key in data if key in report and key not in EVALUATION and _as_text(report[key]) != data[key]]
    if others or report.get("split", "test") != "test" or report.get("overrides"):
        raise ValueError(f"evaluation.json is of other data (it differs in {others[0] if others else 'its split'})")
    return {f"{NLL} ({samples} samples{'' if checkpoint == BEST else f' of {checkpoint}'})": float(nll)}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _whole(digits: str) -> int | float:
    """An integer of JSON: one of hundreds of digits would take Python long, and no float holds it."""
    return int(digits) if len(digits) < 20 else float(digits)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_short(value: Any) -> str:
    return short(repr(value), 40)
