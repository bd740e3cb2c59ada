"""The checkpoint from which a run goes on as if it had never been interrupted."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from vaelab.checkpoint import read_checkpoint, write_checkpoint
from vaelab.checks import check_number, check_whole
from vaelab.signals import stopping
from vaelab.training.curves import flush, sizes
from vaelab.training.diverged import Diverged
from vaelab.whole_files import second_name


class LastCheckpoint(Checkpoint):
    """`last.ckpt`, written before training, between two minibatches, and at the end; `previous.ckpt` is the one before.

    Beside what Lightning keeps (weights, optimiser, schedules, counters, callbacks, the place in the shuffled data) it
    holds `position`: the state of torch's random generators, what the curves have not been told yet, and how long their
    files are. It is written where every minibatch is either over or not begun.

    Args:
        seconds: at least this long between two; a killed run loses no more than that. None leaves it to the steps.
        every_n_steps: optimiser steps between two; None leaves it to the clock.
        dirpath: its folder; None means `checkpoints` in the logger's folder.
        filename: its name, without `.ckpt`.

    Raises:
        ValueError: a number makes no sense.
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
        self.folder: int | None = None  # a descriptor, since the first checkpoint
        self.written = -float("inf")  # when, by the monotonic clock
        self.step = -1  # of the last one
        self.is_writing = False
        self.position: dict[str, Any] | None = None  # of the checkpoint that the run goes on from

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder."""
        folder = self.dirpath or Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"
        self.path = Path(folder) / f"{self.filename}.ckpt"
        run = Path(trainer.log_dir or trainer.default_root_dir)
        self.within = run if self.path.is_relative_to(run) else self.path.parent
        self.written = -float("inf")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the first one of a new run, before any data are served, so that it can be resumed from then on."""
        if trainer.ckpt_path is None:
            self.write(trainer)

    def is_due(self, trainer: Trainer) -> bool:
        """Whether one should be written before the next minibatch."""
        by_clock = stopping.asked is not None or time.monotonic() - self.written >= self.seconds
        if not by_clock and self.every_n_steps is None:  # nearly always, and before each minibatch
            return False
        since = trainer.global_step - self.step
        return since > 0 and (by_clock or since >= (self.every_n_steps or 0) or self.step < 0)

    def write(self, trainer: Trainer) -> None:
        """Writes it.

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
        """It must be the folder that the run began in, not one that another file has made anew since."""
        if self.folder is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = os.open(self.path.parent, os.O_RDONLY)  # while it is open its number is given to no other
        elif not self.path.parent.is_dir() or not os.path.samestat(os.fstat(self.folder), self.path.parent.stat()):
            raise FileNotFoundError(f"{self.path.parent} was removed, so the run cannot be saved there; start it again")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds the position, where it is this checkpoint that is written."""
        if self.is_writing:
            if trainer.world_size > 1:
                pl_module.means["train"].add_up(pl_module.device)
                if not trainer.is_global_zero:
                    pl_module.means["train"].drop()
            flush(trainer)
            checkpoint["position"] = {
                "random": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
                "means": pl_module.means["train"].state_dict(),
                "metrics": {tag: value.cpu() for tag, value in trainer.callback_metrics.items()},
                "should_stop": trainer.should_stop,
                "curves": sizes(self.path.parent.parent),
            }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keeps the position until the first minibatch."""
        self.position = checkpoint.get("position")
        if self.position is None:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):  # it saves this and does not load it
                callback.current_score = checkpoint["callbacks"].get(callback.state_key, {}).get("current_score")
        trainer.should_stop = self.position["should_stop"]

    def go_on(self, trainer: Trainer, pl_module: Any) -> bool:
        """Takes up the position, once; -> whether there was one."""
        if self.position is None:
            return False
        position, self.position = self.position, None
        torch.set_rng_state(position["random"])
        if len(position["cuda"]) == torch.cuda.device_count() > 0:
            torch.cuda.set_rng_state_all(position["cuda"])
        pl_module.means["train"].load_state_dict(position["means"], pl_module.device)
        if not trainer.is_global_zero:
            pl_module.means["train"].drop()
        trainer.callback_metrics.update(position["metrics"])  # for whoever looks at them before the next point
        self.step, self.written = trainer.global_step, time.monotonic()
        return True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the last one of the run."""
        self.write(trainer)
        stopping.stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lets the folder go."""
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keeps the batch on which a number was no longer finite, as `bad_batch.pt` beside the checkpoints."""
        if isinstance(exception, Diverged) and exception.batch is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            bad = dict(zip(("x", "target", "condition"), exception.batch, strict=False))
            with suppress(OSError):
                write_checkpoint(self.path.with_name("bad_batch.pt"), bad, self.within)


class CheckpointIO(TorchCheckpointIO):
    """Files that are whole or as they were, whose checksums are looked at, and that are read as data.

    Args:
        folder: the run's; from there on no link is followed.
        start: the checkpoint from which the run is resumed.
        content: what `start` holds, as it was checked: Lightning gets this and does not read the file again. A run
            that is resumed may be anyone's, so it writes and removes checkpoints in its own folder only. A new run is
            the user's own, and its checkpoints may lie elsewhere.
    """

    def __init__(
        self, folder: Path | None = None, start: Path | None = None, content: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.folder = folder
        self.start, self.content = start, content
        self.is_resumed = content is not None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes it.

        Raises:
            ValueError: it lies outside the folder of a run that is resumed.
        """
        path = self._checked(path)
        self.start = self.content = None  # from now on the files hold something newer
        write_checkpoint(path, checkpoint, self.folder if self._is_inside(path) else None)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads it, unless it is the one that was read and checked already; `weights_only` is always true."""
        if self.content is not None and Path(path) == self.start:
            return self.content
        return read_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Removes one file; whatever a checkpoint's state names, never a folder.

        Raises:
            ValueError: it lies outside the folder of a run that is resumed.
        """
        path = self._checked(path)
        if path.suffix == ".ckpt" and path.is_file():
            path.unlink()

    def _checked(self, path: Any) -> Path:
        path = Path(os.path.normpath(path))
        if self.is_resumed and not self._is_inside(path):
            raise ValueError(
                f"a resumed run keeps its checkpoints in its own folder, but {path} is outside {self.folder}; train a "
                "new run"
            )
        return path

    def _is_inside(self, path: Path) -> bool:
        return self.folder is not None and path.is_relative_to(self.folder)
