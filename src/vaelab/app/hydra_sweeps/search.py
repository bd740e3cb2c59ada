"""Bayesian search over the same keys as a grid: hydra/sweeper=optuna."""

import hashlib
import logging
import math
import os
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from vaelab.app.hydra_sweeps.installed import check_installed
from vaelab.app.hydra_sweeps.search_space import check_searchable, distribution, first_of
from vaelab.app.hydra_sweeps.sweep import Sweep
from vaelab.instantiate import anything, instantiate

VAELAB = ("-m", "vaelab")  # the `vaelab` command
log = logging.getLogger("vaelab")


Trial = tuple[int, dict[str, Any]]  # its number, and key -> value


class OptunaSearch:
    """Gets the next cells from Optuna, and tells it how they ended. The study is in the sweep's folder.

    An interrupted search resumes: cells that are done count, and cells that were running resume in their own folders.
    The next trials are the same as in an uninterrupted search, because each trial has its own random seed.

    Args:
        sweep: the sweep's folder and its cells.
        n_trials: the total number of cells.
        n_jobs: how many cells the launcher gets at once.
        metric: a key of a run's metrics.json, or `val/nll`, which needs an evaluation of each run.
        direction: `maximize` or `minimize`.
        samples: importance samples per example of `val/nll`.
        sampler: an `optuna.samplers.BaseSampler`. If it has a seed, each trial gets a seed from it and its own number.
        pruner: an `optuna.pruners.BasePruner`, used after each validation of a run; None ends no run early.
        params: key -> values (`2,5,10`, `choice(…)`), `range(2,20)` or `interval(1e-4,1e-2)`, `tag(log,…)` for a
            logarithmic scale. The command line takes precedence.
    """

    def __init__(
        self,
        sweep: Sweep,
        n_trials: int,
        n_jobs: int,
        metric: str,
        direction: str,
        samples: int,
        sampler: Any,
        pruner: Any,
        params: Mapping[str, Any] | None,
    ) -> None:
        from vaelab.checks import check_choice, check_whole

        check_installed("hydra/sweeper=optuna", "optuna")
        self.n_trials = check_whole("hydra.sweeper.n_trials", n_trials, 1)
        self.n_jobs = check_whole("hydra.sweeper.n_jobs", n_jobs, 1)
        self.samples = check_whole("hydra.sweeper.samples", samples, 1)
        self.direction: Any = check_choice("hydra.sweeper.direction", direction, ("maximize", "minimize"))
        if (metric, direction) == ("val/nll", "maximize"):
            raise ValueError(
                "hydra.sweeper.direction must be minimize for hydra.sweeper.metric=val/nll, because a lower nll is "
                "better, but is maximize"
            )
        self.metric, self.params, self.all = metric, params or {}, sweep
        sweeper: Any = OmegaConf.to_container(sweep.config.hydra.sweeper)
        self.sampler, self.pruner = sweeper["sampler"], sweeper["pruner"]  # configs: each trial makes new objects

    def run(self, arguments: list[str]) -> None:
        """Runs cells until there are `n_trials`."""
        import optuna

        from vaelab.runs.trust import STUDY
        from vaelab.sweeps.search import write_results
        from vaelab.sweeps.study import open_study, storage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        last = self._overrides(arguments)
        constants = [f"{key}={o.get_value_element_as_str()}" for key, o in last.items() if not o.is_sweep_override()]
        space = {key: distribution(override) for key, override in last.items() if override.is_sweep_override()}
        if not space:
            raise ValueError(
                "a search needs a key with several values, but every key has only one; use several for some, as in "
                "'latent_dim=range(2,20)' 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        check_searchable(space)
        about = self._about(last, constants, space)
        with self.all.running():
            study = open_study(self.all.folder, self.direction, about)
            os.environ[STUDY] = storage(self.all.folder)  # a cell that resumes uses only the pruner of this search
            while not self.all.stopped and (trials := self._next_trials(study, space)):
                self._run(study, trials, constants, list(space))
            write_results(study, self.all.folder, self.metric)

    def _overrides(self, arguments: Sequence[str]) -> dict[str, Override]:
        """Key -> its override. The command line wins over `params`, and a key's last override over earlier ones."""
        parser = OverridesParser.create(config_loader=self.all.context.config_loader)
        given = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        return {override.get_key_element(): override for override in given}

    def _next_trials(self, study: Any, space: Mapping[str, Any]) -> list[Trial]:
        """The trials that were running when the search was interrupted, and new ones; empty if all have ended."""
        from optuna.trial import TrialState

        trials: list[Trial] = []
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.params.keys() == space.keys():
                trials.append((trial.number, trial.params))
            else:  # the search was interrupted while it drew this trial
                study.tell(trial.number, state=TrialState.FAIL)
        left = self.n_trials - len(study.trials)
        for _ in range(min(self.n_jobs - len(trials), left)):
            study.sampler = self._sampler(len(study.trials))
            asked = study.ask(space)
            trials.append((asked.number, asked.params))
        return trials

    def _about(self, last: Mapping[str, Override], constants: list[str], space: Mapping[str, Any]) -> dict[str, str]:
        """The settings of this search. A search with other settings needs another folder."""
        from vaelab.sweeps.cells import MOVABLE
        from vaelab.sweeps.config_hash import WITHOUT_EFFECT
        from vaelab.sweeps.study import DATA_AND_FILES

        same = {*WITHOUT_EFFECT, *MOVABLE}
        about = {key: (o.input_line or "").partition("=")[2] for key, o in last.items() if key not in same}
        about |= {"hydra.sweeper.metric": self.metric, "hydra.sweeper.direction": self.direction}
        if self.metric == "val/nll":
            about |= {"hydra.sweeper.samples": str(self.samples)}
        return about | {DATA_AND_FILES: self._data_and_files(constants, space)}

    def _data_and_files(self, constants: list[str], space: Mapping[str, Any]) -> str:
        """A digest of what the overrides do not show: the content of the data, and of the files in conf/.

        Raises:
            Exception: no config can be composed from the overrides.
        """
        first = {key: first_of(drawn) for key, drawn in space.items()}
        looked_at = [first]
        for key, drawn in space.items():
            if re.match(r"\+*data\b", key):
                looked_at += [first | {key: choice} for choice in getattr(drawn, "choices", ())[1:]]
        found = [self.all.identity([*constants, *(f"{k}={v}" for k, v in values.items())]) for values in looked_at]
        return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]

    def _run(self, study: Any, trials: Sequence[Trial], constants: Sequence[str], keys: Sequence[str]) -> None:
        """Runs some trials, and tells the study how they ended."""
        from vaelab.sweeps.cells import key_and_value
        from vaelab.sweeps.search import readable

        batch = [[*constants, *(f"{key}={readable(params[key])}" for key in keys)] for _, params in trials]
        cells = self.all.cells(batch, [key_and_value(key)[0] for key in keys], [number for number, _ in trials])
        asked = [[*overrides, *self._pruning(number)] for overrides, (number, _) in zip(batch, trials, strict=True)]
        self.all.launch(cells, asked)
        for (number, _), cell, overrides in zip(trials, cells, batch, strict=True):
            self._tell(study, number, cell, overrides)

    def _tell(self, study: Any, number: int, cell: Any, overrides: Sequence[str]) -> None:
        """Tells the study how a trial ended, unless the sweep was stopped first."""
        from optuna.trial import TrialState

        from vaelab.runs.admitted import packages
        from vaelab.sweeps.cells import stop_asked
        from vaelab.sweeps.search import evaluate
        from vaelab.sweeps.study import check_comparable, is_pruned

        value = math.nan
        if cell.done:
            check_comparable(study, cell, self.metric)
            if is_pruned(study, number, cell):
                study.tell(number, state=TrialState.PRUNED)
                return
            allow = packages(OmegaConf.to_container(self.all.compose(overrides)))
            value = evaluate(cell, self.metric, self.samples, VAELAB, allow, partial(stop_asked, self.all.folder))
        if not math.isnan(value):
            study.tell(number, value)
        elif not self.all.stopped:
            if cell.done:
                log.error("error: %s has no finite %s, so its trial counts as failed", cell.folder, self.metric)
            study.tell(number, state=TrialState.FAIL)

    def _sampler(self, trial: int) -> Any:
        """Optuna's sampler for a trial."""
        if (seed := self.sampler.get("seed")) is None:
            return instantiate(self.sampler, anything, "hydra.sweeper.sampler")
        own = random.Random(f"{seed}, {trial}").getrandbits(31)  # numpy's draws are similar for neighbouring seeds
        return instantiate(self.sampler, anything, "hydra.sweeper.sampler", seed=own)

    def _pruning(self, trial: int) -> list[str]:
        """The overrides that add the callback with the pruner."""
        from vaelab.sweeps.cells import quoted
        from vaelab.sweeps.study import storage

        if self.pruner is None:
            return []
        options = {
            "_target_": "vaelab.training.PruneTrial",
            "storage": quoted(storage(self.all.folder)),
            "trial": trial,
            "metric": self.metric,
            **{f"pruner.{key}": value for key, value in self.pruner.items()},
        }
        return [f"+callbacks.prune.{key}={value}" for key, value in options.items()]
