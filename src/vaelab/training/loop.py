"""Lightning's epoch, with a tight loop for the minibatches between two events.

Lightning's hooks, counters and transfers cost more than the arithmetic of a small VAE. So they run only on minibatches
that log, validate or save; the others are stepped without them. `global_step`, schedules, checkpoints, validation,
clipping, limits and weights are bit for bit those of Lightning's own loop. What goes by the clock (`max_time`,
`train_time_interval`) is checked at each event, so at least every `log_every_n_steps` steps.
"""

from math import inf
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, Timer, TQDMProgressBar
from lightning.pytorch.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from vaelab.signals import stopping
from vaelab.training.checkpoints import LastCheckpoint
from vaelab.training.parallel import agree

TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
STEPS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    "on_before_optimizer_step",
)
OVERRIDES = ("optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping", "backward")
PATIENT = (
    LastCheckpoint,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
    TQDMProgressBar,
)  # they ask for no minibatch between events


def install(loop: Any) -> None:
    """Makes Lightning's epoch loop an `EpochLoop`; it keeps what it holds."""
    if type(loop) is _TrainingEpochLoop and type(loop.automatic_optimization) is _AutomaticOptimization:
        loop.__class__, loop.automatic_optimization.__class__ = EpochLoop, Optimization


class EpochLoop(_TrainingEpochLoop):
    """`_TrainingEpochLoop` for a `VAEModule`.

    Where someone asks for every minibatch (a callback or an overridden hook, accumulated gradients, another precision,
    a profiler), each goes the ordinary way.
    """

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Steps up to the next event, and lets Lightning run the minibatch at which it happens."""
        savers = [callback for callback in self.trainer.callbacks if isinstance(callback, LastCheckpoint)]
        with stopping.patient():
            self._go_on(savers)
            self._save_if_due(savers, shared=self.trainer.world_size > 1)
            if (
                not self.restarting
                and isinstance(data_fetcher, _PrefetchDataFetcher)
                and _is_tight_loop_enough(self.trainer)
            ):
                module: Any = self.trainer.lightning_module
                batches = (self._to_device(next(data_fetcher)[0]) for _ in range(self._steps_to_event() - 1))
                for _ in module.step_quietly(batches):
                    self._count()
                    self._save_if_due(savers)
            super().advance(data_fetcher)

    def _go_on(self, savers: list[LastCheckpoint]) -> None:
        """Takes up the position of a checkpoint, after which nothing is left for Lightning to restart."""
        trainer: Any = self.trainer
        for saver in savers:
            if saver.go_on(trainer, trainer.lightning_module):
                trainer.fit_loop._restarting = self._restarting = self.val_loop.restarting = False

    def _save_if_due(self, savers: list[LastCheckpoint], shared: bool = False) -> None:
        """Between two minibatches: a checkpoint where one is due, and the end where a signal asks for it."""
        asked, due = stopping.asked, [saver.is_due(self.trainer) for saver in savers]
        if shared:  # of a run on several processes; a signal that comes meanwhile is for the next time
            asked, due = agree(asked, due, self.trainer.strategy.root_device)
        for saver, is_due in zip(savers, due, strict=True):
            if is_due:
                if (self.batch_idx + 1) % self.trainer.accumulate_grad_batches:
                    return  # gradients are held that no checkpoint knows of
                saver.write(self.trainer)
        if asked is not None:
            stopping.asked = asked
            stopping.stop()

    def _steps_to_event(self) -> int:
        """How many minibatches until the next one at which something happens, that one included."""
        trainer: Any = self.trainer
        in_epoch, in_run, log_every = self.batch_idx + 1, self.total_batch_idx + 1, trainer.log_every_n_steps
        events: list[tuple[int, float | None]] = [  # so many are done, and at every so many something happens
            (in_epoch, trainer.num_training_batches),
            (in_epoch, log_every),
            (self._batches_that_stepped, log_every),
            (in_run if trainer.check_val_every_n_epoch is None else in_epoch, trainer.val_check_batch),
        ]
        for callback in trainer.callbacks:
            if isinstance(callback, ModelCheckpoint):
                events.append((self.global_step, callback._every_n_train_steps))
            elif isinstance(callback, TQDMProgressBar) and callback.is_enabled:
                events.append((in_epoch, callback.refresh_rate))
        if self.max_steps > self.global_step:
            events.append((self.global_step, self.max_steps))
        return int(min(every - done % every for done, every in events if every and every != inf))

    def _to_device(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        strategy = self.trainer.strategy
        return batch if batch[0].device == strategy.root_device else strategy.batch_to_device(batch)

    def _count(self) -> None:
        """What Lightning counts in a minibatch, and the schedules that it steps after one."""
        optimization: Any = self.automatic_optimization
        optimization.count()
        self.batch_progress.increment_by(1)
        if self.trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
            self.update_lr_schedulers("step", update_plateau_schedulers=True)
        self._batches_that_stepped += 1


class Optimization(_AutomaticOptimization):
    """`_AutomaticOptimization` for the minibatches at which something happens, stepped as the others are."""

    def run(self, optimizer: Optimizer, batch_idx: int, kwargs: Any) -> Any:
        """One step; -> nothing, which is for callbacks that are not there."""
        if not _is_tight_loop_enough(self.trainer):
            return super().run(optimizer, batch_idx, kwargs)
        module: Any = self.trainer.lightning_module
        next(module.step_quietly([kwargs["batch"]]))
        module.write_point_if_due(batch_idx)
        self.count()
        return {}

    def count(self) -> None:
        """Counts one step."""
        for progress in (self.optim_progress.optimizer.step, self.optim_progress.optimizer.zero_grad):
            progress.increment_by(1)


def _is_tight_loop_enough(trainer: Any) -> bool:
    """True if no callback or option needs Lightning's loop for each minibatch."""
    return (
        getattr(trainer.lightning_module, "takes_plain_steps", False)
        and trainer.num_training_batches != inf
        and trainer.accumulate_grad_batches == 1
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) is Precision
        and isinstance(trainer.profiler, PassThroughProfiler)
        and not trainer._detect_anomaly
        and not isinstance(trainer.optimizers[0], LBFGS)  # it asks for more than one gradient in a step
        and not _overridden(trainer.lightning_module, STEPS + OVERRIDES + TRANSFERS, LightningModule)
        and not _overridden(trainer.datamodule, TRANSFERS, LightningDataModule)
        and not any(_overridden(callback, STEPS, Callback, *PATIENT) for callback in trainer.callbacks)
    )


def _overridden(thing: object, hooks: tuple[str, ...], *known: type) -> bool:
    """Whether a hook of a thing is none of the known classes'."""
    if thing is None:
        return False
    return any(
        getattr(getattr(thing, hook), "__func__", None) not in [getattr(base, hook) for base in known] for hook in hooks
    )
