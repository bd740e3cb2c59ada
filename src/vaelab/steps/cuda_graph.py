"""One optimiser step on a GPU, captured as a CUDA graph and replayed.

A small VAE's step is a hundred kernels that each take the GPU less time than Python needs to launch it. A graph
launches all of them, draws and optimiser included, at once.
"""

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from vaelab.steps.gradient import Batch, Gradient, distinct, places

Take = Callable[[Batch], list[Gradient]]


class CudaGraphStep:
    """A step of one optimiser, for batches like one example.

    Some ordinary steps must have been taken before, so that the optimiser's state exists. Besides the batch, the graph
    reads and writes the parameters, that state and the learning rate in place, so it always uses their current values.

    Args:
        take: a batch -> the gradients of the step that it takes.
        optimizer: the optimiser that steps; `is_capturable(optimizer)` must hold.
        batch: an example, (x, target) or (x, target, condition), on a GPU.
    """

    def __init__(self, take: Take, optimizer: Optimizer, batch: Batch) -> None:
        _keep_on_device(optimizer, batch[0].device)
        self.held = [tensor.clone() for tensor in distinct(batch)]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = take(tuple(self.held[place] for place in places(batch)))

    def __call__(self, batch: Batch) -> list[Gradient]:
        """Takes the step; -> its gradients, which the next call overwrites."""
        for held, new in zip(self.held, distinct(batch), strict=True):
            held.copy_(new)
        self.graph.replay()
        return self.found


def is_capturable(optimizer: Optimizer) -> bool:
    """Whether an optimiser of torch's can keep its counters and its learning rate on the GPU."""
    return "capturable" in optimizer.defaults


def _keep_on_device(optimizer: Optimizer, device: torch.device) -> None:
    """Schedules write into a learning rate that is a tensor, and the graph reads it."""
    for group in optimizer.param_groups:
        group["capturable"] = True
        group["lr"] = torch.as_tensor(group["lr"], device=device)
    for state in optimizer.state.values():
        state["step"] = state["step"].to(device)


def settings(optimizer: Optimizer) -> tuple[object, ...]:
    """What a captured step holds of its optimiser as it is: all but the learning rate."""
    varied = ("params", "lr", "initial_lr", "capturable")
    return tuple(value for group in optimizer.param_groups for key, value in sorted(group.items()) if key not in varied)
