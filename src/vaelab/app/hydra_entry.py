"""The function that Hydra calls for one run, and for each cell of a sweep in the process of its launcher."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vaelab.app.compose import CONFIG, conf_folder
from vaelab.app.hydra_private import VERSION_BASE, check_flags
from vaelab.app.traceback_wanted import traceback_wanted
from vaelab.signals import Stopped


def run_with_hydra(arguments: Sequence[str]) -> None:
    """Lets Hydra compose the config, and run it once or as a sweep."""
    sys.argv[1:] = with_absolute_config_path(multirun_first(arguments))
    check_flags(sys.argv[1:])
    hydra.main(version_base=VERSION_BASE, config_path=str(conf_folder()), config_name=CONFIG)(task)()


def multirun_first(arguments: Sequence[str]) -> list[str]:
    """Puts `-m` before the other arguments, because argparse finds it only there."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def with_absolute_config_path(arguments: Sequence[str]) -> list[str]:
    """Makes `--config-path` start from the current folder. Hydra would start from the folder of this module."""
    given = list(arguments)
    for index, argument in enumerate(given):
        flag, equals, value = argument.partition("=")
        if flag in ("--config-path", "-cp"):
            place, value = (index, value) if equals else (index + 1, given[index + 1] if given[index + 1 :] else "")
            if value and not value.startswith("pkg://"):
                given[place] = (flag + equals if equals else "") + str(Path(value).expanduser().absolute())
    return given


def task(cfg: DictConfig) -> float:
    """Runs one run, or one cell of a sweep. Returns its score."""
    is_cell = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        return run_cell(cfg) if is_cell else run_alone(cfg)
    except Stopped as stopped:
        from vaelab.app.ending import say_how_to_resume

        say_how_to_resume(stopped, Path(HydraConfig.get().runtime.output_dir))
    except Exception as error:
        if traceback_wanted():
            raise
        from vaelab.app.ending import say

        say(error, HydraConfig.get().overrides.task)
        if is_cell:
            raise  # Hydra continues with the next job
        sys.exit(1)


def run_alone(cfg: DictConfig) -> float:
    """Trains a new run in this process. Returns its score."""
    from vaelab.app.start import train

    return train(cfg)


def run_cell(cfg: DictConfig) -> float:
    """Trains one run of a sweep in a separate process. Returns its score, or NaN if it failed."""
    from vaelab.app.hydra_sweeps.cell import job_of

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in a launcher's process, the sweep handles it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    whole: Any = HydraConfig.instance().cfg
    return job_of(cfg, whole).run()
