"""Lightning glue: a VAE and an objective as a LightningModule."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaelab.objectives import Terms
from vaelab.vae import VAE

Objective = Callable[[VAE, Tensor, Tensor], Terms]


class VAEModule(LightningModule):
    """Trains a VAE on (x, target) batches, and logs the objective's terms as means over examples, in nats.

    `train/*` is the mean over the examples since the last point: one point every `log_every_n_steps` steps, and
    one at the end of each epoch. `val/*` and `test/*` are means over their whole split, with the same draws of z each
    time: between epochs, and between runs of equal `latent_dim`, samples and batch size, only the models differ.

    Args:
        vae: what is trained.
        objective: (vae, x, target) -> per-example terms, such as `ELBO()`.
        optimizer: parameters -> optimiser, such as `partial(torch.optim.Adam, lr=1e-3)`.
        scheduler: optimiser -> learning-rate schedule, stepped once an epoch; None keeps the rate.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.objective = objective
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.names: tuple[str, ...] = ()  # of the objective's terms
        self.sums: Tensor | float = 0.0  # of each term, over the examples since the last point
        self.count = 0

    def configure_optimizers(self) -> Any:
        """The optimiser, and the schedule where there is one."""
        optimizer = self.optimizer(self.vae.parameters())
        return optimizer if self.scheduler is None else ([optimizer], [self.scheduler(optimizer)])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss, averaged over the batch."""
        terms = self.objective(self.vae, *batch)
        self.names = terms._fields
        self.sums = self.sums + torch.stack(terms).detach().sum(-1)
        self.count += len(batch[0])
        log_every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it late
        if self.trainer.is_last_batch or (batch_idx + 1) % (log_every * self.trainer.accumulate_grad_batches) == 0:
            self.log_dict(self._write_point(), logger=False)  # for callbacks and the progress bar
        return terms.loss.mean()

    def _write_point(self) -> dict[str, float]:
        """Ends a point of the training curves; -> its means.

        The loggers get it directly: self.log is the largest cost of a small model, and drops the end of a short epoch.
        """
        means = torch.as_tensor(self.sums / self.count).tolist()
        self.sums, self.count = 0.0, 0
        metrics = {f"train/{name}": mean for name, mean in zip(self.names, means, strict=True)}
        for logger in self.loggers:
            logger.log_metrics(metrics, self.global_step)
        return metrics

    def on_train_end(self) -> None:
        """Writes what is left where training ends within an epoch (`max_steps`)."""
        if self.count:
            self._write_point()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Writes the last `val/*` beside the weights, under `metrics`; in best.ckpt they are those of its weights."""
        metrics = self.trainer.callback_metrics
        checkpoint["metrics"] = {tag: value.item() for tag, value in metrics.items() if tag.startswith("val/")}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Logs `val/*`."""
        self._evaluate("val", batch, batch_idx)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Logs `test/*`."""
        self._evaluate("test", batch, batch_idx)

    def _evaluate(self, split: str, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        with seeded(batch_idx, self.device):
            terms = self.objective(self.vae, *batch)
        means = {f"{split}/{name}": term.mean() for name, term in terms._asdict().items()}
        self.log_dict(means, batch_size=len(batch[0]))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's generators inside, and puts them back as they were: what follows draws as if nothing had been."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
