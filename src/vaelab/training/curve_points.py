"""Writes points of the curves `train/*` and `val/*`."""

import math
from typing import Any

import torch

from vaelab.training.loggers import write_points
from vaelab.training.non_finite import loss_not_finite


def write_point(module: Any, split: str, step: int) -> None:
    """Writes the means over a split's examples since its last point, for loggers and callbacks.

    `self.log` would cost a small model more than the rest of a step, and would drop the end of a short epoch.

    Args:
        module: a `VAEModule` with a trainer.
        split: `train` or `val`.
        step: the step of the point.

    Raises:
        Diverged: a mean is not finite.
    """
    trainer, means = module.trainer, module.means[split]
    if split == "train" and trainer.world_size > 1:
        means.gather(module.device)
    taken = means.take()
    values = {f"{split}/{name}": mean.item() for name, mean in taken.items()}
    if not all(map(math.isfinite, values.values())):
        raise loss_not_finite(
            module.vae, module.global_step, list(taken), torch.stack(list(taken.values())), exact=False
        )
    if (elbo := values.get(f"{split}/elbo")) is not None:
        module.elbos.add(split, _epoch(trainer, step), elbo)
    if split == "train" and module.beta is not None:
        values["train/weight_of_kl"] = module.beta
    write_points(module.loggers, values, step)
    trainer.callback_metrics.update({f"{split}/{name}": mean for name, mean in taken.items()})


def _epoch(trainer: Any, step: int) -> float:
    """How many epochs are over after a step, counted from 0, with a fraction within an epoch."""
    steps = trainer.num_training_batches / trainer.accumulate_grad_batches
    return (step + 1) / steps if math.isfinite(steps) else trainer.current_epoch + 1.0
