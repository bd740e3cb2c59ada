"""How many CPU threads a model is worth."""

import torch
from torch import nn

DEFAULT = torch.get_num_threads()  # before anything changes it
ENOUGH = 5e6  # multiply-adds of one minibatch, forward; below, two threads are no faster than one on any of nine sizes


def worthwhile_threads(model: nn.Module, batch_size: int, samples: int = 1, processes: int = 1) -> int:
    """1 where a minibatch is too small to share, else torch's default.

    A second thread that only waits burns a core, which other runs and the drawing of pictures could use.

    Args:
        model: every parameter counts as one multiply-add per example.
        batch_size: examples per minibatch.
        samples: draws of z per example.
        processes: that share each minibatch, and the processor.
    """
    work = batch_size * samples * sum(parameter.numel() for parameter in model.parameters()) / processes
    return 1 if work < ENOUGH else max(1, DEFAULT // processes)
