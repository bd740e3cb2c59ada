"""What is said where a number is no longer finite."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CAUSES = {  # the usual ones, by the term that went first
    "log_likelihood": "p(t|z) overflowed, or its σ vanished",
    "kl": "q(z|x) overflowed, or its σ vanished",
}


class Diverged(ValueError):
    """A loss, a gradient or a weight is not finite.

    Attributes:
        batch: the batch that caused it; None if that is not known.
    """

    def __init__(self, sentence: str, batch: tuple[Tensor, ...] | None = None) -> None:
        super().__init__(sentence)
        self.batch = batch


def diverged(
    vae: nn.Module,
    step: int,
    names: Sequence[str],
    sums: Tensor,
    batch: tuple[Tensor, ...] | None = None,
    exact: bool = True,
) -> Diverged:
    """The error for a loss that is not finite.

    Args:
        vae: as it is at that loss.
        step: optimiser steps taken before it.
        names: of the terms.
        sums: of each term over the batch, (terms,), nats.
        batch: what it is the loss of.
        exact: whether all steps before were looked at: if not, it is one of several that is not finite.
    """
    if bad := not_finite(vae):
        what = f"the gradient of step {step}" if exact else f"a loss or a gradient up to step {step + 1}"
        though = ", though its loss was" if exact else ""
        return Diverged(f"{what} was not finite, so that {bad} is not{though}; {cure()}", batch)
    values = dict(zip(names, sums.tolist(), strict=True))
    first = next(name for name in (*CAUSES, *names) if name in values and not torch.tensor(values[name]).isfinite())
    cause = CAUSES.get(first, "a term of the objective overflowed")
    which = f"the loss of step {step + 1}" if exact else f"a loss up to step {step + 1}"
    return Diverged(f"{which} is not finite, because {first} is {values[first]} ({cause}); {cure()}", batch)


def not_finite(vae: nn.Module) -> str:
    """Name of the first parameter that holds a number that is not finite; empty where none does."""
    return next((name for name, parameter in vae.named_parameters() if not parameter.isfinite().all()), "")


def cure() -> str:
    """What usually helps."""
    return (
        "try a lower optimizer.lr or trainer.gradient_clip_val=1, or let trainer.detect_anomaly=true name the operation"
    )
