"""Pictures of q(z|x). They take the distribution itself, because computing a flow's mean twice would be slow."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.evaluation.latents import kl_per_dimension, kl_per_dimension_by
from vaelab.evaluation.views.arrays import array
from vaelab.figures import KLBars, LatentScatter, Picture

Labels = tuple[str, Tensor]


@torch.no_grad()
def latents(q: Distribution, prior: Distribution, labels: Labels | None = None) -> Picture:
    """The posterior means in the two dimensions with the most KL, coloured by label.

    Args:
        q: the posteriors of n examples, batch_shape (n,).
        prior: p(z), batch_shape ().
        labels: the name of the labels, and the labels, (n,).
    """
    shown = informative_dimensions(q, prior, 2)
    name, values = labels or ("", None)
    return LatentScatter(
        array(q.mean)[:, shown],
        np.array(shown),
        q.event_shape.numel(),
        None if values is None else array(values),
        name,
    )


@torch.no_grad()
def kl_per_dimension_bars(q: Distribution, prior: Distribution) -> Picture:
    """The mean of KL(q(z_j|x) ‖ p(z_j)) over n examples, for each dimension, nats: q with batch_shape (n,).

    If q or p is not Gaussian, Gaussians with the same means and variances take its place, and the title tells you.
    """
    by_moments = kl_per_dimension_by(q, prior) == "moments"
    return KLBars(array(kl_per_dimension(q, prior).mean(0)), by_moments)


@torch.no_grad()
def informative_dimensions(q: Distribution, prior: Distribution, count: int) -> list[int]:
    """The `count` dimensions of z with the most KL over n examples, counted from 0, ascending: q, batch_shape (n,)."""
    kl = kl_per_dimension(q, prior).mean(0)
    return sorted(kl.topk(min(count, len(kl))).indices.tolist())
