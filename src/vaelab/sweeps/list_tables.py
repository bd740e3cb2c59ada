"""The output of `vaelab list`: a table for a terminal, or JSON for scripts. Text from a run's files is escaped."""

import json
import math
import os
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vaelab.escapes import for_terminal, short
from vaelab.sweeps.list_runs import STATES, TARGET, Listed

MOST_KEYS = 6  # the most columns of keys in a table
LONGEST, LONGEST_WHY, WIDTH = 28, 90, 110  # letters in a cell, in a reason, and in a line of notes


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
        "changed": _iso(run.changed) if run.changed else None,
        "seconds": run.row.seconds if math.isfinite(run.row.seconds) else None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


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
        line += [_age(now - run.changed) if run.changed else "-", os.path.relpath(run.row.folder, folder)]
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
            f"A score is a final number of the validation split{kinds}, in nats per example. You can compare "
            "scores if data and objective are the same; `vaelab compare` checks that."
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
