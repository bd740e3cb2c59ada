"""Batches of tensors that are in memory, indexed a batch at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed

Split = tuple[Tensor, Tensor | None, Tensor | None]  # x, target and condition; None for a target that is x


class Batches:
    """Iterates over (x, target) or (x, target, condition) batches, without workers, items or collation.

    Args:
        x: (n, *x), on the device where batches are drawn.
        target: (n, *t) on the same device, or None if x reconstructs itself: then `target is x` in every batch.
        batch_size: examples per batch; the last batch of a pass may be smaller.
        shuffle: draw a new order from torch's global generator for each pass.
        prepare: applied to each batch of x when it is drawn, for example a fresh binarisation.
        share: (i, k) if k processes share one run: this process gets every k-th row of each prepared batch, starting
            with row i. If a batch has no row i, the process gets the first row, which then doesn't count.
        fixed: make `prepare` draw the same numbers for a batch in every pass, as `trainer.overfit_batches` needs.
        condition: (n, *c) on the same device, the conditions of a conditional model; None serves pairs.
    """

    def __init__(
        self,
        x: Tensor,
        target: Tensor | None,
        batch_size: int,
        shuffle: bool = False,
        prepare: Callable[[Tensor], Tensor] | None = None,
        share: tuple[int, int] = (0, 1),
        fixed: bool = False,
        condition: Tensor | None = None,
    ) -> None:
        self.x = x
        self.target = target
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.prepare = prepare
        self.share = share
        self.fixed = fixed
        self.condition = condition

        self.full = min(batch_size, len(x))  # examples in every batch except the last
        self.start: Tensor | None = None  # torch's random state before the order of this pass was drawn
        self.drawn = 0  # batches drawn in this pass
        self.resumes = False  # True if the next pass continues from a checkpoint

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def examples(self, index: int) -> int:
        """The number of rows in the batch with this index, over all processes."""
        return min(self.batch_size, len(self.x) - index * self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.resumes:
            self.start, self.drawn = None, 0
        self.resumes = False
        return self._pass()

    def _pass(self) -> Iterator[tuple[Tensor, ...]]:
        order = [self._order()]
        if self.share[1] > 1:
            distributed.broadcast_object_list(order)  # the same order, even if the processes' random states differ
        for rows in order[0].to(self.x.device).split(self.batch_size)[self.drawn :]:
            x = self.x.index_select(0, rows)  # five times as fast as self.x[rows]
            if self.prepare is not None:
                x = self._prepared(x, self.drawn) if self.fixed else self.prepare(x)
            self.drawn += 1
            if self.share != (0, 1):
                i, k = self.share
                own = slice(i, None, k) if i < len(x) else slice(1)
                x, rows = x[own], rows[own]
            target = x if self.target is None else self.target.index_select(0, rows)
            if self.condition is None:
                yield x, target
            else:
                yield x, target, self.condition.index_select(0, rows)

    def _prepared(self, x: Tensor, index: int) -> Tensor:
        """A prepared batch whose draws depend only on its index. Leaves torch's generators unchanged."""
        assert self.prepare is not None
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            torch.manual_seed(index)
            return self.prepare(x)

    def _order(self) -> Tensor:
        """The rows of this pass in order, (n,). A resumed pass keeps its order."""
        n = len(self.x)
        if not self.shuffle:
            return torch.arange(n)
        if self.start is None:
            self.start = torch.get_rng_state()
            return torch.randperm(n)
        with torch.random.fork_rng([]):
            torch.set_rng_state(self.start)
            return torch.randperm(n)

    def state_dict(self) -> dict[str, Any]:
        """The position in the current pass, for a checkpoint."""
        return {"start": self.start, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next pass continue from the position in a checkpoint."""
        self.start, self.drawn = state["start"], state["drawn"]
        self.resumes = self.drawn > 0


def moved_if_it_fits(held: Split, device: torch.device) -> Split:
    """Moves tensors to a GPU if they take at most half of its free memory. Then no batch needs to be copied."""
    size = sum(tensor.nbytes for tensor in held if tensor is not None)
    if size > torch.cuda.mem_get_info(device)[0] / 2:
        return held
    x, *others = held
    target, condition = (tensor if tensor is None else tensor.to(device) for tensor in others)
    return x.to(device), target, condition
