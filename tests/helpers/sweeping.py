"""Runs sweeps in separate processes, and reads what they leave."""

import csv

import torch

from helpers.runner import run_train
from vaelab.runs.run_state import read_state

LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": (  # whose cells see no GPU unless they ask for one
        "hydra/launcher=submitit_local",
        *(["hydra.launcher.gpus_per_node=1"] if torch.cuda.is_available() else []),
    ),
}


def sweep(cwd, *arguments, timeout=400):
    return run_train(cwd, *arguments, "hydra.sweep.dir=sweep", timeout=timeout)


def states(folder):
    """cell -> its state, for all cells that exist."""
    return {path.parent.name: read_state(path.parent).state for path in folder.glob("*/state.json")}


def table(folder):
    """cell -> its line in the summary, without the time."""
    with (folder / "summary.csv").open() as file:
        return {row.pop("run"): {key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)}
