"""The fraction of a run that is done, which the learning rate and the weight of the KL follow."""

import logging
import math
from typing import Any

from lightning.pytorch.callbacks import Timer

log = logging.getLogger(__name__)


class RunFraction:
    """Tells the fraction of a run that is done: 0 before the first step, and None if the length of the run is unknown.

    It counts optimiser steps, up to the limit that `max_epochs` and `max_steps` set. If neither is set, it is the
    fraction of `max_time`. Then no two runs are bit for bit equal. Several processes would not agree on the time, so
    for them only steps count.

    Args:
        trainer: the trainer of the run, whose data are set up.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.steps = trainer.estimated_stepping_batches
        timers = [each for each in trainer.callbacks if isinstance(each, Timer) and each.time_remaining() is not None]
        self.timer = timers[0] if timers and trainer.world_size == 1 else None

    @property
    def is_known(self) -> bool:
        """True if the run has a known length."""
        return math.isfinite(self.steps) or self.timer is not None

    def __call__(self) -> float | None:
        """The fraction that is done, from 0 to 1."""
        if math.isfinite(self.steps):
            return min(1.0, self.trainer.global_step / max(1, self.steps))
        if self.timer is None:
            return None
        elapsed, remaining = self.timer.time_elapsed(), self.timer.time_remaining()
        return min(1.0, elapsed / max(1e-9, elapsed + (remaining or 0.0)))
