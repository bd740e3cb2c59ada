"""Trains a module. After the last step, an error in a callback is only a warning."""

import logging
import os
from pathlib import Path

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from vaelab.errors import FULL, one_sentence
from vaelab.training.last_checkpoint import LastCheckpoint
from vaelab.training.non_finite import Diverged

log = logging.getLogger(__name__)


class TrainingEnd(Callback):
    """Notes that all steps are taken. It must be the first callback, because a later one may fail.

    Attributes:
        reached: True once all steps are taken.
        keeps_run: True if an error came after that. The run then counts as trained.
    """

    def __init__(self) -> None:
        self.reached = self.keeps_run = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes that all steps are taken."""
        self.reached = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Saves the last step if the run counts as trained despite the error."""
        failed = isinstance(exception, Exception | SystemExit) and not isinstance(exception, Diverged)
        is_full = isinstance(exception, OSError) and exception.errno in FULL  # nothing more can be written
        one_process = trainer.world_size == 1  # several would have to save together
        self.keeps_run = self.reached and failed and not is_full and one_process
        if self.keeps_run:
            for saver in _unsaved(trainer):
                saver.write(trainer)


def fit(trainer: Trainer, module: LightningModule, data: LightningDataModule, checkpoint: Path | None = None) -> None:
    """Calls `trainer.fit`. Once all steps are taken and saved, an exception or `sys.exit` in a callback is a warning.

    Args:
        trainer: a trainer that has not been fitted.
        module: the module to train.
        data: its data.
        checkpoint: the checkpoint to resume from; None for a new run.
    """
    end = TrainingEnd()
    trainer.callbacks.insert(0, end)  # type: ignore[attr-defined]  # Lightning sets it late
    try:
        trainer.fit(module, data, ckpt_path=checkpoint)
    except (Exception, SystemExit) as error:
        if not end.keeps_run or _unsaved(trainer):
            raise
        message = "a callback failed after the last step, so the run is trained and is scored now (%s)"
        log.warning(message, one_sentence(error), exc_info=os.environ.get("HYDRA_FULL_ERROR") == "1")


def _unsaved(trainer: Trainer) -> list[LastCheckpoint]:
    """The callbacks that have not written the last step; `fast_dev_run` saves nothing."""
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return []
    savers = [each for each in trainer.callbacks if isinstance(each, LastCheckpoint)]  # type: ignore[attr-defined]
    return [each for each in savers if each.step != trainer.global_step]
