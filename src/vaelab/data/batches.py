"""Batches from tensors in memory, indexed a batch at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, distributed

Split = tuple[Tensor, Tensor | None, Tensor | None]  # x, target and condition; None for a target that is x


class Batches:
    """Iterates over (x, target) or (x, target, condition) batches; a data loader without workers, items or collation.

    Args:
        x: (n, *x), on the device on which batches are drawn.
        target: (n, *t) on the same device, or None if x reconstructs itself: then `target is x` in every batch.
        batch_size: examples per batch; the last batch of a pass holds what is left.
        shuffle: whether each pass draws a new order from torch's global generator.
        prepare: applied to each batch of x as it is drawn, such as a fresh binarisation.
        share: (i, k) if k processes share one run: this one gets row i of each prepared batch, and every k-th after it.
            If a batch has no row i, it gets the first row, which then counts for nothing.
        fixed: whether `prepare` draws the same for a batch in every pass, which `trainer.overfit_batches` needs.
        condition: (n, *c) on the same device, what a conditional model sees beside x; None serves pairs.
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

        self.full = min(batch_size, len(x))  # examples of every batch but the last
        self.start: Tensor | None = None  # torch's random state before the order of this pass was drawn
        self.drawn = 0  # batches of this pass
        self.resumes = False  # whether the next pass continues where a checkpoint was saved

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def examples(self, index: int) -> int:
        """Rows of the batch of this index, over all processes."""
        return min(self.batch_size, len(self.x) - index * self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.resumes:
            self.start, self.drawn = None, 0
        self.resumes = False
        return self._pass()

    def _pass(self) -> Iterator[tuple[Tensor, ...]]:
        order = [self._order()]
        if self.share[1] > 1:
            distributed.broadcast_object_list(order)  # the same even if one process has drawn another number
        for rows in order[0].to(self.x.device).split(self.batch_size)[self.drawn :]:
            x = self.x.index_select(0, rows)  # a fifth of the time of self.x[rows]
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
        """A prepared batch, drawn from its index alone; torch's generators stay as they were."""
        assert self.prepare is not None
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            torch.manual_seed(index)
            return self.prepare(x)

    def _order(self) -> Tensor:
        """The rows of this pass in their order, (n,); a resumed pass keeps the order that it had."""
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
        """Where in which pass: what a checkpoint keeps."""
        return {"start": self.start, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next pass continue from there."""
        self.start, self.drawn = state["start"], state["drawn"]
        self.resumes = self.drawn > 0


def moved_if_it_fits(held: Split, device: torch.device) -> Split:
    """The same tensors on a GPU if they take at most half of its free memory, so that no batch is copied."""
    size = sum(tensor.nbytes for tensor in held if tensor is not None)
    if size > torch.cuda.mem_get_info(device)[0] / 2:
        return held
    x, *others = held
    target, condition = (tensor if tensor is None else tensor.to(device) for tensor in others)
    return x.to(device), target, condition
