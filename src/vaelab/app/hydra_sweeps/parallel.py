"""Runs several cells at a time on one machine: hydra/launcher=joblib."""

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from omegaconf import open_dict, read_write

from vaelab.app.config_identity import without_hydra
from vaelab.app.hydra_sweeps.cell import Job, job_of

log = logging.getLogger(__name__)


class Parallel:
    """Replaces Hydra's joblib launcher with threads. Each thread waits for the process of a cell.

    Each cell has its own process anyway. So no worker can outlive the sweep, and no shared memory is needed.

    Args:
        launcher: Hydra's joblib launcher after its set-up. Only its `n_jobs` has an effect.

    Raises:
        ValueError: `n_jobs` is 0 or not a whole number.
    """

    def __init__(self, launcher: Any) -> None:
        self.n_jobs = side_by_side(launcher.joblib["n_jobs"])
        self.context, self.config = launcher.hydra_context, launcher.config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs a cell for each list of overrides."""
        from vaelab.platforms import processors

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        log.info("Launching %d jobs, %d at a time", len(job_overrides), self.n_jobs)
        threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, processors() // self.n_jobs)))}
        left: deque[tuple[Any, Job]] = deque()
        for index, overrides in enumerate(job_overrides, initial_job_idx):
            log.info("\t#%d : %s", index, " ".join(filter_overrides(overrides)))
            whole = self._composed(overrides)
            job = job_of(without_hydra(whole), whole)
            left.append((whole, replace(job, environment=threads | job.environment)))
        returned: list[JobReturn] = []
        lock = threading.Lock()

        def work() -> None:
            while left:
                with suppress(IndexError):  # another thread took the last one
                    returned.append(self._run(*left.popleft(), lock))

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(self.n_jobs, len(left)))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return returned

    def _composed(self, overrides: Sequence[str]) -> Any:
        whole = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(whole.hydra), open_dict(whole.hydra):
            whole.hydra.runtime.output_dir = os.path.abspath(f"{whole.hydra.sweep.dir}/{whole.hydra.sweep.subdir}")
        return whole

    def _run(self, whole: Any, job: Job, lock: Any) -> JobReturn:
        """Runs one job, with Hydra's callbacks before and after it."""
        from vaelab.app.errors import one_sentence

        result = JobReturn()
        result.overrides, result.hydra_cfg, result.status = job.overrides, whole, JobStatus.COMPLETED
        with lock:  # the callbacks share Hydra's settings, which belong to the whole process
            HydraConfig.instance().set_config(whole)
            self.context.callbacks.on_job_start(config=whole, task_function=lambda cfg: None)
        try:
            result.return_value = job.run()
        except Exception as error:
            log.error("error: %s", one_sentence(error))
            result.return_value = math.nan
        with lock:
            self.context.callbacks.on_job_end(config=whole, job_return=result)
        return result


def side_by_side(n_jobs: Any) -> int:
    """The number of cells that run at a time. As in joblib, -1 means all processors, and -2 all but one."""
    from vaelab.platforms import processors

    if type(n_jobs) is not int or n_jobs == 0:
        raise ValueError(
            f"hydra.launcher.n_jobs must be a whole number other than 0, but is {n_jobs}; use -1 for all processors"
        )
    return n_jobs if n_jobs > 0 else max(1, processors() + 1 + n_jobs)
