"""The cells of a sweep. Each has a folder, named after the values that vary, and a state on disk."""

import math
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vaelab.files import read_json
from vaelab.open_folder import open_folder
from vaelab.runs.folder import in_use
from vaelab.runs.run_state import State, read_state, write_state
from vaelab.sweeps.cell_process import Setting, run_python
from vaelab.sweeps.preloaded_process import PATIENCE, POLL
from vaelab.sweeps.scores import ELBO, score_of

STOP = ".stop"  # this file in a sweep's folder holds the number of the signal that stops the sweep
MOVABLE = ("data.root", "data.path")  # keys that may change when a cell resumes
MARKS = ("state.json", "metrics.json", "checkpoints")  # a folder with one of these belongs to a run


@dataclass(frozen=True)
class Cell:
    """One combination of a sweep.

    Attributes:
        folder: the folder of its run.
        overrides: all overrides of its command line.
        config: a hash of its config.
    """

    folder: Path
    overrides: tuple[str, ...]
    config: str

    @property
    def done(self) -> bool:
        """True if nothing is left to do."""
        state = read_state(self.folder)
        return state is not None and state.state == "done" and (self.folder / "metrics.json").is_file()


def key_and_value(override: str) -> tuple[str, str]:
    """`+a.b=c` -> ("a.b", "c")."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def quoted(text: object) -> str:
    """Quotes a text for Hydra's overrides. There a backslash escapes only before a quote and at the end."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(text)) + "'"


def claim(folder: Path, name: str, overrides: Sequence[str], config: str, revision: str | None) -> Cell:
    """Finds the cell of a config in a sweep's folder, or makes a new one, which is pending.

    Raises:
        ValueError: the name belongs to another config, the folder holds a run that is not a cell, or it is a link.
    """
    place, overrides = folder / name, tuple(overrides)
    if place.resolve() != folder.resolve() / name:  # a cell's files may be removed, so they must not be elsewhere
        raise ValueError(f"{place} must be a folder, but is a link to one; remove it, or use another hydra.sweep.dir")
    state = read_state(place)
    if state is None and any(place.glob("checkpoints/*.ckpt")):
        raise ValueError(f"{place} must be a cell of a sweep, but holds another run; use another hydra.sweep.dir")
    if state is None:
        place.mkdir(parents=True, exist_ok=True)
        write_state(place, State("pending", overrides=overrides, config=config, revision=revision))
    elif state.config != config:
        changed = " ".join(sorted(set(overrides) ^ set(state.overrides))) or "its data or the files in conf/"
        raise ValueError(f"{place} holds another cell, which differs in {changed}; use another hydra.sweep.dir")
    return Cell(place, overrides, config)


def is_taken(place: Path) -> bool:
    """True if a folder holds a cell or another run."""
    return any((place / mark).exists() for mark in MARKS)


def cells_in(folder: Path) -> dict[str, str]:
    """Maps the hash of each config to the folder of its cell, for all cells in or below a sweep's folder."""
    found: dict[str, str] = {}
    for at, folders, names in os.walk(folder):
        folders.sort()
        if "state.json" in names:
            folders.clear()
            if (state := read_state(Path(at))) and state.config:
                found.setdefault(state.config, os.path.relpath(at, folder))
    return found


def stop_asked(sweep: Path) -> int | None:
    """The signal that stops the sweep in a folder; None if none has come."""
    try:
        return int((sweep / STOP).read_text())
    except (OSError, ValueError):
        return None


def run_cell(
    program: Sequence[str],
    flags: Sequence[str],
    cell: Cell,
    allow: Sequence[str],
    changes: Sequence[str],
    asked: Callable[[], int | None],
    setting: Setting | None = None,
) -> State | None:
    """Runs or resumes a cell. Returns its state at the end, or None if it did not begin.

    Args:
        program: the program that trains a run: train.py, or `-m` and a module.
        flags: the flags of the sweep's command line, including its Hydra settings.
        cell: a cell that is not done.
        allow: the packages of the constructors in its config.
        changes: overrides that don't affect results, such as `trainer.enable_progress_bar=false`.
        asked: returns the signal that stops the sweep, or None.
        setting: the folder, the variables and the imports of its process.
    """
    if asked() is not None:
        return None
    _wait_until_free(cell.folder)
    if any(cell.folder.glob("checkpoints/*.ckpt")):
        arguments = [f"resume={cell.folder}", *([f"allow={','.join(allow)}"] if allow else [])]
        arguments += [override for override in cell.overrides if key_and_value(override)[0] in MOVABLE]
    else:
        _clear(cell.folder)
        arguments = [*flags, *cell.overrides, f"hydra.run.dir={quoted(cell.folder)}", "hydra.mode=RUN"]
    code = run_python([*program, *arguments, *changes], asked, setting)
    state = read_state(cell.folder) or State("running", overrides=cell.overrides, config=cell.config)
    if state.state in ("pending", "running") and asked() is not None:
        state = replace(state, state="pending", reason="stopped")
    elif state.state in ("pending", "running"):
        state = replace(state, state="failed", reason=_death(code))
    write_state(cell.folder, state)
    return state


def _wait_until_free(folder: Path) -> None:
    """Waits for a run that still ends after its sweep was killed."""
    deadline = time.monotonic() + PATIENCE
    while in_use(folder):
        if time.monotonic() > deadline:
            raise ValueError(f"{folder} must be free, but is in use by another process; wait for it")
        time.sleep(POLL)


def _clear(folder: Path) -> None:
    """Removes the files of a run that died before its first checkpoint, except its state. Follows no links."""
    with open_folder(folder, folder.parent) as opened:
        for name in opened.names():
            if name not in ("state.json", ".lock"):
                opened.remove(name)


def _death(code: int) -> str:
    if code == -9:
        return "killed by SIGKILL, as the system does if memory runs out; free some memory, and start the sweep again"
    if code < 0:
        return f"killed by signal {-code}; start the sweep again to resume it"
    return f"ended with exit code {code}; run it alone to see why"


def score_tag(cell: Cell) -> str:
    """The tag of a cell's score, such as `val/bound`."""
    try:
        return score_of(cell.folder, read_json(cell.folder / "metrics.json"))
    except (OSError, ValueError, TypeError):
        return ELBO


def score(cell: Cell) -> float:
    """A cell's score: the final number with the tag in its key `score`; NaN if there is none."""
    try:
        return float(read_json(cell.folder / "metrics.json")[score_tag(cell)])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return math.nan
