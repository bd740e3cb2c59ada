"""What a Bayesian search leaves behind: its trials as a table, and which keys matter."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaelab.figures.search import Search
from vaelab.files import write_whole
from vaelab.runs.state import read_state, write_state
from vaelab.sweeps.cells import Cell, score
from vaelab.sweeps.process import run_script

PRUNED = "pruned"  # a trial's attribute, which `vaelab.training.PruneTrial` sets in its run


def readable(value: Any) -> str:
    """A value as a cell is given it, numbers with four digits: 0.01398."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def is_pruned(study: Any, number: int) -> bool:
    """Whether the callback in a trial's run ended it early."""
    return PRUNED in study.trials[number].user_attrs


def mark_pruned(study: Any, number: int, cell: Cell) -> None:
    """Says so in the run's folder."""
    if state := read_state(cell.folder):
        write_state(cell.folder, replace(state, reason=f"pruned after epoch {study.trials[number].user_attrs[PRUNED]}"))


def evaluate(cell: Cell, metric: str, samples: int, vaelab: str) -> float:
    """A finished cell's metric, nats per example; `val/nll` is evaluated unless it has been.

    Args:
        cell: done.
        metric: a key of metrics.json, or `val/nll`.
        samples: of the importance-weighted estimate of `val/nll`.
        vaelab: the file of the command line.

    Raises:
        ValueError: the run has no such number.
    """
    if metric == "val/nll":
        report = cell.folder / "evaluation_val.json"
        if not report.is_file():
            run_script([vaelab, "evaluate", str(cell.folder), "--split", "val", f"--samples={samples}"], lambda: None)
        try:
            return float(json.loads(report.read_text())["nll"])
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{cell.folder} could not be evaluated; vaelab evaluate shows why") from error
    number = score(cell, metric)
    if math.isnan(number):
        raise ValueError(
            f"hydra.sweeper.metric={metric} is not in {cell.folder / 'metrics.json'}; give one of its keys"
        )
    return number


def write_results(study: Any, folder: Path, metric: str) -> None:
    """trials.csv, search.png (the best so far, and how much each key matters), and a line about the best.

    Importance is PED-ANOVA's (Watanabe et al. 2023, arxiv.org/abs/2304.10255): the share of the spread of what is good
    that a key explains.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.params))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "state", metric, *keys])
    for trial in study.trials:
        value = "" if trial.value is None else repr(trial.value)
        writer.writerow([trial.number, trial.state.name.lower(), value, *(trial.params.get(key, "") for key in keys)])
    write_whole(folder / "trials.csv", file.getvalue().encode())
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not done:
        return
    importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()) if len(done) > 3 else {}
    names = tuple(importances)
    picture = Search.of(
        [trial.number for trial in done],
        [trial.value for trial in done],
        study.direction.name == "MINIMIZE",
        metric,
        names,
        [importances[name] for name in names],
    )
    write_whole(folder / "search.png", picture.render())
    best = study.best_trial
    chosen = " ".join(f"{key}={readable(value)}" for key, value in best.params.items())
    print(f"\nbest of {len(study.trials)} trials: {metric} {best.value:.3f} with {chosen} (trial {best.number})")
