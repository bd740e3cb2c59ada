"""Scores of validation and test batches: the same draws each time, in float32 or better."""

from vaelab.objectives import Terms
from vaelab.precision import full_precision
from vaelab.seeded import seeded
from vaelab.steps import Batch, Objective
from vaelab.vae import VAE


def score_batch(vae: VAE, objective: Objective, batch: Batch, index: int) -> Terms:
    """The terms of a batch, each (B,), in nats.

    They are computed in float32 or better, for any precision of training. The draws depend only on the batch's index.
    """
    with full_precision(vae) as module, seeded(index):
        return objective(module, *batch)
