"""Several cells at a time on one machine: hydra/launcher=joblib."""

import inspect
import logging
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from omegaconf import open_dict, read_write

from hydra_plugins.vaelab_sweeps.cell import Job, job_of
from hydra_plugins.vaelab_sweeps.identity import without_hydra

log = logging.getLogger(__name__)


class Parallel:
    """Takes the place of Hydra's joblib launcher, with its options: joblib's threads in place of its workers.

    Each thread waits for the process of a cell. So no worker can outlive the sweep, and joblib needs no shared memory.

    Args:
        launcher: Hydra's own, set up.
    """

    def __init__(self, launcher: Any) -> None:
        self.options: dict[str, Any] = {**launcher.joblib, "backend": "threading"}
        self.context, self.config = launcher.hydra_context, launcher.config
        self.script = os.path.abspath(inspect.getfile(launcher.task_function))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs a cell for each list of overrides."""
        import joblib

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        side_by_side = joblib.effective_n_jobs(self.options["n_jobs"])
        log.info("Launching %d jobs, %d at a time", len(job_overrides), side_by_side)
        threads = str(max(1, joblib.cpu_count() // side_by_side))
        jobs = []
        for index, overrides in enumerate(job_overrides, initial_job_idx):
            log.info("\t#%d : %s", index, " ".join(filter_overrides(overrides)))
            whole = self._composed(overrides, index)
            job = job_of(self.script, without_hydra(whole), whole)
            shared = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
            jobs.append((whole, replace(job, environment=shared | job.environment)))
        run, lock = joblib.delayed(self._run), threading.Lock()
        returned: list[JobReturn] = joblib.Parallel(**self.options)(run(whole, job, lock) for whole, job in jobs)
        return returned

    def _composed(self, overrides: Sequence[str], index: int) -> Any:
        whole = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(whole.hydra), open_dict(whole.hydra):
            whole.hydra.job.id, whole.hydra.job.num = str(index), index
            whole.hydra.runtime.output_dir = os.path.abspath(f"{whole.hydra.sweep.dir}/{whole.hydra.sweep.subdir}")
        return whole

    def _run(self, whole: Any, job: Job, lock: Any) -> JobReturn:
        """Runs one job, with Hydra's callbacks before and after it."""
        from vaelab.errors import one_sentence

        result = JobReturn()
        result.overrides, result.hydra_cfg, result.status = job.overrides, whole, JobStatus.COMPLETED
        with lock:  # the callbacks share Hydra's settings, which are those of the process
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
