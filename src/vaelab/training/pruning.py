"""Stops a run of a search early if its score is poor."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

PRUNED = "pruned"  # a trial's attribute: the epoch after which it was stopped


class PruneTrial(Callback):
    """Reports the score after each validation, and stops the run if the pruner decides so.

    Args:
        storage: where the Optuna study is, such as `sqlite:///sweep/study.db`.
        trial: the number of the run's trial.
        metric: the score to report, a key of `trainer.callback_metrics`. For `val/nll`, it is the upper bound −ELBO.
        pruner: an `optuna.pruners.BasePruner`.
    """

    def __init__(self, storage: str, trial: int, metric: str, pruner: Any) -> None:
        self.storage, self.trial, self.metric, self.pruner = storage, trial, metric, pruner
        self.optuna_trial: Any = None
        self.reported: set[int] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Loads the trial."""
        if not trainer.is_global_zero:
            return
        import optuna

        study = optuna.load_study(study_name="sweep", storage=self.storage, pruner=self.pruner)
        trial = study.trials[self.trial]
        self.optuna_trial, self.reported = optuna.Trial(study, trial._trial_id), set(trial.intermediate_values)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports the score, and stops the run if the trial is pruned."""
        if trainer.sanity_checking or self._score(trainer) is None:
            return
        if trainer.strategy.broadcast(trainer.is_global_zero and self._is_pruned(trainer)):
            trainer.should_stop = True

    def _is_pruned(self, trainer: Trainer) -> bool:
        epoch = trainer.current_epoch
        if epoch not in self.reported:  # by this run, before it was interrupted
            self.optuna_trial.report(self._score(trainer), epoch)
        if pruned := bool(self.optuna_trial.should_prune()):
            self.optuna_trial.set_user_attr(PRUNED, epoch)
        return pruned

    def _score(self, trainer: Trainer) -> float | None:
        tag, sign = ("val/elbo", -1.0) if self.metric == "val/nll" else (self.metric, 1.0)
        score = trainer.callback_metrics.get(tag)
        return None if score is None else sign * score.item()
