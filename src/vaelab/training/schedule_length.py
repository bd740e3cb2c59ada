"""The fraction of a run that is done, which the learning rate and the weight of the KL follow."""

import math
from typing import Any

from lightning.pytorch.callbacks import Timer

ENDED = 0.95  # of a run: the cosine is at its end


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
        self.has_time_limit = bool(timers)
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


def unfinished_schedule(trainer: Any, module: Any) -> list[str]:
    """A sentence if a run ended long before its schedules did, which a time limit or early stopping can do."""
    follows = getattr(module.objective, "is_scheduled", False) or _follows_run(trainer)
    done = module.fraction_done() if module.fraction_done else None
    if trainer.fast_dev_run or not follows or done is None or done >= ENDED:
        return []
    cure = "; with trainer.max_epochs=-1 they follow trainer.max_time" if module.fraction_done.has_time_limit else ""
    return [
        f"training ended after {100 * done:.0f} % of the run that its schedules were made for, so the learning rate "
        f"and the weight of the KL had not reached their final values{cure} (docs/trainer.md)"
    ]


def _follows_run(trainer: Any) -> bool:
    return any(hasattr(each.scheduler, "follow") for each in trainer.lr_scheduler_configs)
