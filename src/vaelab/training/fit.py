"""The end of training: from there on, what fails in a callback is a warning."""

import logging
import os
from pathlib import Path

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from vaelab.errors import FULL, one_sentence
from vaelab.training.checkpoints import LastCheckpoint
from vaelab.training.diverged import Diverged

log = logging.getLogger(__name__)


class Finish(Callback):
    """Notes that all steps are taken, before any other callback hears of it; it must be the first."""

    def __init__(self) -> None:
        self.reached = self.keeps = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes it."""
        self.reached = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Decides whether the run is trained nevertheless; saves the last step if that has not been done yet."""
        failed = isinstance(exception, Exception | SystemExit) and not isinstance(exception, Diverged)
        is_full = isinstance(exception, OSError) and exception.errno in FULL  # nothing more can be written
        self.keeps = self.reached and failed and not is_full and trainer.world_size == 1  # others would wait for this
        if self.keeps:
            for saver in _unsaved(trainer):
                saver.write(trainer)


def fit(trainer: Trainer, module: LightningModule, data: LightningDataModule, checkpoint: Path | None = None) -> None:
    """`trainer.fit`; once all steps are taken and saved, an exception or `sys.exit` in a callback is a warning."""
    finish = Finish()
    trainer.callbacks.insert(0, finish)  # type: ignore[attr-defined]  # Lightning sets it late
    try:
        trainer.fit(module, data, ckpt_path=checkpoint)
    except (Exception, SystemExit) as error:
        if not finish.keeps or _unsaved(trainer):
            raise
        said = "a callback failed after the last step, so the run is trained and is scored now (%s)"
        log.warning(said, one_sentence(error), exc_info=os.environ.get("HYDRA_FULL_ERROR") == "1")


def _unsaved(trainer: Trainer) -> list[LastCheckpoint]:
    """Those who have not written the last step; `fast_dev_run` saves nothing."""
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return []
    savers = [each for each in trainer.callbacks if isinstance(each, LastCheckpoint)]  # type: ignore[attr-defined]
    return [each for each in savers if each.step != trainer.global_step]
