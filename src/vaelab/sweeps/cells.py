"""The cells of a sweep: a folder each, named by what varies, and a state on disk."""

import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vaelab.runs.folder import in_use
from vaelab.runs.state import State, read_state, write_state
from vaelab.sweeps.process import PATIENCE, POLL, run_script

STOP = ".stop"  # in a sweep's folder while it is being stopped: holds the number of the signal
LONGEST = 180  # bytes of a folder's name
DATA = ("data.root", "data.path")
PLACES = (*DATA, "threads", "trainer.enable_progress_bar")  # where and how, not what
PRUNING = "callbacks.prune"  # may end a run, and changes none of its numbers


@dataclass(frozen=True)
class Cell:
    """One combination of a sweep.

    Attributes:
        folder: where its run lies.
        overrides: of the command line, all of them.
        config: a hash of its config.
    """

    folder: Path
    overrides: tuple[str, ...]
    config: str

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        state = read_state(self.folder)
        return state is not None and state.state == "done" and (self.folder / "metrics.json").is_file()


def key_and_value(override: str) -> tuple[str, str]:
    """`+a.b=c` -> ("a.b", "c")."""
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def varying(cells: Iterable[Sequence[str]]) -> list[str]:
    """The keys whose values are not the same in all cells, in the order of the command line."""
    tables = [dict(map(key_and_value, overrides)) for overrides in cells]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({table.get(key) for table in tables}) > 1]


def cell_name(overrides: Sequence[str], keys: Sequence[str]) -> str:
    """A folder's name: `model=gaussian,latent_dim=2`, of these keys, or of all where there are none."""
    chosen = [override for override in overrides if key_and_value(override)[0] in keys] or list(overrides)
    name = re.sub(r"[/\\\s:$]+", "_", ",".join(chosen)) or "defaults"
    if len(name.encode()) > LONGEST:
        shortened = name.encode()[:LONGEST].decode(errors="ignore")
        name = f"{shortened}…{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name


def quoted(text: object) -> str:
    """As Hydra's grammar of overrides reads it back: backslashes count before a quote and at the end alone."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), str(text)) + "'"


def config_hash(config: Mapping[str, Any]) -> str:
    """Of what a config says about the numbers, not about where and how they are made."""
    flat = {key: value for key, value in _flat(config) if key not in PLACES and not key.startswith(PRUNING)}
    return hashlib.sha256(json.dumps(flat, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _flat(node: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def claim(folder: Path, name: str, overrides: Sequence[str], config: str, revision: str | None) -> Cell:
    """The cell of a config in a sweep's folder: the one that is there, or a new one, pending.

    Raises:
        ValueError: another config has that name there.
    """
    place, overrides = folder / name, tuple(overrides)
    state = read_state(place)
    if state is None and any(place.glob("checkpoints/*.ckpt")):
        raise ValueError(f"{place} holds a run that is no cell of a sweep; use another hydra.sweep.dir")
    if state is None:
        place.mkdir(parents=True, exist_ok=True)
        write_state(place, State("pending", overrides=overrides, config=config, revision=revision))
    elif state.config != config:
        changed = " ".join(sorted(set(overrides) ^ set(state.overrides))) or "the files in conf/"
        raise ValueError(
            f"{place} holds a cell of another sweep, which differs in {changed}; use another hydra.sweep.dir"
        )
    return Cell(place, overrides, config)


def cells_in(folder: Path) -> dict[str, Path]:
    """The hash of a config -> the folder of its cell, of those that lie in a sweep's folder."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*/state.json")):
        if (state := read_state(path.parent)) and state.config:
            found.setdefault(state.config, path.parent)
    return found


def stop_asked(sweep: Path) -> int | None:
    """The signal by which a sweep in a folder shall end."""
    try:
        return int((sweep / STOP).read_text())
    except (OSError, ValueError):
        return None


def packages(config: Any) -> list[str]:
    """Whose constructors a config names."""
    targets = (value for key, value in _flat(config) if key.split(".")[-1] == "_target_")
    return sorted({str(target).split(".")[0] for target in targets})


def run_cell(
    command: Sequence[str],
    cell: Cell,
    allow: Sequence[str],
    changes: Sequence[str],
    asked: Callable[[], int | None],
    ahead: str = "",
) -> State | None:
    """Runs a cell as `python train.py` would, or goes on with it where it ended; -> how it ended, None if not begun.

    Args:
        command: train.py, and where it finds its config files.
        cell: a cell that is not done.
        allow: packages whose constructors its own config names.
        changes: overrides of how it runs, such as `trainer.enable_progress_bar=false`.
        asked: -> the signal by which a sweep shall end, or None.
        ahead: Python that is run before the first cell, for what every cell would import.
    """
    if asked() is not None:
        return None
    deadline = time.monotonic() + PATIENCE
    while in_use(cell.folder):  # by the run of a sweep that was killed, which is ending
        if time.monotonic() > deadline:
            raise ValueError(f"{cell.folder} is in use by another process; wait for it")
        time.sleep(POLL)
    if any(cell.folder.glob("checkpoints/*.ckpt")):
        moved = [override for override in cell.overrides if key_and_value(override)[0] in DATA]
        arguments = [f"resume={cell.folder}", *([f"allow={','.join(allow)}"] if allow else []), *moved, *changes]
    else:
        _clear(cell.folder)
        arguments = [*cell.overrides, *changes, f"hydra.run.dir={quoted(cell.folder)}", "hydra.mode=RUN"]
        arguments = [*command[1:], *arguments]
    code = run_script([command[0], *arguments], asked, ahead)
    state = read_state(cell.folder) or State("running", overrides=cell.overrides, config=cell.config)
    if state.state in ("pending", "running") and asked() is not None:
        state = replace(state, state="pending", reason="stopped")
    elif state.state in ("pending", "running"):
        state = replace(state, state="failed", reason=_death(code))
    write_state(cell.folder, state)
    return state


def _clear(folder: Path) -> None:
    """Takes away what a run left that died before its first checkpoint, but for its state."""
    for path in folder.iterdir():
        if path.name not in ("state.json", ".lock"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _death(code: int) -> str:
    if code == -9:
        return (
            "killed by SIGKILL, as the system does where memory runs out; see the memory left, or start the sweep again"
        )
    if code < 0:
        return f"killed by signal {-code}; start the sweep again to go on with it"
    return f"ended with exit code {code}; run it alone to see why"


def score(cell: Cell, tag: str = "val/elbo") -> float:
    """A final number of a cell, NaN where there is none."""
    try:
        return float(json.loads((cell.folder / "metrics.json").read_text())[tag])
    except (OSError, ValueError, KeyError, TypeError):
        return math.nan
