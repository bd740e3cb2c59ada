"""Each process's share of a minibatch (DDP).

Process i of k gets row i of a minibatch and every k-th row after it: of x, of the target and of the condition. It adds
to its loss what those rows add to the mean. So the weights are those of one process with the whole minibatch, up to the
order of summation: seeds are equal, and so are draws.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaelab.objectives import Terms


class BatchShare(TorchFunctionMode):
    """One process's share of a minibatch; inside, its rows get the draws that one process would give them.

    That holds for normal draws with the batch as their second dimension, (L, B, p). All of vaelab's posteriors draw
    like that: Gaussians, and flows, which transform such draws. Training draws nothing else: likelihoods (Laplace too)
    and priors (VampPrior too) only compute densities. Other draws, such as those of a posterior of your own, are valid,
    but differ from those of one process.

    Args:
        rank: the number of this process, from 0.
        world: the number of processes.
        examples: n, the rows of the minibatch in all processes.
    """

    def __init__(self, rank: int, world: int, examples: int) -> None:
        super().__init__()
        self.rank, self.world, self.examples = rank, world, examples

    @classmethod
    def of(cls, trainer: Any, batch_idx: int, rows: int) -> "BatchShare | None":
        """This process's share of a trainer's minibatch, of which it has `rows` rows; None if there is one process."""
        if trainer.world_size == 1:
            return None
        examples = getattr(trainer.train_dataloader, "examples", None)  # other loaders give every process as many rows
        n = examples(batch_idx) if examples else rows * trainer.world_size
        return cls(trainer.global_rank, trainer.world_size, n)

    def without_stand_in(self, terms: Terms) -> Terms:
        """(rows,) -> (rows,), or (0,) if the minibatch has no row for this process and the first one stands in."""
        return terms if self.rank < self.examples else Terms(*(term[:0] for term in terms))

    def mean(self, loss: Tensor) -> Tensor:
        """(rows,) -> (): its average over the processes is the mean over the minibatch."""
        return loss.sum() * (self.world / self.examples)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = range(self.rank, self.examples, self.world) or range(1)
        if function not in (torch.normal, Tensor.normal_) or args[0].shape[1:2] != (len(own),):
            return function(*args, **(kwargs or {}))
        drawn = args[0].new_empty(len(args[0]), self.examples, *args[0].shape[2:])
        if function is Tensor.normal_:
            return args[0].copy_(drawn.normal_(*args[1:], **(kwargs or {}))[:, own])
        mean, std = args
        return mean + std * drawn.normal_()[:, own]
