"""Chooses the number of CPU threads for a model."""

import torch
from torch import nn

DEFAULT = torch.get_num_threads()  # read before anything changes it
ENOUGH = 5e6  # multiply-adds of one minibatch, forward; with fewer, two threads were no faster than one in nine tests


def worthwhile_threads(model: nn.Module, batch_size: int, samples: int = 1, processes: int = 1) -> int:
    """Returns 1 if a minibatch is too small to share between threads, or else torch's default.

    A second thread keeps a core busy even if it has nothing to do. Other runs, and the pictures, could use that core.

    Args:
        model: the model. Every parameter counts as one multiply-add per example.
        batch_size: examples per minibatch.
        samples: draws of z per example.
        processes: how many processes share each minibatch and the processor.
    """
    work = batch_size * samples * sum(parameter.numel() for parameter in model.parameters()) / processes
    return 1 if work < ENOUGH else max(1, DEFAULT // processes)
