"""One optimiser step on a GPU, captured as a CUDA graph and replayed.

One step of a small VAE runs about a hundred kernels, and Python takes longer to launch each one than the GPU takes to
run it. A graph launches all of them at once, including the draws and the optimiser.
"""

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from vaelab.steps.gradient import Batch, Gradient, distinct, places

Take = Callable[[Batch], list[Gradient]]


class CudaGraphStep:
    """A captured step of one optimiser, for batches that are like an example.

    Take a few ordinary steps first, because the optimiser's state must exist. Besides the batch, the graph reads and
    writes the parameters, that state and the learning rate in place, so it always uses their current values.

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
        """Takes the step and returns its gradients, which the next call overwrites."""
        for held, new in zip(self.held, distinct(batch), strict=True):
            held.copy_(new)
        self.graph.replay()
        return self.found


def is_capturable(optimizer: Optimizer) -> bool:
    """True if a torch optimiser can keep its counters and its learning rate on the GPU."""
    return "capturable" in optimizer.defaults


def _keep_on_device(optimizer: Optimizer, device: torch.device) -> None:
    """Moves counters and learning rates to the GPU, because the graph reads what a scheduler writes there."""
    for group in optimizer.param_groups:
        group["capturable"] = True
        group["lr"] = torch.as_tensor(group["lr"], device=device)
    for state in optimizer.state.values():
        state["step"] = state["step"].to(device)


def settings(optimizer: Optimizer) -> tuple[object, ...]:
    """The optimiser's settings that a captured step cannot change: all except the learning rate."""
    varied = ("params", "lr", "initial_lr", "capturable")
    return tuple(value for group in optimizer.param_groups for key, value in sorted(group.items()) if key not in varied)
