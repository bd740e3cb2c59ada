"""What a Bayesian search leaves behind: its trials as a table, and which keys matter."""

import csv
import io
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaelab.escapes import for_csv, for_terminal
from vaelab.figures.search import Search
from vaelab.files import open_regular
from vaelab.runs.folder import is_own
from vaelab.runs.run_state import read_state, write_state
from vaelab.sweeps.cell_process import run_python
from vaelab.sweeps.cells import Cell
from vaelab.sweeps.rows import read_row
from vaelab.sweeps.run_files import read_object
from vaelab.sweeps.scores import compared_by
from vaelab.whole_files import write_whole

PRUNED = "pruned"  # a trial's attribute, which `vaelab.training.PruneTrial` sets in its run
LUCK = (
    "This trial was picked by these scores, so part of its score is luck; train its values again with -m seed=1,2,3 to "
    "see how much."
)
ABOUT = "about"  # the study's: what it searches for, and where
FIRST = "first"  # the study's: what the numbers of its first finished cell are of
OBJECTIVE = "objective"  # of FIRST: what the metric means
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # ends a journal that names another file, sqlite.org/fileformat
DATA_AND_FILES = "data and files"  # of `about`: a digest of what the command line does not show


def storage(folder: Path) -> str:
    """The URL of the study in a sweep's folder."""
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(folder / "study.db")).render_as_string()


def open_study(folder: Path, direction: Any, about: Mapping[str, str]) -> Any:
    """The Optuna study in a sweep's folder, begun where there is none, or none that has come to anything.

    Args:
        folder: the sweep's.
        direction: `maximize` or `minimize`.
        about: what is searched, and for what; kept beside the study, so that what goes on is the same search.

    Raises:
        ValueError: the study there is about something else, or one of its files belongs to another folder.
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
                f"{folder} holds a search with other data or other files in conf/; use another hydra.sweep.dir"
            )
        raise ValueError(
            f"{folder} holds a search with {key}={before.get(key, 'its default')}, and this one has "
            f"{key}={about.get(key, 'its default')}; use another hydra.sweep.dir"
        )
    study.set_user_attr(ABOUT, dict(about))
    return study


def _check_files(folder: Path) -> None:
    """Raises if SQLite would write over a file of another folder, or remove one, when it opens the study."""
    for name in ("study.db", "study.db-journal", "study.db-wal", "study.db-shm"):
        if not is_own(folder / name):
            raise ValueError(f"{folder / name} must be a file of this folder alone, but is not; remove it")
    try:
        with open_regular(folder / "study.db-journal") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(SUPER_JOURNAL)))
            ending = file.read()
    except FileNotFoundError:
        return
    if ending == SUPER_JOURNAL:
        raise ValueError(
            f"{folder / 'study.db-journal'} must be the journal of study.db alone, but names a file that SQLite "
            "would remove; use another hydra.sweep.dir"
        )


def readable(value: Any) -> str:
    """A value as a cell is given it, numbers with four digits: 0.01398."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def is_pruned(study: Any, number: int, cell: Cell) -> bool:
    """Whether a finished cell's run was ended early, for this trial or for an earlier one of the same values."""
    state, epoch = read_state(cell.folder), study.trials[number].user_attrs.get(PRUNED)
    if state and epoch is not None:
        state = replace(state, reason=f"pruned after epoch {epoch}")
        write_state(cell.folder, state)
    return state is not None and state.reason.startswith(PRUNED)


