"""The progress bar of a run."""

import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Progress(TQDMProgressBar):
    """One line that shows the epoch and the last `train/elbo` and `val/elbo`, in nats; silent where nobody watches.

    Args:
        refresh_rate: steps between two drawings.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

    def __init__(self, refresh_rate: int = 50) -> None:
        super().__init__(refresh_rate)
        if not sys.stdout.isatty():
            self.disable()

    def enable(self) -> None:
        """Lightning enables every bar on rank 0; without a terminal this one stays silent."""
        if sys.stdout.isatty():
            super().enable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The two running bounds."""
        metrics = trainer.callback_metrics
        return {name: f"{metrics[name]:.2f}" for name in ("train/elbo", "val/elbo") if name in metrics}

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Names the epoch as people count, from 1."""
        super().on_train_epoch_start(trainer)
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}{last}", refresh=False)

    def init_validation_tqdm(self) -> Tqdm:
        """Validation is short: a second bar would only flicker."""
        return Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        """The final numbers follow at once."""
        return Tqdm(disable=True)
