"""The progress of a run: a bar on a terminal, and a line now and then in a log."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from vaelab.progress import redraws
from vaelab.training.time_left import TimeLeft

FIRST_LINE, NEXT_LINES = 10.0, 60.0  # seconds until the first line in a log, and between two lines

log = logging.getLogger(__name__)


class Progress(TQDMProgressBar):
    """One line with the epoch, the time that the whole run has left, and the last `train/elbo` and `val/elbo`, in nats.

    On a terminal, and in a notebook, it is a bar. If the output goes to a file, the log gets a line after ten seconds,
    and then one each minute.

    Args:
        refresh_rate: steps between two updates of the bar.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}{postfix}]"

    def __init__(self, refresh_rate: int = 50) -> None:
        super().__init__(refresh_rate)
        if not redraws(sys.stdout):
            self.disable()

    def enable(self) -> None:
        """Enables the bar where it can be redrawn. Lightning calls this in the first process, for every bar."""
        if redraws(sys.stdout):
            super().enable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The last ELBO of training and of validation."""
        metrics = trainer.callback_metrics
        return {name: f"{metrics[name]:.2f}" for name in ("train/elbo", "val/elbo") if name in metrics}

    def init_train_tqdm(self) -> Tqdm:
        """A bar over all steps of the run."""
        steps = self.time_left.fraction.steps
        return WholeRunBar(
            left=self._time_left,
            initial=self.trainer.global_step,
            total=int(steps) if steps < float("inf") else None,
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            bar_format=self.BAR_FORMAT,
        )

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Starts the clock and the bar."""
        self.time_left = TimeLeft(trainer)
        self.next_line = time.monotonic() + FIRST_LINE
        self.writes_lines = self.is_disabled and self.refresh_rate > 0 and trainer.is_global_zero
        super().on_train_start(trainer)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Shows the epoch, counted from 1."""
        self.train_progress_bar.set_description(f"epoch {_epoch(trainer, '/')}", refresh=False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Updates the bar, or writes a line if one is due."""
        bar, batches = self.train_progress_bar, trainer.fit_loop.batch_idx + 1
        if self.is_enabled and (batches % self.refresh_rate == 0 or trainer.is_last_batch):
            bar.n = trainer.global_step
            bar.set_postfix(self.get_metrics(trainer, pl_module))
        elif self.writes_lines and time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + NEXT_LINES
            log.info(self._line(trainer, pl_module))

    def _line(self, trainer: Trainer, pl_module: LightningModule) -> str:
        """A line for a log: `epoch 7 of 50, 02:13 left, train/elbo -0.71, val/elbo -0.70`."""
        left, numbers = self._time_left(), self.get_metrics(trainer, pl_module)
        parts = [f"epoch {_epoch(trainer, ' of ')}", *([f"{left} left"] if left != "?" else [])]
        return ", ".join([*parts, *(f"{name} {value}" for name, value in numbers.items())])

    def init_validation_tqdm(self) -> Tqdm:
        """No bar: validation is short, and a second bar would only flicker."""
        return Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        """No bar: the final numbers follow at once."""
        return Tqdm(disable=True)

    def _time_left(self) -> str:
        """Minutes and seconds, such as 02:13; `?` if unknown."""
        seconds = self.time_left.seconds()
        return "?" if seconds is None else Tqdm.format_interval(round(seconds))


class WholeRunBar(Tqdm):
    """A bar with a field `left`, the time that the whole run has left.

    Args:
        left: returns the text of that field.
    """

    def __init__(self, *args: Any, left: Callable[[], str], **kwargs: Any) -> None:
        self.left = left
        super().__init__(*args, **kwargs)

    @property
    def format_dict(self) -> dict[str, Any]:
        """The fields of the bar."""
        return {**super().format_dict, "left": self.left()}


def _epoch(trainer: Trainer, of: str) -> str:
    """The epoch, counted from 1, and how many there will be: 7/50."""
    last = f"{of}{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"{trainer.current_epoch + 1}{last}"
