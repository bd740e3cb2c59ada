"""Classes of a user: what a config names beside vaelab's own."""

import os
from pathlib import Path

from hydra.experimental.callback import Callback as HydraCallback
from lightning.pytorch import Callback

from vaelab.data import Array


class Look(Callback):
    """Writes into the working directory of a run what it finds in the environment."""

    def on_train_start(self, trainer, pl_module):
        Path("seen.txt").write_text(os.environ["OWN"])


class Count(HydraCallback):
    """Notes each job and each single run that Hydra tells of."""

    def on_job_start(self, config, **kwargs):
        with open(os.environ["NOTES"], "a") as file:
            file.write(f"job {config.hydra.job.num}\n")

    def on_run_start(self, config, **kwargs):
        with open(os.environ["NOTES"], "a") as file:
            file.write("run\n")


class Rows(Array):
    """Rows of a file that has a key of its own."""

    def __init__(self, file, **kwargs):
        super().__init__(path=file, **kwargs)
