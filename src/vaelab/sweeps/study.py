"""Opens the Optuna study of a search, which is in the sweep's folder, and checks that its trials can be compared."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaelab.files import open_regular
from vaelab.runs.folder import is_own
from vaelab.runs.run_state import read_state, write_state
from vaelab.sweeps.cells import Cell
from vaelab.sweeps.rows import PRUNED, UNREADABLE, read_row
from vaelab.sweeps.scores import compared_by

ABOUT = "about"  # the study's attribute: the settings of the search
DATA_AND_FILES = "data and files"  # a key of ABOUT: a digest of what the command line does not show
FIRST = "first"  # the study's attribute: facts about the data and the metric of its first finished cell
OBJECTIVE = "objective"  # a key of FIRST: the meaning of the metric
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # the end of a journal that names another file, sqlite.org/fileformat


def storage(folder: Path) -> str:
    """The URL of the study in a sweep's folder."""
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(folder / "study.db")).render_as_string()


def open_study(folder: Path, direction: Any, about: Mapping[str, str]) -> Any:
    """Opens the Optuna study in a sweep's folder, or makes a new one if there is none with a finished trial.

    Args:
        folder: the folder of the sweep.
        direction: `maximize` or `minimize`.
        about: the keys, values and metric of the search. The study stores them, so only the same search can continue.

    Raises:
        ValueError: the study belongs to another search, or one of its files belongs to another folder.
    """
    import optuna

    _check_files(folder)
    at: dict[str, Any] = {"storage": storage(folder), "study_name": "sweep"}
    study = optuna.create_study(**at, direction=direction, load_if_exists=True)
    before = study.user_attrs.get(ABOUT, about)
    if changed := [key for key in {**before, **about} if before.get(key) != about.get(key)]:
        if all(trial.value is None for trial in study.trials):
            optuna.delete_study(**at)
            return open_study(folder, direction, about)
        key = changed[0]
        if key == DATA_AND_FILES:
            raise ValueError(
                f"{folder} must hold the same search, but its data or the files in conf/ differ; use another "
                "hydra.sweep.dir"
            )
        raise ValueError(
            f"{folder} holds a search with {key}={before.get(key, 'its default')}, and this one has "
            f"{key}={about.get(key, 'its default')}; use another hydra.sweep.dir"
        )
    study.set_user_attr(ABOUT, dict(about))
    return study


def _check_files(folder: Path) -> None:
    """Raises a ValueError if SQLite would write to a file of another folder, or remove one, when it opens the study."""
    for name in ("study.db", "study.db-journal", "study.db-wal", "study.db-shm"):
        if not is_own(folder / name):
            raise ValueError(f"{folder / name} must be a file of only this folder, but is not; remove it")
    try:
        with open_regular(folder / "study.db-journal") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(SUPER_JOURNAL)))
            ending = file.read()
    except FileNotFoundError:
        return
    if ending == SUPER_JOURNAL:
        raise ValueError(
            f"{folder / 'study.db-journal'} must belong only to study.db, but names a file that SQLite would remove; "
            "use another hydra.sweep.dir"
        )


def is_pruned(study: Any, number: int, cell: Cell) -> bool:
    """True if the run of a finished cell was pruned, in this trial or in an earlier one with the same values."""
    state, epoch = read_state(cell.folder), study.trials[number].user_attrs.get(PRUNED)
    if state and epoch is not None:
        state = replace(state, reason=f"pruned after epoch {epoch}")
        write_state(cell.folder, state)
    return state is not None and state.reason.startswith(PRUNED)


def check_comparable(study: Any, cell: Cell, metric: str) -> None:
    """Checks that a cell has the same data and objective as the first finished cell, which the study stores.

    Raises:
        ValueError: the data or the objective differ, so the search would rank numbers that cannot be compared.
    """
    row = read_row(cell.folder)
    own = dict(row.data)
    if not own or row.state == UNREADABLE:  # its score cannot be read either
        return
    own[OBJECTIVE] = "ELBO" if metric == "val/nll" else compared_by(cell.folder, metric, row.metrics)
    if (first := study.user_attrs.get(FIRST)) is None:
        study.set_user_attr(FIRST, own)
        return
    first = {OBJECTIVE: "ELBO", **first}  # version 0.1 did not store the objective
    for key in {**first, **own}:
        if first.get(key) != own.get(key):
            raise ValueError(
                f"all trials of a search must be comparable, but {cell.folder.name} has {key}: {own.get(key, 'none')}, "
                f"and the first finished trial has {first.get(key, 'none')}; search over one kind in another "
                "hydra.sweep.dir, or use hydra/sweeper=grid in this one, which keeps all finished runs"
            )
