"""Means over examples, kept in float64, and draws that are the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vaelab.precision import sum_device
from vaelab.training.parallel import add_up


class Means:
    """Means over examples of an objective's terms, since the last time that they were taken."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | float = 0.0
        self.count = 0

    def add(self, names: tuple[str, ...], sums: Tensor, examples: int) -> None:
        """Adds the sums (terms,) of a batch, nats, in float64."""
        self.names = names
        self.sums = self.sums + sums
        self.count += examples

    def add_up(self, device: torch.device) -> None:
        """Adds the sums of the other processes; afterwards all of them have the total."""
        sums = torch.as_tensor(self.sums, dtype=torch.float64, device=device)
        *totals, count = add_up(torch.cat([sums.reshape(-1), sums.new_tensor([self.count])]))
        self.sums, self.count = torch.stack(totals).reshape(sums.shape), int(count)

    def drop(self) -> None:
        """Forgets the sums, because another process keeps them."""
        self.sums, self.count = self.sums * 0.0, 0

    def take(self) -> dict[str, Tensor]:
        """The mean of each term, (), nats; the sums start again at 0."""
        means = dict(zip(self.names, torch.as_tensor(self.sums / self.count), strict=True))
        self.sums, self.count = 0.0, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """What has been added since the last point."""
        return {"names": list(self.names), "sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continues from `state_dict`."""
        self.names, self.sums, self.count = tuple(state["names"]), state["sums"], state["count"]
        if isinstance(self.sums, Tensor):
            self.sums = self.sums.to(sum_device(device))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's generators inside, and puts them back as they were: what follows draws as if nothing had been."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
