"""Bayesian search over the same keys as a grid: hydra/sweeper=optuna."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.vaelab_sweeps.sweep import Sweep


class OptunaSweeper(Sweeper):
    """Asks Optuna for the next cells, and tells it how they end; its study lies in the sweep's folder.

    A study that was cut off goes on: what is done counts, what was running goes on in its own folder.

    Args:
        n_trials: cells in all.
        n_jobs: cells handed to the launcher at once.
        metric: a key of a run's metrics.json, or `val/nll`, for which each run is evaluated.
        direction: `maximize` or `minimize`.
        samples: importance samples per example of `val/nll`.
        sampler: an `optuna.samplers.BaseSampler`.
        pruner: an `optuna.pruners.BasePruner`, asked after each validation of a run; None lets every run end.
        params: key -> values (`2,5,10`, `choice(…)`), `range(2,20)` or `interval(1e-4,1e-2)`, `tag(log,…)` for a
            logarithmic scale; the command line wins.
    """

    def __init__(
        self,
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

        self.n_trials = check_whole("hydra.sweeper.n_trials", n_trials, 1)
        self.n_jobs = check_whole("hydra.sweeper.n_jobs", n_jobs, 1)
        self.samples = check_whole("hydra.sweeper.samples", samples, 1)
        self.direction: Any = check_choice("hydra.sweeper.direction", direction, ("maximize", "minimize"))
        self.metric, self.sampler, self.params = metric, sampler, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra gives every sweeper."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
        self.pruner = sweeper["pruner"]  # its config: it is made anew in each run
        self.all = Sweep(config, hydra_context, launcher)

    def sweep(self, arguments: list[str]) -> None:
        """Runs `n_trials` cells, or what is left of them."""
        import optuna

        from vaelab.sweeps.search import write_results

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        given = self.parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        last = {override.get_key_element(): override for override in given}
        constants = [f"{key}={o.get_value_element_as_str()}" for key, o in last.items() if not o.is_sweep_override()]
        space = {key: distribution(override) for key, override in last.items() if override.is_sweep_override()}
        if not space:
            raise ValueError(
                "nothing is searched over, because every key has one value; give some several, as in "
                "'latent_dim=range(2,20)' 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        with self.all.running():
            study = optuna.create_study(
                storage=f"sqlite:///{self.all.folder / 'study.db'}",
                study_name="sweep",
                direction=self.direction,
                sampler=self.sampler,
                load_if_exists=True,
            )
            while not self.all.stopped:
                running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
                trials = [(trial.number, trial.params) for trial in running]
                left = self.n_trials - len(study.trials)
                for _ in range(min(self.n_jobs - len(trials), left)):
                    asked = study.ask(space)
                    trials.append((asked.number, asked.params))
                if not trials:
                    break
                self._run(study, trials, constants, list(space))
            write_results(study, self.all.folder, self.metric)

    def _run(self, study: Any, trials: list[tuple[int, dict[str, Any]]], constants: list[str], keys: list[str]) -> None:
        """Runs some trials, and tells the study what became of them."""
        from optuna.trial import TrialState

        from vaelab import cli
        from vaelab.sweeps.search import evaluate, is_pruned, mark_pruned, readable

        batch = [[*constants, *(f"{key}={readable(params[key])}" for key in keys)] for _, params in trials]
        cells = self.all.cells(batch, keys)
        asked = [[*overrides, *self._pruning(number)] for overrides, (number, _) in zip(batch, trials, strict=True)]
        self.all.launch(cells, asked)
        for (number, _), cell in zip(trials, cells, strict=True):
            if not cell.done:
                if not self.all.stopped:  # otherwise it goes on with the sweep
                    study.tell(number, state=TrialState.FAIL)
            elif is_pruned(study, number):
                mark_pruned(study, number, cell)
                study.tell(number, state=TrialState.PRUNED)
            else:
                study.tell(number, evaluate(cell, self.metric, self.samples, cli.__file__))

    def _pruning(self, trial: int) -> list[str]:
        """The overrides of a callback that asks the pruner."""
        if self.pruner is None:
            return []
        options = {
            "_target_": "vaelab.training.PruneTrial",
            "storage": f"'sqlite:///{self.all.folder / 'study.db'}'",
            "trial": trial,
            "metric": self.metric if self.metric != "val/nll" else "val/elbo",
            **{f"pruner.{key}": value for key, value in self.pruner.items()},
        }
        return [f"+callbacks.prune.{key}={value}" for key, value in options.items()]


def distribution(override: Override) -> Any:
    """What Optuna draws the values of a key from.

    Raises:
        ValueError: a range or an interval is empty.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        return FloatDistribution(float(value.start or 0), float(value.end or 0), log="log" in value.tags)
    if isinstance(value, RangeSweep):
        numbers = list(value.range())
        log = "log" in value.tags
        if not numbers:
            raise ValueError(f"{override.input_line} is empty, so there is nothing to draw from; widen the range")
        if all(isinstance(number, int) for number in numbers):
            return IntDistribution(min(numbers), max(numbers), log=log, step=1 if log else abs(int(value.step)))
        return FloatDistribution(float(min(numbers)), float(max(numbers)), step=abs(float(value.step or 1.0)))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
