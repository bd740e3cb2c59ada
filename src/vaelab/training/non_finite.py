"""The error for a loss, a gradient or a weight that is not finite."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CAUSES = {  # the usual ones, by the term that overflowed first
    "log_likelihood": "p(t|z) overflowed, or its σ vanished",
    "kl": "q(z|x) overflowed, or its σ vanished",
}
CURE = "try a lower optimizer.lr or trainer.gradient_clip_val=1, or let trainer.detect_anomaly=true name the operation"


class Diverged(ValueError):
    """A loss, a gradient or a weight is not finite.

    Attributes:
        batch: the batch that caused it; None if it is unknown.
    """

    def __init__(self, sentence: str, batch: tuple[Tensor, ...] | None = None) -> None:
        super().__init__(sentence)
        self.batch = batch


def loss_not_finite(
    vae: nn.Module,
    step: int,
    names: Sequence[str],
    sums: Tensor,
    batch: tuple[Tensor, ...] | None = None,
    exact: bool = True,
) -> Diverged:
    """The error for a loss that is not finite.

    Args:
        vae: the model that computed the loss.
        step: the number of optimiser steps taken before.
        names: the names of the terms.
        sums: each term's sum over the batch, (terms,), nats.
        batch: the batch with this loss.
        exact: False if earlier steps were not checked. One of them may then have been the first.
    """
    if bad := parameter_not_finite(vae):
        what = f"the gradient of step {step}" if exact else f"a loss or a gradient up to step {step + 1}"
        though = ", though its loss was" if exact else ""
        return Diverged(f"{what} was not finite, and now {bad} is not{though}; {CURE}", batch)
    values = dict(zip(names, sums.tolist(), strict=True))
    first = next(name for name in (*CAUSES, *names) if name in values and not torch.tensor(values[name]).isfinite())
    cause = CAUSES.get(first, "a term of the objective overflowed")
    which = f"the loss of step {step + 1}" if exact else f"a loss up to step {step + 1}"
    return Diverged(f"{which} is not finite, because {first} is {values[first]} ({cause}); {CURE}", batch)


def parameter_not_finite(vae: nn.Module) -> str:
    """The name of the first parameter that holds a number that is not finite; empty if all are finite."""
    return next((name for name, parameter in vae.named_parameters() if not parameter.isfinite().all()), "")
