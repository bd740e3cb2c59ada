"""Draws from q(z|x) without a gradient, and their importance weights."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab import objectives
from vaelab.objectives import Draws, LogWeights
from vaelab.vae import VAE


@torch.no_grad()
def draw(q: Distribution, samples: int) -> Draws:
    """Draws with rsample if q has it, because that takes half as long as torch's sample."""
    if not q.has_rsample:  # such as a mixture, or a discrete q
        return Draws(q.sample(torch.Size((samples,))), None)
    return objectives.draw(q, samples)


@torch.no_grad()
def score_draws(
    vae: VAE, q: Distribution, prior: Distribution, draws: Draws, target: Tensor, condition: Tensor | None = None
) -> LogWeights:
    """Weighs draws: target (B, *t), condition (B, c) or None -> the parts of their log-weights, each (L, B), nats."""
    return objectives.weigh(vae, q, prior, draws, target, condition)
