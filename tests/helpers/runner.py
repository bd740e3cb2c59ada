"""Runs vaelab as its users do: in a separate process, or in this one to save the imports."""

import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from vaelab.app.compose import compose_with_hydra

try:
    from helpers import forked
except ModuleNotFoundError:  # in a drill, which imports this file as part of a package
    from tests.helpers import forked

ROOT = Path(__file__).parents[2]
TINY = ("data.train_size=30", "data.val_size=7", "data.test_size=11")
VERBS = (
    *("train", "evaluate", "score", "encode", "reconstruct", "sample", "traverse", "interpolate", "export"),
    *("compare", "list"),
)
SHORT = ("trainer.max_epochs=1", "data.batch_size=8", "network.hidden=[6]", "callbacks.pictures=null")


@cache
def _composed(overrides: tuple[str, ...], cwd: Path) -> DictConfig:
    """The config of some overrides. Hydra takes a tenth of a second for it, and tests ask for the same one again."""
    return compose_with_hydra(overrides)


def compose_config(folder: Path, *overrides: str) -> DictConfig:
    """The config of `python train.py` with these overrides, for a run in `folder`."""
    cfg = deepcopy(_composed(overrides, Path.cwd()))
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg.hydra
    return cfg


def run_train(cwd: Path, *arguments: str, timeout: float = 120, fresh: bool = False) -> subprocess.CompletedProcess:
    """`python train.py ARGUMENTS` in `cwd`, which gets its outputs; `fresh`: without modules imported ahead."""
    command = [str(ROOT / "train.py"), *arguments]
    if not fresh:
        return forked.run(command, cwd, timeout)
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


def messages(stderr: str) -> list[str]:
    """The lines of stderr, without the two at the start of a run that say what was read and what is scored."""
    opening = ("drew ", "read ", "the model scores the log-")
    return [line for line in stderr.splitlines() if not line.startswith(opening)]


def start_train(cwd: Path, *arguments: str) -> forked.Forked:
    """Like `run_train`, but does not wait for the end."""
    return forked.Forked([str(ROOT / "train.py"), *arguments], cwd)
