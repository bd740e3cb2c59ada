"""The ELBO of a run so far, for a picture of it at any time, whatever the loggers are."""

from collections.abc import Mapping

import torch
from torch import Tensor

MOST = 500  # points that are kept of a curve; a longer one keeps every second, fourth, … point
Points = tuple[list[float], list[float]]  # epochs, and nats per example


class ElboHistory:
    """Points of the curves `train/elbo` and `val/elbo`.

    Attributes:
        train: epochs and values, each (n,). A point within an epoch has a fraction.
        val: the same on the validation split.
    """

    def __init__(self) -> None:
        self.train: Points = ([], [])
        self.val: Points = ([], [])

    def add(self, split: str, epoch: float, elbo: float) -> None:
        """Adds a point to the curve of `train` or `val`."""
        epochs, values = self.train if split == "train" else self.val
        epochs.append(epoch)
        values.append(elbo)
        if len(epochs) > 2 * MOST:
            del epochs[:-1:2], values[:-1:2]  # the last point stays

    def state_dict(self) -> dict[str, Tensor]:
        """Each curve as (2, n), float64."""
        return {name: torch.tensor(points, dtype=torch.float64) for name, points in vars(self).items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores the curves of an earlier part of the run."""
        for name in ("train", "val"):
            epochs, values = state[name].reshape(2, -1).tolist()
            setattr(self, name, (epochs, values))
