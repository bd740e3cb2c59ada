"""Each process's share of a minibatch (DDP).

Process i of k gets every k-th row of a minibatch, starting with row i: of x, of the target and of the condition. Its
loss is the part of the mean that those rows contribute. Seeds and draws are equal in all processes, so the weights are
those of one process with the whole minibatch, up to the order of summation.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaelab.objectives import Terms

IN_PLACE = (Tensor.normal_, Tensor.uniform_, Tensor.exponential_)  # draws that fill a tensor


class BatchShare(TorchFunctionMode):
    """One process's share of a minibatch. Inside this context, its rows get the same draws as with a single process.

    This holds for draws with the batch as their second dimension, (L, B, …), that are normal, uniform, exponential or
    Bernoulli. All of vaelab's posteriors draw this way: Gaussians and mixtures of them; flows, which transform such
    draws; and discrete ones, relaxed or not. Training draws nothing else: likelihoods (Laplace too) and priors
    (VampPrior too) only compute densities. Other draws, such as those of `torch.multinomial` in your own posterior, are
    valid, but differ from those of a single process.

    Args:
        rank: the number of this process, from 0.
        world: the number of processes.
        examples: n, the number of rows of the minibatch over all processes.
    """

    def __init__(self, rank: int, world: int, examples: int) -> None:
        super().__init__()
        self.rank, self.world, self.examples = rank, world, examples

    @classmethod
    def of(cls, trainer: Any, batch_idx: int, rows: int) -> "BatchShare | None":
        """This process's share of a trainer's minibatch, with `rows` rows here; None if there is only one process."""
        if trainer.world_size == 1:
            return None
        examples = getattr(trainer.train_dataloader, "examples", None)  # other loaders give every process as many rows
        n = examples(batch_idx) if examples else rows * trainer.world_size
        return cls(trainer.global_rank, trainer.world_size, n)

    def without_stand_in(self, terms: Terms) -> Terms:
        """(rows,) -> (rows,), or (0,) if the minibatch has no row for this process, which then got the first row."""
        return terms if self.rank < self.examples else Terms(*(term[:0] for term in terms))

    def mean(self, loss: Tensor) -> Tensor:
        """(rows,) -> (): its average over the processes is the mean over the minibatch."""
        return loss.sum() * (self.world / self.examples)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = range(self.rank, self.examples, self.world) or range(1)
        known = function in IN_PLACE or function in (torch.normal, torch.bernoulli)
        if not known or args[0].shape[1:2] != (len(own),):
            return function(*args, **(kwargs or {}))
        whole = args[0].new_full((len(args[0]), self.examples, *args[0].shape[2:]), 0.5)  # of the whole minibatch
        if function in IN_PLACE:
            return args[0].copy_(function(whole, *args[1:], **(kwargs or {}))[:, own])
        if function is torch.bernoulli:
            whole[:, own] = args[0]
            return torch.bernoulli(whole)[:, own]
        mean, std = args
        return mean + std * whole.normal_()[:, own]
