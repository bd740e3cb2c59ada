"""The number of optimiser steps that a run will take, for schedules over the run."""

import math
from typing import Any


def steps_of(trainer: Any) -> int:
    """The number of optimiser steps of a run, from `max_epochs` and `max_steps`; at least 1.

    Raises:
        ValueError: neither of the two limits the run.
    """
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps):
        raise ValueError(
            "trainer.max_epochs or trainer.max_steps must limit a run with objective.beta_schedule, because β follows "
            "the fraction of the run that is done, but neither does; set one, or use objective.beta_schedule=constant"
        )
    return max(1, int(steps))
