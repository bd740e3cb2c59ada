"""Batches from tensors in memory, indexed a batch at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


class Batches:
    """Iterates over (x, target) batches; a data loader without workers, items or collation.

    Args:
        x: (n, *x), on the device on which batches are drawn.
        target: (n, *t) on the same device, or None where x reconstructs itself: then `target is x` in every batch.
        batch_size: examples per batch; the last batch of a pass holds what is left.
        shuffle: whether each pass draws a new order from torch's global generator.
        prepare: applied to each batch of x as it is drawn, such as a fresh binarisation.
    """

    def __init__(
        self,
        x: Tensor,
        target: Tensor | None,
        batch_size: int,
        shuffle: bool = False,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.x = x
        self.target = target
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.prepare = prepare

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.x)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for rows in order.to(self.x.device).split(self.batch_size):
            x = self.x.index_select(0, rows)  # a fifth of the time of self.x[rows]
            if self.prepare is not None:
                x = self.prepare(x)
            yield x, x if self.target is None else self.target.index_select(0, rows)
