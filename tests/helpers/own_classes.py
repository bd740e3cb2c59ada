"""A user's own classes, for configs."""

import os
from pathlib import Path

from hydra.experimental.callback import Callback as HydraCallback
from lightning.pytorch import Callback

from vaelab.data import Array, DataModule


class Look(Callback):
    """Writes an environment variable to the working directory of a run."""

    def on_train_start(self, trainer, pl_module):
        Path("seen.txt").write_text(os.environ["OWN"])


class Count(HydraCallback):
    """Notes each job and each single run that Hydra reports."""

    def on_job_start(self, config, **kwargs):
        with open(os.environ["NOTES"], "a") as file:
            file.write(f"job {config.hydra.job.num}\n")

    def on_run_start(self, config, **kwargs):
        with open(os.environ["NOTES"], "a") as file:
            file.write("run\n")


class Rows(Array):
    """Rows of a file, with an additional key."""

    def __init__(self, file, **kwargs):
        super().__init__(path=file, **kwargs)


class Bare(DataModule):
    """Data that can serve only x."""

    def __init__(self):
        super().__init__()
