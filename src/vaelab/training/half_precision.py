"""Precision in Lightning: rounds only training data, and refuses an eps that would become 0."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import HalfPrecision
from torch import Tensor
from torch.optim import Optimizer


class RoundsTraining(HalfPrecision):
    """`HalfPrecision` (`bf16-true`, `16-true`) that rounds only training batches.

    Lightning rounds every batch before the module gets it, so even a score in float32 would use rounded data.
    """

    trainer: Trainer

    def convert_input(self, data: Any) -> Any:
        """A training batch in half precision, or any other batch unchanged."""
        return super().convert_input(data) if self.trainer.training else data

    def val_step_context(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Keeps torch's default dtype."""
        return nullcontext()

    def test_step_context(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Keeps torch's default dtype."""
        return nullcontext()


def keep_precision(trainer: Trainer) -> None:
    """Keeps a trainer from rounding what it must not round: scored batches in half precision, and weights in float64.

    Lightning loads a checkpoint before it converts the model to float64, so its weights would pass through float32.
    """
    if trainer.precision == "64-true":
        trainer.lightning_module.double()
    plugin: Any = trainer.precision_plugin
    if type(plugin) in (HalfPrecision, RoundsTraining):
        plugin.__class__ = RoundsTraining
        plugin.trainer = trainer


def check_eps(optimizer: Optimizer, parameters: Iterable[Tensor]) -> None:
    """Checks that an optimiser's eps is more than 0 in the precision of the weights.

    Raises:
        ValueError: eps is 0 in float16, and the optimiser computes in float16.
    """
    eps, half = optimizer.defaults.get("eps"), torch.float16
    vanishes = eps and any(parameter.dtype == half for parameter in parameters) and torch.tensor(eps, dtype=half) == 0
    if vanishes and not optimizer.defaults.get("fused"):  # a fused one computes in float32
        raise ValueError(
            f"optimizer.eps must be at least 1e-7 for weights in float16, but is {eps:g}, which is 0 there, so the "
            "first step would divide by it; use optimizer.fused=true, optimizer.eps=1e-4 or trainer.precision=bf16-true"
        )
