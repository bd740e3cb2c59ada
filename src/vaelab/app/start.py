"""Starts a new run in the folder that Hydra chose."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vaelab.app.absolute_paths import make_absolute
from vaelab.app.check import check
from vaelab.app.config_identity import identity
from vaelab.app.errors import explained
from vaelab.app.rank import rank
from vaelab.runs.environment import git_revision
from vaelab.runs.folder import check_unused, locked, sweep_up
from vaelab.runs.run_state import State, read_state, recorded

GROUPS = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler")


def train(cfg: DictConfig) -> float:
    """Trains a new run in Hydra's folder.

    Returns:
        Its score; NaN if it has none.
    """
    whole: Any = HydraConfig.instance().cfg
    chosen = whole.hydra
    folder = Path(chosen.runtime.cwd, chosen.runtime.output_dir)
    choices = {group: str(chosen.runtime.choices.get(group)) for group in GROUPS}
    given = tuple(chosen.overrides.task)
    known_by = identity(cfg, whole)
    if chosen.job.chdir:
        make_absolute(cfg, chosen.runtime.cwd)
    if rank():
        from vaelab.app.fit import fit

        with explained():
            fit(cfg, folder, choices)
        return math.nan
    with locked(folder):
        sweep_up(folder)
        check_unused(folder)
        state = _first_state(folder, given, known_by, chosen.runtime.cwd)
        with recorded(folder, state, given), explained():
            (folder / f"{chosen.job.name}.log").touch()  # empty if nothing is said
            check(cfg)
            _start_drawing_processes(cfg)
            from vaelab.app.conclude import conclude
            from vaelab.app.fit import fit

            trained = fit(cfg, folder, choices)
        return conclude(folder, trained)


def _first_state(folder: Path, given: tuple[str, ...], known_by: str, cwd: str) -> State:
    """The first state of a run. If a sweep or an earlier start has left a state of the same run, it continues that."""
    revision, arguments = git_revision(), tuple(sys.argv[1:])
    if (before := read_state(folder)) and before.config == known_by:
        return replace(before, revision=revision, arguments=arguments, cwd=cwd)
    return State("running", "", given, known_by, revision, arguments=arguments, cwd=cwd)


def _start_drawing_processes(cfg: DictConfig) -> None:
    """Starts the processes that draw the pictures. Their imports then run at the same time as this process's."""
    if OmegaConf.select(cfg, "callbacks.pictures") and "lightning" not in sys.modules:
        from vaelab.figures import DrawingProcess, spare

        spare += [DrawingProcess() for _ in range(2)]