def check_comparable(study: Any, cell: Cell, metric: str) -> None:
    """Keeps in the study what the metric of its first finished cell is of, and compares another cell's with that.

    Raises:
        ValueError: this cell's is of other data or another objective, so that the search would rank what does not
            compare.
    """
    row = read_row(cell.folder)
    own = dict(row.data)
    if not own:  # its files cannot be read, nor its score
        return
    own[OBJECTIVE] = "ELBO" if metric == "val/nll" else compared_by(cell.folder, metric, row.metrics)
    if (first := study.user_attrs.get(FIRST)) is None:
        study.set_user_attr(FIRST, own)
        return
    first = {OBJECTIVE: "ELBO", **first}  # version 0.1 did not keep it
    for key in {**first, **own}:
        if first.get(key) != own.get(key):
            raise ValueError(
                f"a search must compare like with like, but {cell.folder.name} has {key}: {own.get(key, 'none')}, and "
                f"the first trial that ended has {first.get(key, 'none')}; search over one kind in another "
                "hydra.sweep.dir, or use hydra/sweeper=grid in this one, where all finished runs are kept"
            )


def evaluate(
    cell: Cell,
    metric: str,
    samples: int,
    program: Sequence[str],
    allow: Sequence[str],
    asked: Callable[[], int | None],
) -> float:
    """A finished cell's metric, nats per example; NaN if it is not finite, or if `val/nll` cannot be evaluated.

    Args:
        cell: done.
        metric: a key of metrics.json, or `val/nll`.
        samples: of the importance-weighted estimate of `val/nll`.
        program: what the `vaelab` command runs: `-m` and a module.
        allow: packages whose constructors the cell's own config names.
        asked: returns the signal that stops the sweep, or None.

    Raises:
        ValueError: the run has no such number.
    """
    if metric == "val/nll":
        command = [*program, "evaluate", str(cell.folder), "--split", "val", f"--samples={samples}"]
        if math.isnan(nll := _evaluated(cell, samples)):
            run_python([*command, *(f"--allow={package}" for package in allow)], asked)
            nll = _evaluated(cell, samples)
        return nll
    metrics = read_object(cell.folder / "metrics.json") or {}
    if metric not in metrics:
        raise ValueError(
            f"hydra.sweeper.metric={metric} is not in {cell.folder / 'metrics.json'}; give one of its keys"
        )
    return _finite(metrics[metric])


def _evaluated(cell: Cell, samples: int) -> float:
    """−log p̂ as evaluated with so many samples; NaN if it has not been."""
    try:
        report = read_object(cell.folder / "evaluation_val.json") or {}
    except (OSError, ValueError):
        return math.nan
    return _finite(report.get("nll")) if report.get("samples") == samples else math.nan


def _finite(value: object) -> float:
    """A finite number, or else NaN: an infinite score would win every search."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def write_results(study: Any, folder: Path, metric: str) -> None:
    """Writes trials.csv and search.png (the best so far, and how much each key matters); prints which trial is best.

    Importance is PED-ANOVA's (Watanabe et al. 2023, arxiv.org/abs/2304.10255): the share of the spread of what is good
    that a key explains.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.params))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "state", metric, *map(for_csv, keys)])
    for trial in study.trials:
        value = "" if trial.value is None else repr(trial.value)
        given = [for_csv(trial.params.get(key, "")) for key in keys]
        writer.writerow([trial.number, trial.state.name.lower(), value, *given])
    write_whole(folder / "trials.csv", file.getvalue().encode())
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE and math.isfinite(trial.value)]
    if not done:
        return
    importances: Mapping[str, float] = {}
    if len(done) > 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the trials hardly differ nothing matters, which it says at length
            importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    minimise, names = study.direction.name == "MINIMIZE", tuple(map(for_terminal, importances))
    numbers, scores = [trial.number for trial in done], [trial.value for trial in done]
    picture = Search.of(numbers, scores, minimise, metric, names, list(importances.values()))
    write_whole(folder / "search.png", picture.render())
    best = (min if minimise else max)(done, key=lambda trial: trial.value)
    chosen = for_terminal(" ".join(f"{key}={readable(value)}" for key, value in best.params.items()))
    print(f"\nbest of {len(study.trials)} trials: {metric} {best.value:.3f} with {chosen} (trial {best.number})")
    print(LUCK)
