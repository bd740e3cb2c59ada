"""Lightning glue: a VAE and an objective as a LightningModule."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaelab.baseline import Baseline
from vaelab.checks import SPLITS, check_flag
from vaelab.evaluation.data_checks import check_data
from vaelab.precision import add_up_examples
from vaelab.signals import stopping
from vaelab.steps import Batch, Gradient, Objective, Stepper
from vaelab.training.batch_share import BatchShare
from vaelab.training.curve_points import write_point
from vaelab.training.elbo_history import ElboHistory
from vaelab.training.epoch_loop import install
from vaelab.training.half_precision import keep_precision
from vaelab.training.landmarks import Landmarks
from vaelab.training.lightning_private import detects_anomalies
from vaelab.training.non_finite import CURE, Diverged, loss_not_finite, parameter_not_finite
from vaelab.training.optimal_std import OptimalStd
from vaelab.training.optimizer_and_schedule import optimizer_and_schedule
from vaelab.training.running_means import RunningMeans
from vaelab.training.schedule_length import RunFraction, current_beta, start_schedules
from vaelab.training.scoring import score_batch
from vaelab.training.trainable import check_trainable
from vaelab.vae import VAE

log = logging.getLogger(__name__)


class VAEModule(LightningModule):
    """Trains a VAE on batches (x, target) or (x, target, condition), and logs each term's mean over examples, in nats.

    `train/*` is the mean over the examples since the last point. There is a point every `log_every_n_steps` steps, and
    at the end of each epoch. `val/*` and `test/*` are means over their whole split, with the same draws of z each time.
    Between epochs, and between runs with equal `latent_dim`, samples and batch size, only the models therefore differ.
    Scores are computed in float32 or better, for any precision of training. Sums over examples are kept in float64.

    Args:
        vae: the model.
        objective: (vae, x, target), and a condition for a conditional model -> per-example terms, such as `ELBO()`.
        optimizer: parameters -> optimiser, such as `partial(torch.optim.Adam, lr=1e-3)`.
        scheduler: optimiser -> learning-rate schedule; None keeps the rate. A schedule with a method `follow`, such as
            `CosineDecay`, is stepped with the optimiser, and gets a function that tells the fraction of the run that is
            done. Others are stepped once an epoch.
        compile: on a CPU, compile the gradient of full batches to machine code, from the first step on; on a GPU, run
            the whole step as a CUDA graph. The results equal those of ordinary steps up to rounding. It has no effect
            if a part of the model or the objective does not declare `pure = True` (`vaelab.steps.purity`).
        baseline: the likelihood without a latent, fitted to the training data; None logs no baseline.

    Attributes:
        landmarks: for `val` and `test`, the numbers to compare a score with, after the split's first pass.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        compile: bool = False,
        baseline: Baseline | None = None,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.objective = objective
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.compile_steps = check_flag("compile", compile)
        self.baseline = baseline
        self.landmarks = {split: Landmarks() for split in ("val", "test")}
        self.means = {split: RunningMeans() for split in SPLITS}
        self.elbos = ElboHistory()
        self.stepper: Stepper | None = None  # made when training starts
        self.checked = False  # True once the first training batch is checked
        self.beta: float | None = None  # the weight of the KL in the last step, if the objective is scheduled
        self.optimal_std = OptimalStd()
        self.fraction_done: RunFraction | None = None  # of the run; made when training starts

    def setup(self, stage: str) -> None:
        """Checks the parts, installs the tight loop, and keeps the trainer from rounding float64 data and weights."""
        if stage == "fit":
            check_trainable(self.vae, self.objective, self.trainer.world_size)
            install(self.trainer.fit_loop.epoch_loop)
        keep_precision(self.trainer)

    def configure_optimizers(self) -> Any:
        """The optimiser, and the schedule if there is one; see `optimizer_and_schedule`."""
        return optimizer_and_schedule(self.vae, self.optimizer, self.scheduler)

    def on_train_start(self) -> None:
        """Takes the signals back from Lightning, and starts the schedules that follow the run."""
        stopping.listen()  # Lightning would end the run without a checkpoint
        self.fraction_done = start_schedules(self.trainer, self.objective)

    # Steps

    @property
    def takes_plain_steps(self) -> bool:
        """True if each step is the one defined here, and Lightning takes it; False for a subclass with its own."""
        own = getattr(self.training_step, "__func__", None)  # a compiled one has none
        return own is VAEModule.training_step and self.automatic_optimization

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss, averaged over the batch. If several processes share the batch, it is this process's part of it."""
        self._check_first(batch)
        share = BatchShare.of(self.trainer, batch_idx, len(batch[0]))
        with share or nullcontext():
            terms = self.objective(self.vae, *batch, **self._scheduled())
        if share:
            terms = share.without_stand_in(terms)
        loss = share.mean(terms.loss) if share else terms.loss.mean()
        sums = add_up_examples(torch.stack(terms).detach())
        # Processes that share a batch must end together, at the next point; `detect_anomaly` names the operation.
        if not share and not detects_anomalies(self.trainer):
            self._check_finite(terms._fields, loss.detach(), sums, batch)
        self.means["train"].add(terms._fields, sums, len(terms.loss))
        self.write_point_if_due(batch_idx)
        return loss

    def _scheduled(self) -> dict[str, Tensor]:
        """β at the current step as a keyword of the objective; empty if it is not scheduled."""
        self.beta = current_beta(self.objective, self.fraction_done)
        return {} if self.beta is None else {"beta": torch.full((), self.beta, device=self.device)}

    def take_steps(self, batches: Iterable[Batch]) -> Iterator[None]:
        """Takes one optimiser step per batch, as Lightning would with `training_step`, and yields after each."""
        stepper = self._stepper()
        (optimizer,) = self.trainer.optimizers
        full = getattr(self.trainer.train_dataloader, "full", None)
        clipping = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        for batch in batches:
            self._check_first(batch)
            is_full = full is None or len(batch[0]) == full
            inputs = (*batch, *self._scheduled().values())
            for each in stepper.take(optimizer, inputs, self._check_and_clip, is_full, clipping):
                self.means["train"].add(each.names, each.sums, len(batch[0]))
            yield

    def _stepper(self) -> Stepper:
        """The stepper, after a check for changes: a callback may replace parts of the model, or the objective."""
        stepper = self.stepper or Stepper(self.vae, self.objective, self.compile_steps)
        stepper.vae, stepper.objective = self.vae, self.objective
        stepper.look()
        if self.stepper is None and stepper.why_eager:
            log.info("every step runs in Python, because %s (docs/extending.md)", stepper.why_eager)
        self.stepper = stepper
        return stepper

    def _check_first(self, batch: Batch) -> None:
        """Raises a ValueError if the first training batch holds data that the likelihood cannot score."""
        if not self.checked:
            check_data(self.vae, *batch[:2])
            self.checked = True

    def _check_and_clip(self, found: Gradient, batch: Batch) -> None:
        self._check_finite(found.names, found.loss, found.sums, batch)
        if self.trainer.gradient_clip_val:
            self.clip_gradients(self.trainer.optimizers[0], None, self.trainer.gradient_clip_algorithm)

    def _check_finite(self, names: Sequence[str], loss: Tensor, sums: Tensor, batch: Batch) -> None:
        if loss.device.type == "cpu" and not math.isfinite(loss.item()):  # on a GPU, `item` would wait for the step
            raise loss_not_finite(self.vae, self.global_step, names, sums, batch)

    # Curves and checkpoints

    def write_point_if_due(self, batch_idx: int) -> None:
        """Writes `train/*` after the last minibatch of an epoch and every `log_every_n_steps` steps."""
        trainer: Any = self.trainer
        every = trainer.log_every_n_steps * trainer.accumulate_grad_batches
        if trainer.is_last_batch or (batch_idx + 1) % every == 0:
            write_point(self, "train", self.global_step)

    def on_train_epoch_end(self) -> None:
        """Writes the last point if training ends within an epoch (`max_steps`)."""
        self.optimal_std.set(self)
        if self.means["train"].count:
            write_point(self, "train", self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the last `val/*` as `metrics`. In best.ckpt they belong to its weights.

        Raises:
            Diverged: a weight is not finite.
        """
        if bad := parameter_not_finite(self.vae):
            raise Diverged(f"{bad} is not finite after step {self.global_step}, so it is not saved; {CURE}")
        metrics = self.trainer.callback_metrics
        checkpoint["metrics"] = {tag: value.item() for tag, value in metrics.items() if tag.startswith("val/")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drops the baseline if the checkpoint is of an older version, which had none."""
        if not any(name.startswith("baseline.") for name in checkpoint["state_dict"]):
            self.baseline = None

    # Scores

    def on_validation_start(self) -> None:
        """Sets the σ of a likelihood with `optimal=true`, for the scores that follow."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.optimal_std.set(self)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to `val/*`."""
        self._score("val", batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Writes `val/*`. `Trainer.validate` returns the logged numbers."""
        if self.trainer.sanity_checking:
            self.means["val"].take()
        elif self.trainer.state.fn != TrainerFn.FITTING:
            self._log("val")
        elif self.means["val"].count:
            write_point(self, "val", max(self.global_step - 1, 0))  # the step just taken, counted from 0
            found = self.landmarks["val"].end(getattr(self.trainer, "datamodule", None))
            self.trainer.callback_metrics.update({f"val/{name}": number for name, number in found.items()})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to `test/*`."""
        self._score("test", batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Logs `test/*`."""
        self._log("test")

    def _score(self, split: str, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            check_data(self.vae, *batch[:2])
            self.means[split] = RunningMeans()  # an error may have ended the last pass early
            self.landmarks[split].start()
        self.landmarks[split].add(self.baseline, batch[1])
        terms = score_batch(self.vae, self.objective, batch, batch_idx)
        self.means[split].add(terms._fields, add_up_examples(torch.stack(terms)), len(batch[0]))

    def _log(self, split: str) -> None:
        if self.means[split].count:
            found = self.means[split].take() | self.landmarks[split].end(getattr(self.trainer, "datamodule", None))
            means = {f"{split}/{name}": mean for name, mean in found.items()}
            self.log_dict(means, batch_size=1, sync_dist=self.trainer.world_size > 1)
