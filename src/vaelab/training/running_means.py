"""Means over examples, kept in float64."""

from typing import Any

import torch
from torch import Tensor

from vaelab.precision import sum_device
from vaelab.training.processes import sum_over_processes


class RunningMeans:
    """Means over examples of an objective's terms, since `take` was last called."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | float = 0.0
        self.count = 0

    def add(self, names: tuple[str, ...], sums: Tensor, examples: int) -> None:
        """Adds a batch's sums (terms,), in nats and float64."""
        self.names = names
        self.sums = self.sums + sums
        self.count += examples

    def gather(self, device: torch.device) -> None:
        """Adds the sums of the other processes; afterwards every process has the total."""
        sums = torch.as_tensor(self.sums, dtype=torch.float64, device=device)
        *totals, count = sum_over_processes(torch.cat([sums.reshape(-1), sums.new_tensor([self.count])]))
        self.sums, self.count = torch.stack(totals).reshape(sums.shape), int(count)

    def clear(self) -> None:
        """Sets the sums to 0, because another process keeps them."""
        self.sums, self.count = self.sums * 0.0, 0

    def take(self) -> dict[str, Tensor]:
        """Returns each term's mean, (), nats, and sets the sums to 0."""
        means = dict(zip(self.names, torch.as_tensor(self.sums / self.count), strict=True))
        self.sums, self.count = 0.0, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """The sums since `take` was last called."""
        return {"names": list(self.names), "sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continues from `state_dict`."""
        self.names, self.sums, self.count = tuple(state["names"]), state["sums"], state["count"]
        if isinstance(self.sums, Tensor):
            self.sums = self.sums.to(sum_device(device))
