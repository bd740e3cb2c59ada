"""Importance weights, of which objectives and evaluation are made.

With log w = log p(t|z) + log p(z) − log q(z|x) and z_l ~ q(z|x), l = 1..L (Burda et al. 2016, arxiv.org/abs/1509.00519,
eq. 8),

    log p̂(t) = log (1/L) Σ_l w_l,        E[log p̂(t)] = IW_L ≤ log p(t), non-decreasing in L
"""

import math
from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from vaelab.vae import VAE


class LogWeights(NamedTuple):
    """The two parts of log w, each (L, B), in nats.

    Attributes:
        log_likelihood: log p(t|z).
        log_ratio: log q(z|x) − log p(z).
    """

    log_likelihood: Tensor
    log_ratio: Tensor

    @property
    def log_w(self) -> Tensor:
        """(L, B), nats."""
        return self.log_likelihood - self.log_ratio


def weigh(
    vae: VAE, prior: Distribution, z: Tensor, log_qz: Tensor, target: Tensor, condition: Tensor | None = None
) -> LogWeights:
    """The importance weights of draws.

    Args:
        vae: the model, which decodes the draws.
        prior: p(z), computed once for many calls.
        z: draws from q(z|x), (L, B, p).
        log_qz: log q(z|x) of the draws, (L, B), nats.
        target: (B, *t).
        condition: (B, c), for a conditional model.
    """
    log_pt_z = vae.log_likelihood(z, target, condition)  # (L, B)
    return LogWeights(log_pt_z, log_qz - prior.log_prob(z))


def log_mean(log_w: Tensor) -> Tensor:
    """log (1/L) Σ_l w_l: (L, …) -> (…), an estimate of log p whose expectation is IW_L, nats."""
    return log_w.logsumexp(0) - math.log(len(log_w))
