"""Importance weights, which objectives and evaluation share.

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

    >>> import torch
    >>> LogWeights(log_likelihood=torch.tensor([[-3.0]]), log_ratio=torch.tensor([[2.0]])).log_w
    tensor([[-5.]])

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

    >>> import torch
    >>> from vaelab import VAE, families, networks, priors
    >>> from vaelab.families import rsample_and_log_prob
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> weigh(vae, vae.prior(), *rsample_and_log_prob(vae.encode(x), samples=9), x).log_w.shape
    torch.Size([9, 7])

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
    """log (1/L) Σ_l w_l: (L, …) -> (…), an estimate of log p whose expectation is IW_L, nats.

    >>> import torch
    >>> log_mean(torch.tensor([[1.0], [3.0]]).log()).exp()
    tensor([2.])
    """
    return log_w.logsumexp(0) - math.log(len(log_w))
