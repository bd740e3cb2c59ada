"""Draws from q(z|x), and their importance weights."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.objectives import LogWeights, weigh
from vaelab.vae import VAE


class Draws(NamedTuple):
    """z ~ q(z|x).

    Attributes:
        z: (L, B, p).
        log_qz: log q(z|x), (L, B), nats, if it was computed with the draws, as a flow does; else None.
    """

    z: Tensor
    log_qz: Tensor | None


@torch.no_grad()
def draw(q: Distribution, samples: int) -> Draws:
    """Draws with rsample if q has it, because that takes half as long as torch's sample."""
    shape = torch.Size((samples,))
    if not q.has_rsample:  # such as a mixture, or a discrete q
        return Draws(q.sample(shape), None)
    both: Any = getattr(q, "rsample_and_log_prob", None)
    return Draws(q.rsample(shape), None) if both is None else Draws(*both(shape))


@torch.no_grad()
def score_draws(
    vae: VAE, q: Distribution, prior: Distribution, draws: Draws, target: Tensor, condition: Tensor | None = None
) -> LogWeights:
    """Weighs draws: target (B, *t), condition (B, c) or None -> the parts of their log-weights, each (L, B), nats."""
    log_qz = q.log_prob(draws.z) if draws.log_qz is None else draws.log_qz
    return weigh(vae, prior, draws.z, log_qz, target, condition)
