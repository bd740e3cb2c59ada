"""Locks a run's folder before Hydra writes to it: hydra.callbacks.folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from vaelab.app.rank import is_started_by_a_run

OWN_SWEEPERS = "hydra_plugins.vaelab_sweepers."


class LockFolder(Callback):
    """Locks a run's folder, so that a refused run changes no file of a run that is already there."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Locks the folder of a single run. If it cannot be used, the process ends with a sentence."""
        from vaelab.runs.folder import check_length, check_unused, hold

        HydraConfig.instance().set_config(config)  # ${hydra:…} in hydra.run.dir refers to it
        with _ending_with_a_sentence():
            with read_write(config.hydra):
                config.hydra.run.dir = at_home(str(config.hydra.run.dir), "hydra.run.dir")
            folder = Path(os.path.abspath(config.hydra.run.dir))
            check_length(folder, "hydra.run.dir")
            if is_started_by_a_run():
                return  # the first process of this run has the lock
            check_unused(Path(config.hydra.run.dir))
            hold(folder)
            check_unused(Path(config.hydra.run.dir))  # again, because a run may have ended in the meantime

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Fills in `~` in the folder of a sweep. If the sweep cannot start, the process ends with a sentence."""
        with _ending_with_a_sentence():
            if not str(config.hydra.sweeper._target_).startswith(OWN_SWEEPERS):
                other = config.hydra.runtime.choices["hydra/sweeper"]
                raise ValueError(
                    f"hydra/sweeper must be one that skips finished runs, but is {other}; use hydra/sweeper=grid or "
                    "hydra/sweeper=optuna"
                )
            with read_write(config.hydra):
                config.hydra.sweep.dir = at_home(str(config.hydra.sweep.dir), "hydra.sweep.dir")


@contextmanager
def _ending_with_a_sentence() -> Iterator[None]:
    """Ends the process if something fails, because Hydra would turn a callback's exception into a warning."""
    from vaelab.app.errors import one_sentence

    try:
        yield
    except Exception as error:
        sys.exit(f"error: {one_sentence(error)}")


def at_home(folder: str, key: str) -> str:
    """Replaces `~` in a path by the home directory.

    Raises:
        ValueError: the path is empty.
    """
    if not folder:
        raise ValueError(f"{key} must name a folder, but is empty; name one, or leave it out")
    return os.path.expanduser(folder)
