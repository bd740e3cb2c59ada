"""Reads the files of a run's folder. It may come from anyone, so they must be small, regular and well formed."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from vaelab.escapes import short
from vaelab.files import read_small
from vaelab.runs.run_state import STATES

LARGEST_FILE = 1 << 20  # bytes
MOST_OVERRIDES, MOST_NUMBERS = 200, 1000
EVALUATION = ("split", "examples", "samples", "checkpoint", "seed", "overrides")  # keys that don't describe the data
CANNOT_BE_READ = (OSError, ValueError, RecursionError)
BEST, NLL = "best.ckpt", "test/nll"
HOW_IT_WAS_READ = "read"  # a sentence in data.json for people, which doesn't affect the numbers


def read_object(path: Path) -> dict[str, Any] | None:
    """Reads a small JSON file that holds an object; None if there is no such file.

    Raises:
        OSError, ValueError: the file is not regular, is too large, or holds something else.
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


def check_state(found: Mapping[str, Any]) -> None:
    """Raises a ValueError if an object cannot be the state.json of a run."""
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


def read_data(folder: Path) -> dict[str, str]:
    """Reads the facts about a run's data; empty if the run has no data.json.

    Raises:
        OSError, ValueError: data.json cannot be read.
    """
    found = read_object(folder / "data.json") or {}
    return {key: _as_text(value) for key, value in found.items() if key != HOW_IT_WAS_READ}


def read_metrics(folder: Path) -> dict[str, float]:
    """Reads a run's final numbers; empty if there are none yet.

    A number that is not finite is stored as null. Version 0.1 stored NaN or Infinity.

    Raises:
        OSError, ValueError: metrics.json cannot be read, or holds something else.
    """
    found = read_object(folder / "metrics.json") or {}
    if len(found) > MOST_NUMBERS:
        raise ValueError(f"metrics.json must hold at most {MOST_NUMBERS} numbers, but holds {len(found)}")
    numbers = {tag: math.nan if value is None else value for tag, value in found.items()}
    for tag, value in numbers.items():
        if not _is_number(value):
            raise ValueError(f"{_in_short(tag)} in metrics.json must be a number, but is {_in_short(value)}")
    return {tag: float(value) for tag, value in numbers.items()}


def read_nll(folder: Path, data: Mapping[str, str]) -> dict[str, float]:
    """Reads the NLL that `vaelab evaluate` found on the test split. Its tag holds the number of samples.

    Args:
        folder: the folder of the run.
        data: the facts about the data of its other numbers.

    Raises:
        OSError, ValueError: evaluation.json cannot be read, or belongs to other data.
    """
    report = read_object(folder / "evaluation.json")
    if report is None:
        return {}
    nll, samples, checkpoint = report.get("nll"), report.get("samples"), report.get("checkpoint", BEST)
    if not _is_number(nll) or type(samples) is not int or samples < 1 or not isinstance(checkpoint, str):
        raise ValueError("evaluation.json must hold an nll, its number of samples and the name of a checkpoint")
    others = [key for key in data if key in report and key not in EVALUATION and _as_text(report[key]) != data[key]]
    if others or report.get("split", "test") != "test" or report.get("overrides"):
        raise ValueError(f"evaluation.json is about other data (it differs in {others[0] if others else 'its split'})")
    return {f"{NLL} ({samples} samples{'' if checkpoint == BEST else f' of {checkpoint}'})": float(nll)}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _whole(digits: str) -> int | float:
    """Reads an integer in JSON. One with hundreds of digits would be slow to read, and no float can hold it."""
    return int(digits) if len(digits) < 20 else float(digits)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_short(value: Any) -> str:
    return short(repr(value), 40)
