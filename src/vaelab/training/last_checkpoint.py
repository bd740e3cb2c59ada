"""The checkpoint from which a run resumes as if it had never been interrupted."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from vaelab.checkpoint import write_checkpoint
from vaelab.checks import check_number, check_whole
from vaelab.signals import stopping
from vaelab.training.loggers import flush, sizes
from vaelab.training.non_finite import Diverged
from vaelab.whole_files import second_name


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` before training, between two minibatches, and at the end; `previous.ckpt` is the one before.

    Lightning saves weights, optimiser, schedules, counters, callbacks and the place in the shuffled data. This adds
    `position`: the states of torch's random generators, the running means that are not yet in the curves, and the
    sizes of the files that hold the curves. It is written only between two minibatches, so each is either done or not
    begun.

    Args:
        seconds: the shortest time between two checkpoints. A killed run loses no more than that. None only counts
            steps.
        every_n_steps: optimiser steps between two checkpoints; None only uses the clock.
        dirpath: the checkpoint's folder; None means `checkpoints` in the logger's folder.
        filename: the checkpoint's name, without `.ckpt`.

    Raises:
        ValueError: `seconds` is negative, or `every_n_steps` is not a whole number of at least 1.
    """

    def __init__(
        self,
        seconds: float | None = 2.0,
        every_n_steps: int | None = None,
        dirpath: str | Path | None = None,
        filename: str = "last",
    ) -> None:
        self.seconds = float("inf") if seconds is None else check_number("callbacks.last.seconds", seconds, 0)
        if every_n_steps is not None:
            check_whole("callbacks.last.every_n_steps", every_n_steps, 1)
        self.every_n_steps = every_n_steps
        self.dirpath = dirpath
        self.filename = filename
        self.path = self.within = Path()
        self.folder: int | None = None  # the folder's descriptor, once the first checkpoint is written
        self.written = -float("inf")  # the time of the last checkpoint, on the monotonic clock
        self.step = -1  # the step of the last checkpoint
        self.is_writing = False
        self.position: dict[str, Any] | None = None  # the position in the checkpoint that the run resumes from

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder."""
        run = Path(trainer.log_dir or trainer.default_root_dir)
        folder = self.dirpath or run / "checkpoints"
        self.path = Path(folder) / f"{self.filename}.ckpt"
        self.within = run if self.path.is_relative_to(run) else self.path.parent
        self.written = -float("inf")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the first checkpoint of a new run before any data are served. It can be resumed from then on."""
        if trainer.ckpt_path is None:
            self.write(trainer)

    def is_due(self, trainer: Trainer) -> bool:
        """True if a checkpoint should be written before the next minibatch."""
        by_clock = stopping.asked is not None or time.monotonic() - self.written >= self.seconds
        if not by_clock and self.every_n_steps is None:  # the usual case, before each minibatch
            return False
        since = trainer.global_step - self.step
        return since > 0 and (by_clock or since >= (self.every_n_steps or 0) or self.step < 0)

    def write(self, trainer: Trainer) -> None:
        """Writes the checkpoint.

        Raises:
            OSError: it cannot be written, or the run's folder is gone.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it late
            return
        stopping.wait()
        if trainer.is_global_zero:
            self._check_folder()
            second_name(self.path, self.path.with_name("previous.ckpt"))
        self.is_writing = True
        try:
            trainer.save_checkpoint(self.path, weights_only=False)
        finally:
            self.is_writing = False
        self.step, self.written = trainer.global_step, time.monotonic()

    def _check_folder(self) -> None:
        """Checks that the folder is the one that the run began in, not a new one with the same name."""
        if self.folder is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = os.open(self.path.parent, os.O_RDONLY)  # while it is open, its inode is not reused
        elif not self.path.parent.is_dir() or not os.path.samestat(os.fstat(self.folder), self.path.parent.stat()):
            raise FileNotFoundError(f"{self.path.parent} was removed, so the run cannot be saved there; start it again")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds the position to this callback's own checkpoint."""
        if self.is_writing:
            means = pl_module.means["train"]
            if trainer.world_size > 1:
                means.gather(pl_module.device)
                if not trainer.is_global_zero:
                    means.clear()
            if trainer.is_global_zero:
                flush(trainer.loggers)
            checkpoint["position"] = {
                "random": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                "means": means.state_dict(),
                "elbos": pl_module.elbos.state_dict(),
                "metrics": {tag: value.cpu() for tag, value in trainer.callback_metrics.items()},
                "should_stop": trainer.should_stop,
                "curves": sizes(trainer.loggers, self.path.parent.parent),
            }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keeps the position until the first minibatch."""
        self.position = checkpoint.get("position")
        if self.position is None:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):  # it saves its score, but does not load it
                callback.current_score = checkpoint["callbacks"].get(callback.state_key, {}).get("current_score")
        trainer.should_stop = self.position["should_stop"]

    def restore_position(self, trainer: Trainer, pl_module: Any) -> bool:
        """Restores the position of a loaded checkpoint, once; False if there is none."""
        if self.position is None:
            return False
        position, self.position = self.position, None
        torch.set_rng_state(position["random"])
        if len(position["cuda"]) == torch.cuda.device_count() > 0:
            torch.cuda.set_rng_state_all(position["cuda"])
        pl_module.means["train"].load_state_dict(position["means"], pl_module.device)
        if elbos := position.get("elbos"):  # older checkpoints have none
            pl_module.elbos.load_state_dict(elbos)
        if not trainer.is_global_zero:
            pl_module.means["train"].clear()
        trainer.callback_metrics.update(position["metrics"])  # for callbacks that read them before the next point
        self.step, self.written = trainer.global_step, time.monotonic()
        return True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the last checkpoint of the run."""
        self.write(trainer)
        stopping.stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Closes the folder."""
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Writes the batch with a loss that is not finite to `bad_batch.pt`, beside the checkpoints."""
        if isinstance(exception, Diverged) and exception.batch is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            bad = dict(zip(("x", "target", "condition"), exception.batch, strict=False))
            with suppress(OSError):
                write_checkpoint(self.path.with_name("bad_batch.pt"), bad, self.within)
