"""The default schedule of the learning rate."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaelab.checks import check_number

Fraction = Callable[[], float | None]  # the fraction of the run that is done; None if the run has no known length


class CosineDecay(LRScheduler):
    """Half a cosine over the run, from the optimiser's rate down to `eta_min` (Loshchilov & Hutter 2017, eq. 5).

        lr = eta_min + (lr₀ − eta_min) · (1 + cos πr) / 2

    r is the fraction of the run that is done (arxiv.org/abs/1608.03983, without restarts). A `VAEModule` tells the
    schedule which fraction that is, before each step. The rate stays at lr₀ if nobody does, or if the run has no known
    length.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.4)
    >>> schedule = CosineDecay(optimizer)
    >>> schedule.follow(lambda: 0.5)
    >>> optimizer.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.2]

    Args:
        optimizer: the optimiser.
        eta_min: the rate at the end of the run.

    Raises:
        ValueError: `eta_min` is negative, or above the optimiser's rate.
    """

    def __init__(self, optimizer: Optimizer, eta_min: float = 0.0) -> None:
        self.eta_min = check_number("scheduler.eta_min", eta_min, 0)
        self.fraction: Fraction = lambda: None
        super().__init__(optimizer)
        if self.eta_min > (least := min(self.base_lrs)):
            raise ValueError(
                f"scheduler.eta_min must be at most the optimiser's rate, {least:g}, because the rate falls to it, but "
                f"is {self.eta_min:g}; use a smaller one, or a larger optimizer.lr"
            )

    def follow(self, fraction: Fraction) -> None:
        """Sets the function that tells the fraction of the run that is done."""
        self.fraction = fraction

    def get_lr(self) -> list[Any]:
        """The rates of the parameter groups at the current fraction of the run."""
        done = self.fraction()
        share = 1.0 if done is None else (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: value for name, value in super().state_dict().items() if name != "fraction"}
