"""Decides if minibatches between two events may be stepped without Lightning's hooks."""

from math import inf
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, Timer, TQDMProgressBar
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import LBFGS

from vaelab.training.last_checkpoint import LastCheckpoint
from vaelab.training.lightning_private import detects_anomalies
from vaelab.training.progress_bar import Progress

TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
STEP_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
STEP_METHODS = ("optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "backward")
KNOWN_CALLBACKS = (  # their hooks do something only at an event
    LastCheckpoint,
    LearningRateMonitor,
    ModelCheckpoint,
    Progress,
    Timer,
    TQDMProgressBar,
)


def allows_tight_loop(trainer: Any) -> bool:
    """True if no callback or option needs Lightning's hooks for each minibatch."""
    module = trainer.lightning_module
    return (
        getattr(module, "takes_plain_steps", False)
        and trainer.num_training_batches != inf
        and trainer.accumulate_grad_batches == 1
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) is Precision
        and isinstance(trainer.profiler, PassThroughProfiler)
        and not detects_anomalies(trainer)
        and not isinstance(trainer.optimizers[0], LBFGS)  # it computes several gradients in a step
        and not _overrides(module, STEP_HOOKS + STEP_METHODS + TRANSFER_HOOKS, LightningModule)
        and not _overrides(trainer.datamodule, TRANSFER_HOOKS, LightningDataModule)
        and not any(_overrides(callback, STEP_HOOKS, Callback, *KNOWN_CALLBACKS) for callback in trainer.callbacks)
    )


def _overrides(thing: object, methods: tuple[str, ...], *known: type) -> bool:
    """True if one of the methods does not come from a known class."""
    if thing is None:
        return False
    return any(
        getattr(getattr(thing, method), "__func__", None) not in [getattr(base, method) for base in known]
        for method in methods
    )
