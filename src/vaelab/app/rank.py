"""Which of the processes of a run this one is (`trainer=ddp`)."""

import os
import time
from functools import cache

STARTED_BY = "VAELAB_STARTED_BY"  # in the environment of a run's other processes: the number of the first


def is_started_by_a_run() -> bool:
    """Whether the first process of a run has started this one."""
    return os.environ.get(STARTED_BY) == str(os.getppid())


@cache  # when the first process ends, this one gets another parent
def rank() -> int:
    """The number of this process in its run; the first, 0, starts the others and writes the files."""
    return int(os.environ.get("LOCAL_RANK", 0)) if is_started_by_a_run() else 0


def first_has_ended(seconds: float = 2.0) -> bool:
    """Whether the first process of this run ends within some seconds. Its connection is lost a moment earlier."""
    until = time.monotonic() + seconds
    while is_started_by_a_run() and time.monotonic() < until:
        time.sleep(0.01)
    return not is_started_by_a_run()
