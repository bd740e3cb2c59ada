"""The results of a search: the metric of each trial, a table, a picture, and the best trial."""

import csv
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vaelab.escapes import for_csv, for_terminal
from vaelab.figures.search import Search
from vaelab.sweeps.cell_process import run_python
from vaelab.sweeps.cells import Cell
from vaelab.sweeps.run_files import read_object
from vaelab.whole_files import write_whole

LUCK = (
    "This trial was picked for its score, so part of the score is luck; train its values again with -m seed=1,2,3 to "
    "see how much."
)


def readable(value: Any) -> str:
    """A value as it appears on a cell's command line: numbers have four digits, as in 0.01398."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def evaluate(
    cell: Cell,
    metric: str,
    samples: int,
    program: Sequence[str],
    allow: Sequence[str],
    asked: Callable[[], int | None],
) -> float:
    """The metric of a finished cell, in nats per example; NaN if it is not finite, or if evaluating `val/nll` failed.

    Args:
        cell: a cell that is done.
        metric: a key of metrics.json, or `val/nll`.
        samples: the number of samples in the importance-weighted estimate of `val/nll`.
        program: the program behind the `vaelab` command: `-m` and a module.
        allow: the packages of the constructors in the cell's config.
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
            f"hydra.sweeper.metric must be a key of {cell.folder / 'metrics.json'}, but is {metric}; use one of those"
        )
    return _finite(metrics[metric])


def _evaluated(cell: Cell, samples: int) -> float:
    """−log p̂ as evaluated with this number of samples; NaN if it was not evaluated."""
    try:
        report = read_object(cell.folder / "evaluation_val.json") or {}
    except (OSError, ValueError):
        return math.nan
    return _finite(report.get("nll")) if report.get("samples") == samples else math.nan


def _finite(value: object) -> float:
    """The number if it is finite, else NaN, because an infinite score would win every search."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def write_results(study: Any, folder: Path, metric: str) -> None:
    """Writes trials.csv and search.png, and prints the best trial."""
    write_whole(folder / "trials.csv", _table(study, metric).encode())
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE" and math.isfinite(trial.value)]
    if not done:
        return
    write_whole(folder / "search.png", _picture(study, done, metric).render())
    best = (min if study.direction.name == "MINIMIZE" else max)(done, key=lambda trial: trial.value)
    chosen = for_terminal(" ".join(f"{key}={readable(value)}" for key, value in best.params.items()))
    print(f"\nbest of {len(study.trials)} trials: {metric} {best.value:.3f} with {chosen} (trial {best.number})")
    print(LUCK)


def _table(study: Any, metric: str) -> str:
    """The trials as CSV, one line each."""
    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.params))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "state", metric, *map(for_csv, keys)])
    for trial in study.trials:
        value = "" if trial.value is None else repr(trial.value)
        given = [for_csv(trial.params.get(key, "")) for key in keys]
        writer.writerow([trial.number, trial.state.name.lower(), value, *given])
    return file.getvalue()


def _picture(study: Any, done: Sequence[Any], metric: str) -> Search:
    """A picture of the best score so far, and of how much each key matters.

    The importance of a key comes from PED-ANOVA (Watanabe et al. 2023, arxiv.org/abs/2304.10255): it is the share of
    the spread among good trials that the key explains.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    importances: Mapping[str, float] = {}
    if len(done) > 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # if the trials hardly differ, it warns at length that no key matters
            importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    numbers, values = [trial.number for trial in done], [trial.value for trial in done]
    minimise, names = study.direction.name == "MINIMIZE", tuple(map(for_terminal, importances))
    return Search.of(numbers, values, minimise, metric, names, list(importances.values()))
