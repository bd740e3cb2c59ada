"""One optimiser step on a GPU, captured as a CUDA graph and replayed.

A small VAE's step is a hundred kernels that each take the GPU less time than Python needs to launch it. A graph
launches all of them, draws and optimiser included, at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from vaelab.steps.traced_gradient import Gradient, distinct

Take = Callable[[Tensor, Tensor], list[Gradient]]


class Captured:
    """A step of one optimiser, for batches like one example.

    It has been taken before, so that the optimiser's state is there. What the graph reads and writes beside the batch
    (parameters, that state, the learning rate) stays where it is, and is read as it is then.

    Args:
        take: (x, target) -> the gradients of the step that it takes.
        optimizer: whose step it is; `is_capturable(optimizer)` must hold.
        x: (B, *x), of an example batch on a GPU.
        target: (B, *t), of an example batch.
    """

    def __init__(self, take: Take, optimizer: Optimizer, x: Tensor, target: Tensor) -> None:
        _keep_on_device(optimizer, x.device)
        self.batch = [tensor.clone() for tensor in distinct(x, target)]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = take(self.batch[0], self.batch[-1])

    def __call__(self, x: Tensor, target: Tensor) -> list[Gradient]:
        """Takes the step; -> its gradients, which the next call writes over."""
        for held, new in zip(self.batch, distinct(x, target), strict=True):
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
