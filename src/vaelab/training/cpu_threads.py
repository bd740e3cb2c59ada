"""How many CPU threads a model needs."""

import torch
from torch import nn

DEFAULT = torch.get_num_threads()  # read before anything changes it
ENOUGH = 5e6  # multiply-adds of one minibatch, forward; below that, two threads were no faster than one on nine sizes


def worthwhile_threads(model: nn.Module, batch_size: int, samples: int = 1, processes: int = 1) -> int:
    """1 if a minibatch is too small to be split between threads, or else torch's default.

    A second thread that has nothing to do keeps a core busy, which other runs and the drawing of pictures could use.

    Args:
        model: every parameter counts as one multiply-add per example.
        batch_size: examples per minibatch.
        samples: draws of z per example.
        processes: how many processes share each minibatch and the processor.
    """
    work = batch_size * samples * sum(parameter.numel() for parameter in model.parameters()) / processes
    return 1 if work < ENOUGH else max(1, DEFAULT // processes)
