"""Bayesian search over the same keys as a grid: hydra/sweeper=optuna."""

import hashlib
import logging
import math
import os
import random
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vaelab.app.hydra_sweeps.installed import check_installed
from vaelab.app.hydra_sweeps.sweep import Sweep

VAELAB = ("-m", "vaelab")  # the `vaelab` command
log = logging.getLogger("vaelab")


class OptunaSearch:
    """Asks Optuna for the next cells, and tells it how they end; its study lies in the sweep's folder.

    A study that was cut off goes on: what is done counts, what was running goes on in its own folder, and what comes
    then is what would have come, since each trial has draws of its own.

    Args:
        sweep: the sweep's folder and its cells.
        n_trials: cells in all.
        n_jobs: cells handed to the launcher at once.
        metric: a key of a run's metrics.json, or `val/nll`, for which each run is evaluated.
        direction: `maximize` or `minimize`.
        samples: importance samples per example of `val/nll`.
        sampler: an `optuna.samplers.BaseSampler`; where it has a seed, each trial has one made of that and its number.
        pruner: an `optuna.pruners.BasePruner`, asked after each validation of a run; None lets every run end.
        params: key -> values (`2,5,10`, `choice(…)`), `range(2,20)` or `interval(1e-4,1e-2)`, `tag(log,…)` for a
            logarithmic scale; the command line wins.
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
        self.sampler, self.pruner = sweeper["sampler"], sweeper["pruner"]  # configs: made anew for each trial

    def run(self, arguments: list[str]) -> None:
        """Runs `n_trials` cells, or what is left of them."""
        import optuna

        from vaelab.runs.trust import STUDY
        from vaelab.sweeps.search import write_results
        from vaelab.sweeps.study import open_study, storage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        parser = OverridesParser.create(config_loader=self.all.context.config_loader)
        given = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        last = {override.get_key_element(): override for override in given}
        constants = [f"{key}={o.get_value_element_as_str()}" for key, o in last.items() if not o.is_sweep_override()]
        space = {key: distribution(override) for key, override in last.items() if override.is_sweep_override()}
        if not space:
            raise ValueError(
                "nothing is searched over, because every key has one value; give some several, as in "
                "'latent_dim=range(2,20)' 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        check_searchable(space)
        about = self._about(last, constants, space)
        with self.all.running():
            study = open_study(self.all.folder, self.direction, about)
            os.environ[STUDY] = storage(self.all.folder)  # a cell that is resumed asks this search's pruner alone
            while not self.all.stopped:
                trials = []
                for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
                    if trial.params.keys() == space.keys():
                        trials.append((trial.number, trial.params))
                    else:  # it was cut off while it was drawn
                        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                left = self.n_trials - len(study.trials)
                for _ in range(min(self.n_jobs - len(trials), left)):
                    study.sampler = self._sampler(len(study.trials))
                    asked = study.ask(space)
                    trials.append((asked.number, asked.params))
                if not trials:
                    break
                self._run(study, trials, constants, list(space))
            write_results(study, self.all.folder, self.metric)

    def _about(self, last: Mapping[str, Override], constants: list[str], space: Mapping[str, Any]) -> dict[str, str]:
        """What this search is about; another search has no place in its folder."""
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
        """Digest of what the text of the overrides leaves open: the content of the data, and of the files in conf/.

        Raises:
            Exception: the overrides make no config.
        """
        first = {key: first_of(drawn) for key, drawn in space.items()}
        looked_at = [first]
        for key, drawn in space.items():
            if re.match(r"\+*data\b", key):
                looked_at += [first | {key: choice} for choice in getattr(drawn, "choices", ())[1:]]
        found = [self.all.identity([*constants, *(f"{k}={v}" for k, v in values.items())]) for values in looked_at]
        return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]

    def _run(self, study: Any, trials: list[tuple[int, dict[str, Any]]], constants: list[str], keys: list[str]) -> None:
        """Runs some trials, and tells the study what became of them."""
        from optuna.trial import TrialState

        from vaelab.sweeps.cells import key_and_value, packages, stop_asked
        from vaelab.sweeps.search import evaluate, readable
        from vaelab.sweeps.study import check_comparable, is_pruned

        batch = [[*constants, *(f"{key}={readable(params[key])}" for key in keys)] for _, params in trials]
        cells = self.all.cells(batch, [key_and_value(key)[0] for key in keys], [number for number, _ in trials])
        asked = [[*overrides, *self._pruning(number)] for overrides, (number, _) in zip(batch, trials, strict=True)]
        self.all.launch(cells, asked)
        for (number, _), cell, overrides in zip(trials, cells, batch, strict=True):
            if not cell.done:
                if not self.all.stopped:  # otherwise it goes on with the sweep
                    study.tell(number, state=TrialState.FAIL)
                continue
            check_comparable(study, cell, self.metric)
            if is_pruned(study, number, cell):
                study.tell(number, state=TrialState.PRUNED)
            else:
                allow = packages(OmegaConf.to_container(self.all.compose(overrides)))
                asked_to_stop = partial(stop_asked, self.all.folder)
                value = evaluate(cell, self.metric, self.samples, VAELAB, allow, asked_to_stop)
                if not math.isnan(value):
                    study.tell(number, value)
                elif not self.all.stopped:
                    log.error("error: %s has no finite %s, so its trial counts as failed", cell.folder, self.metric)
                    study.tell(number, state=TrialState.FAIL)

    def _sampler(self, trial: int) -> Any:
        """The sampler of a trial."""
        if (seed := self.sampler.get("seed")) is None:
            return instantiate(self.sampler)
        own = random.Random(f"{seed}, {trial}").getrandbits(31)  # numpy's seeds that are one apart draw much alike
        return instantiate({**self.sampler, "seed": own})

    def _pruning(self, trial: int) -> list[str]:
        """The overrides of a callback that asks the pruner."""
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


def check_searchable(keys: Iterable[str]) -> None:
    """Raises a ValueError if a search is over data, each with scores of its own."""
    from vaelab.sweeps.cells import MOVABLE

    for key in keys:
        if key.lstrip("+") in ("data", *MOVABLE):
            raise ValueError(
                f"{key} must have one value in a search, because scores on different data do not compare; choose one, "
                "or use hydra/sweeper=grid"
            )


def distribution(override: Override) -> Any:
    """What Optuna draws the values of a key from.

    Raises:
        ValueError: a range is empty, or a logarithmic scale does not fit.
    """
    try:
        return _distribution(override)
    except ValueError as error:
        raise ValueError(
            f"{override.input_line} leaves nothing to draw from ({error}); give interval(low,high) or range(low,high), "
            "above 0 if it is tag(log,…)"
        ) from error


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    logarithmic = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        return FloatDistribution(float(value.start or 0), float(value.end or 0), log=logarithmic)
    numbers = list(value.range()) if isinstance(value, RangeSweep) else None
    if numbers == []:
        raise ValueError("the range is empty")
    whole = numbers is not None and all(isinstance(number, int) for number in numbers)
    if logarithmic and not (whole and abs(value.step) == 1):
        raise ValueError("an interval and a range of whole numbers with step 1 alone have a logarithmic scale")
    if numbers is None:
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if whole:
        return IntDistribution(min(numbers), max(numbers), log=logarithmic, step=abs(int(value.step)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)), step=abs(float(value.step or 1.0)))


def first_of(drawn: Any) -> Any:
    """A value that is drawn."""
    return drawn.choices[0] if hasattr(drawn, "choices") else drawn.low
