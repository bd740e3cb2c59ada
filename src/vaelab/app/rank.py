"""Finds the number of this process among the processes of a run (`trainer=ddp`)."""

import os
import time
from functools import cache

STARTED_BY = "VAELAB_STARTED_BY"  # in the environment of a run's other processes: the process id of the first


def is_started_by_a_run() -> bool:
    """True if the first process of a run has started this one."""
    return os.environ.get(STARTED_BY) == str(os.getppid())


@cache  # when the first process ends, this one gets another parent
def rank() -> int:
    """The number of this process in its run. The first, 0, starts the others and writes the files."""
    return int(os.environ.get("LOCAL_RANK", 0)) if is_started_by_a_run() else 0


def first_has_ended(seconds: float = 2.0) -> bool:
    """True if the first process of this run ends within some seconds. Its connection is lost a moment earlier."""
    until = time.monotonic() + seconds
    while is_started_by_a_run() and time.monotonic() < until:
        time.sleep(0.01)
    return not is_started_by_a_run()
