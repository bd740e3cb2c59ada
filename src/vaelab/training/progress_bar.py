"""The progress bar of a run."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from vaelab.progress import redraws


class Progress(TQDMProgressBar):
    """One line with the epoch and the last `train/elbo` and `val/elbo`, in nats, on a terminal or in a notebook.

    Args:
        refresh_rate: steps between two updates of the bar.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

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

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Shows the epoch, counted from 1."""
        super().on_train_epoch_start(trainer)
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}{last}", refresh=False)

    def init_validation_tqdm(self) -> Tqdm:
        """No bar: validation is short, and a second bar would only flicker."""
        return Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        """No bar: the final numbers follow at once."""
        return Tqdm(disable=True)
