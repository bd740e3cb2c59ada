"""Runs a cell of a sweep in a separate process, with the Hydra settings of the sweep."""

import logging
import math
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vaelab.app.compose import conf_folder
from vaelab.app.config_identity import identity

log = logging.getLogger("vaelab")

DECIDED = re.compile(r"[+~]*hydra[./](run|sweep|mode|sweeper|launcher)\b")  # settings that a sweep makes for its cells
NO_CONFIG_FILES = "hydra.output_subdir=null"  # a sweep sets this for its launcher: cells write their files themselves
OWN_CALLBACKS = ("summary", "folder")  # other callbacks run once for each cell, in the process that launches it
PROGRAM = ("-m", "vaelab.app")  # the program of a cell, for `python`
PRELOAD = "vaelab.app.cell_imports"  # imported by the server that cells are forked from


@dataclass(frozen=True)
class Job:
    """The work of a cell's process.

    Attributes:
        program: the program that trains a run.
        flags: the flags of the sweep's command line, including Hydra's settings.
        folder: the folder of the cell.
        sweep: the folder of the sweep.
        overrides: the overrides of the task.
        identity: the hash of its config.
        allow: the packages of the constructors in its config.
        changes: overrides that change only the output.
        here: the folder where the sweep was started.
        environment: the environment variables to set.
    """

    program: tuple[str, ...]
    flags: tuple[str, ...]
    folder: Path
    sweep: Path
    overrides: tuple[str, ...]
    identity: str
    allow: tuple[str, ...]
    changes: tuple[str, ...]
    here: str
    environment: dict[str, str]

    def run(self) -> float:
        """Runs or resumes the cell, and prints how it ended. Returns its score, or NaN."""
        from vaelab.sweeps.cell_process import Setting
        from vaelab.sweeps.cells import Cell, run_cell, score, score_tag, stop_asked

        cell = Cell(self.folder, self.overrides, self.identity)
        setting = Setting(self.here, self.environment, PRELOAD)
        asked = partial(stop_asked, self.sweep)
        state = run_cell(self.program, self.flags, cell, self.allow, self.changes, asked, setting)
        if state is None:
            return math.nan
        number = score(cell) if state.state == "done" else math.nan
        shown = f"{score_tag(cell)} {number:.3f}" if state.state == "done" else state.reason
        name = self.folder.relative_to(self.sweep)
        print(f"{state.state:8} {name}  {shown}  ({state.seconds:.1f} s)", flush=True)
        return number


def job_of(cfg: DictConfig, whole: DictConfig) -> Job:
    """The job of a cell.

    Args:
        cfg: the cell's config, without Hydra's settings.
        whole: the config with Hydra's settings, as a launcher made it.
    """
    from vaelab.runs.admitted import packages

    chosen = whole.hydra
    here = str(chosen.runtime.cwd)
    sweep = Path(here, str(chosen.sweep.dir))
    alone = sys.stderr.isatty() and chosen.launcher._target_.endswith(".BasicLauncher")
    task: Any = OmegaConf.to_container(chosen.overrides.task)
    return Job(
        PROGRAM,
        (*_sources(chosen), f"--config-name={chosen.job.config_name}", *passed_on(chosen)),
        sweep / str(chosen.sweep.subdir),
        sweep,
        tuple(task),
        identity(cfg, whole),
        tuple(packages(OmegaConf.to_container(cfg))),
        () if alone else ("trainer.enable_progress_bar=false",),  # the bars of several cells would overwrite each other
        here,
        {"HYDRA_FULL_ERROR": os.environ.get("VAELAB_TRACEBACK", ""), **chosen.job.env_set},
    )


def _sources(chosen: DictConfig) -> list[str]:
    """The flags that name the folders of config files: `--config-dir` and `--config-path`."""
    flags = []
    for source in chosen.runtime.config_sources:
        if source.provider == "command-line":
            flags.append(f"--config-dir={source.path}")
        if source.provider == "main" and source.path != str(conf_folder()):
            flags.append(f"--config-path={'pkg://' if source.schema == 'pkg' else ''}{source.path}")
    return flags


def passed_on(chosen: DictConfig) -> list[str]:
    """The sweep's Hydra settings that apply to its cells too, as overrides."""
    given: list[str] = list(chosen.overrides.hydra)
    if NO_CONFIG_FILES in given:  # the last one comes from the sweep
        del given[len(given) - 1 - given[::-1].index(NO_CONFIG_FILES)]
    kept = [override for override in given if not DECIDED.match(override)]
    return [*kept, *(f"~hydra.callbacks.{name}" for name in chosen.callbacks or () if name not in OWN_CALLBACKS)]
