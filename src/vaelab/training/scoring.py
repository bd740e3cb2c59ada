"""Scores of validation and test batches: the same draws each time, in float32 or better."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vaelab.objectives import Terms
from vaelab.precision import full_precision
from vaelab.steps import Batch, Objective
from vaelab.vae import VAE


def score_batch(vae: VAE, objective: Objective, batch: Batch, index: int) -> Terms:
    """The terms of a batch, each (B,), in nats.

    They are computed in float32 or better, for any precision of training. The draws depend only on the batch's index.
    """
    with full_precision(vae) as module, seeded(index, batch[0].device):
        return objective(module, *batch)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's generators inside, and restores their states afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
