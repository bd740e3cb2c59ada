"""Estimates how long a run will still take."""

import time
from typing import Any

from lightning.pytorch.callbacks import Timer

from vaelab.training.schedule_length import RunFraction


class TimeLeft:
    """Estimates the time until the last epoch of a run ends, from the speed since this object was made.

    Validation, pictures and checkpoints count too. A run that ends early (`max_time`) has no more than its limit left;
    early stopping may end it at any time.

    Args:
        trainer: the trainer of a run that starts or resumes now.
    """

    def __init__(self, trainer: Any) -> None:
        self.fraction = RunFraction(trainer)
        self.timers = [each for each in trainer.callbacks if isinstance(each, Timer)]
        self.began, self.done_before = time.monotonic(), self.fraction() or 0.0

    def seconds(self) -> float | None:
        """The estimate; None if nothing is done yet, or if the run has no known length."""
        done, elapsed = self.fraction(), time.monotonic() - self.began
        estimates = [left for timer in self.timers if (left := timer.time_remaining()) is not None]
        if done is not None and done > self.done_before:
            estimates.append(elapsed * (1 - done) / (done - self.done_before))
        return max(0.0, min(estimates)) if estimates else None
