"""When a run's last checkpoint is written."""

import time
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from vaelab.checks import check_number


class LastCheckpoint(ModelCheckpoint):
    """A checkpoint at the end of an epoch, at most one every so often, and always one at the end of training.

    Writing a file takes as long as several steps of a small model, whose epochs last a tenth of a second.

    Args:
        seconds: at least this long between two, except for that at the end; a killed run loses no more than it and one
            epoch.
        dirpath: its folder.
        filename: its name, without `.ckpt`.
        enable_version_counter: False overwrites what an earlier run left there.

    Raises:
        ValueError: `seconds` is not a number of at least 0.
    """

    def __init__(
        self,
        seconds: float = 2.0,
        dirpath: str | Path | None = None,
        filename: str = "last",
        enable_version_counter: bool = False,
    ) -> None:
        super().__init__(dirpath, filename, save_on_train_epoch_end=True, enable_version_counter=enable_version_counter)
        self.seconds = check_number("callbacks.last.seconds", seconds, 0)
        self.written = -float("inf")  # when, by the monotonic clock
        self.due = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes where it has been long enough, or the end is in sight."""
        over = trainer.should_stop or trainer.fit_loop.epoch_progress.current.ready == trainer.max_epochs
        self.due = not over and time.monotonic() - self.written < self.seconds
        if not self.due:
            super().on_train_epoch_end(trainer, pl_module)
            self.written = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes what an epoch before the end left out."""
        if self.due:
            self.due = False
            super().on_train_epoch_end(trainer, pl_module)
        super().on_train_end(trainer, pl_module)
