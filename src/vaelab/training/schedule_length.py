"""The fraction of a run that is done, which the learning rate and the weight of the KL follow."""

import logging
import math
from typing import Any

from lightning.pytorch.callbacks import Timer

from vaelab.steps import is_scheduled

ENDED = 0.95  # of a run: the cosine is at its end

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


def start_schedules(trainer: Any, objective: Any) -> RunFraction:
    """Makes the learning rate follow the fraction of the run that is done, and returns that fraction.

    It logs a line if the run has schedules, but no known length.
    """
    fraction, followers = RunFraction(trainer), _followers(trainer)
    for schedule in followers:
        schedule.follow(fraction)
    if (followers or is_scheduled(objective)) and not fraction.is_known:
        log.info(
            "the learning rate and %s stay constant, because neither trainer.max_epochs nor "
            "trainer.max_steps limits the run",
            _scheduled(objective),
        )
    return fraction


def current_beta(objective: Any, fraction: RunFraction | None) -> float | None:
    """The weight of the KL at the current step; None if it is not scheduled.

    Args:
        objective: the objective of the run.
        fraction: tells how much of the run is done. If that is unknown, the weight is the final one.
    """
    if not is_scheduled(objective):
        return None
    done = fraction() if fraction else None
    return float(objective.beta_at(1.0 if done is None else done))


def has_final_beta(module: Any) -> bool:
    """True if the weight of the KL was at its final value in the last step."""
    beta = getattr(module, "beta", None)
    return beta is None or beta >= 0.999 * module.objective.beta


def unfinished_schedule(trainer: Any, module: Any) -> list[str]:
    """A sentence if a run ended long before its schedules did, which a time limit or early stopping can do."""
    done = module.fraction_done() if module.fraction_done else None
    if trainer.fast_dev_run or done is None or done >= ENDED:
        return []
    rate = ["the learning rate"] if _followers(trainer) else []
    moving = rate + ([] if has_final_beta(module) else [_scheduled(module.objective)])
    if not moving:
        return []
    final = "its final value" if len(moving) == 1 else "their final values"
    cure = "; schedules follow trainer.max_time if trainer.max_epochs=-1" if module.fraction_done.has_time_limit else ""
    return [
        f"training ended after {100 * done:.0f} % of the run that its schedules were made for, so "
        f"{' and '.join(moving)} had not reached {final}{cure} (docs/trainer.md)"
    ]


def _scheduled(objective: Any) -> str:
    """What the schedule of an objective moves."""
    return "the weight of the KL" if getattr(objective, "capacity", None) is None else "the capacity of the KL"


def _followers(trainer: Any) -> list[Any]:
    """The schedules of the learning rate that follow the fraction of the run that is done."""
    return [each.scheduler for each in trainer.lr_scheduler_configs if hasattr(each.scheduler, "follow")]
