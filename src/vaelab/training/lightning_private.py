"""Names of Lightning that are not public: what vaelab uses, and why.

Lightning may rename or remove them in any release. The tests pass with Lightning 2.5.0 (tests/lowest.txt) and 2.6.6
(constraints.txt), pyproject.toml allows no newer minor version, and the workflow `newest` tries the newest release
every week. No other file uses such a name (tests/test_private_names.py).
"""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.fetchers import _DataFetcher as DataFetcher  # gives minibatches to an epoch loop
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher as PrefetchDataFetcher  # reads ahead
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization as AutomaticOptimization
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop as TrainingEpochLoop

__all__ = ["AutomaticOptimization", "DataFetcher", "PrefetchDataFetcher", "TrainingEpochLoop"]
# AutomaticOptimization, TrainingEpochLoop: the bases of our epoch loop, because Lightning has no public loop since 2.0.


def detects_anomalies(trainer: Any) -> bool:
    """The trainer's flag `detect_anomaly`, which has no public attribute."""
    return bool(trainer._detect_anomaly)


def steps_between_checkpoints(callback: ModelCheckpoint) -> int:
    """A callback's `every_n_train_steps`, which has no public attribute."""
    return callback._every_n_train_steps


def steps_since_start(loop: TrainingEpochLoop) -> int:
    """The number of minibatches that took a step, which decides when Lightning logs. It has no public attribute."""
    return loop._batches_that_stepped


def count_step(loop: TrainingEpochLoop) -> None:
    """Adds 1 to `steps_since_start`."""
    loop._batches_that_stepped += 1


def end_restart(trainer: Trainer) -> None:
    """Tells Lightning's loops that the position is restored. The public setter would also change other loops."""
    fit_loop = trainer.fit_loop
    fit_loop._restarting = fit_loop.epoch_loop._restarting = fit_loop.epoch_loop.val_loop.restarting = False


def starts_by_command(strategy: Any) -> bool:
    """True if a DDP strategy starts processes by repeating the command. This has no public attribute."""
    return getattr(strategy, "_start_method", None) == "popen"
