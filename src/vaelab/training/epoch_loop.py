"""Lightning's epoch, with a tight loop for the minibatches between two events.

Lightning's hooks, counters and transfers cost more than the arithmetic of a small VAE. So they run only on minibatches
that log, validate or save; the others are stepped in a tight loop. `global_step`, schedules, checkpoints, validation,
clipping, limits and weights are bit for bit those of Lightning's own loop. Time limits (`max_time`,
`train_time_interval`) are checked at each event, so at least every `log_every_n_steps` steps.
"""

from math import inf
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch.optim import Optimizer

from vaelab.signals import stopping
from vaelab.steps import Batch
from vaelab.training.last_checkpoint import LastCheckpoint
from vaelab.training.lightning_private import (
    AutomaticOptimization,
    DataFetcher,
    PrefetchDataFetcher,
    TrainingEpochLoop,
    count_step,
    end_restart,
    steps_between_checkpoints,
    steps_since_start,
)
from vaelab.training.processes import agree
from vaelab.training.tight_loop_check import allows_tight_loop


def install(loop: Any) -> None:
    """Turns Lightning's epoch loop into an `EpochLoop`, and keeps its state."""
    if type(loop) is TrainingEpochLoop and type(loop.automatic_optimization) is AutomaticOptimization:
        loop.__class__, loop.automatic_optimization.__class__ = EpochLoop, Optimization


class EpochLoop(TrainingEpochLoop):
    """Lightning's epoch loop for a `VAEModule`.

    If something needs every minibatch (a callback or an overridden hook, accumulated gradients, another precision, a
    profiler), Lightning runs each of them as usual.
    """

    def advance(self, data_fetcher: DataFetcher) -> None:
        """Takes the steps before the next event, and lets Lightning run the minibatch with the event."""
        savers = [callback for callback in self.trainer.callbacks if isinstance(callback, LastCheckpoint)]
        with stopping.patient():
            self._restore_position(savers)
            self._save_or_stop(savers, shared=self.trainer.world_size > 1)
            is_prefetched = isinstance(data_fetcher, PrefetchDataFetcher)
            if not self.restarting and is_prefetched and allows_tight_loop(self.trainer):
                module: Any = self.trainer.lightning_module
                batches = (self._to_device(next(data_fetcher)[0]) for _ in range(self._steps_to_event() - 1))
                for _ in module.take_steps(batches):
                    self._count()
                    self._save_or_stop(savers)
            super().advance(data_fetcher)

    def _restore_position(self, savers: list[LastCheckpoint]) -> None:
        """Restores a checkpoint's position, after which Lightning has nothing left to restart."""
        for saver in savers:
            if saver.restore_position(self.trainer, self.trainer.lightning_module):
                end_restart(self.trainer)

    def _save_or_stop(self, savers: list[LastCheckpoint], shared: bool = False) -> None:
        """Between two minibatches: writes checkpoints that are due, and ends the run if a signal asked for that."""
        asked, due = stopping.asked, [saver.is_due(self.trainer) for saver in savers]
        if shared:  # by several processes; a signal that comes after this is handled after the next minibatch
            asked, due = agree(asked, due, self.trainer.strategy.root_device)
        for saver, is_due in zip(savers, due, strict=True):
            if is_due:
                if (self.batch_idx + 1) % self.trainer.accumulate_grad_batches:
                    return  # a checkpoint does not hold accumulated gradients
                saver.write(self.trainer)
        if asked is not None:
            stopping.asked = asked
            stopping.stop()

    def _steps_to_event(self) -> int:
        """The number of minibatches up to and including the next one that logs, validates or saves."""
        trainer: Any = self.trainer
        in_epoch, in_run, log_every = self.batch_idx + 1, self.total_batch_idx + 1, trainer.log_every_n_steps
        events: list[tuple[int, float | None]] = [  # (how many are done, how many lie between two events)
            (in_epoch, trainer.num_training_batches),
            (in_epoch, log_every),
            (steps_since_start(self), log_every),
            (in_run if trainer.check_val_every_n_epoch is None else in_epoch, trainer.val_check_batch),
        ]
        for callback in trainer.callbacks:
            if isinstance(callback, ModelCheckpoint):
                events.append((self.global_step, steps_between_checkpoints(callback)))
            elif isinstance(callback, TQDMProgressBar) and callback.is_enabled:
                events.append((in_epoch, callback.refresh_rate))
        if self.max_steps > self.global_step:
            events.append((self.global_step, self.max_steps))
        return int(min(every - done % every for done, every in events if every and every != inf))

    def _to_device(self, batch: Batch) -> Batch:
        strategy = self.trainer.strategy
        on_device = all(tensor.device == strategy.root_device for tensor in batch)
        return batch if on_device else strategy.batch_to_device(batch)

    def _count(self) -> None:
        """Counts a minibatch as Lightning does, and steps the schedules that move with each step."""
        optimization: Any = self.automatic_optimization
        optimization.count()
        self.batch_progress.increment_by(1)
        if self.trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
            self.update_lr_schedulers("step", update_plateau_schedulers=True)
        count_step(self)


class Optimization(AutomaticOptimization):
    """Lightning's optimisation of a minibatch with an event, which is stepped like the others."""

    def run(self, optimizer: Optimizer, batch_idx: int, kwargs: Any) -> Any:
        """Takes one step. It returns no outputs, because no callback uses them."""
        if not allows_tight_loop(self.trainer):
            return super().run(optimizer, batch_idx, kwargs)
        module: Any = self.trainer.lightning_module
        next(module.take_steps([kwargs["batch"]]))
        module.write_point_if_due(batch_idx)
        self.count()
        return {}

    def count(self) -> None:
        """Counts one step."""
        for progress in (self.optim_progress.optimizer.step, self.optim_progress.optimizer.zero_grad):
            progress.increment_by(1)
