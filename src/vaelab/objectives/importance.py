"""Importance weights, used by the objectives and by the evaluation.

With log w = log p(t|z) + log p(z) − log q(z|x) and z_l ~ q(z|x), l = 1..L (Burda et al. 2016, arxiv.org/abs/1509.00519,
eq. 8),

    log p̂(t) = log (1/L) Σ_l w_l,        E[log p̂(t)] = IW_L ≤ log p(t), non-decreasing in L
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.vae import VAE


class Draws(NamedTuple):
    """z ~ q(z|x).

    >>> Draws(z=torch.zeros(9, 7, 3), log_qz=None).z.shape
    torch.Size([9, 7, 3])

    Attributes:
        z: (L, B, p).
        log_qz: log q(z|x), (L, B), nats, if it was computed with the draws, as a flow does; else None.
        log_share: the logarithm of each draw's share in an average over them, (L, B), if the draws are stratified, as
            those of a mixture are; the shares add up to 1. None stands for equal shares, 1/L.
        score: zeros, (L, B), whose gradient is that of log q(z|x); only the score function needs them.
    """

    z: Tensor
    log_qz: Tensor | None
    log_share: Tensor | None = None
    score: Tensor | None = None


class LogWeights(NamedTuple):
    """The two parts of log w, each (L, B), in nats.

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


def draw(q: Distribution, samples: int) -> Draws:
    """Draws with a pathwise gradient.

    >>> q = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(7, 3), 1.0), 1)
    >>> draw(q, samples=9).z.shape
    torch.Size([9, 7, 3])
    """
    both: Any = getattr(q, "rsample_and_log_prob", None)
    shape = torch.Size((samples,))
    return Draws(q.rsample(shape), None) if both is None else Draws(*both(shape))


def weigh(
    vae: VAE, q: Distribution, prior: Distribution, draws: Draws, target: Tensor, condition: Tensor | None = None
) -> LogWeights:
    """Computes the importance weights of draws.

    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> q = vae.encode(x)
    >>> weigh(vae, q, vae.prior(), draw(q, samples=9), x).log_w.shape
    torch.Size([9, 7])

    Args:
        vae: the model that decodes the draws.
        q: q(z|x), batch_shape (B,).
        prior: p(z), which the caller computes once for many calls.
        draws: z ~ q(z|x), L for each example.
        target: (B, *t).
        condition: (B, c), for a conditional model.
    """
    log_pt_z = vae.log_likelihood(draws.z, target, condition)  # (L, B)
    log_qz = q.log_prob(draws.z) if draws.log_qz is None else draws.log_qz  # (L, B)
    return LogWeights(log_pt_z, log_qz - prior.log_prob(draws.z))


def mean(values: Tensor, log_share: Tensor | None = None) -> Tensor:
    """(1/L) Σ_l f_l, or Σ_l share_l f_l for stratified draws: (L, …) -> (…).

    >>> mean(torch.tensor([[1.0], [5.0]]), log_share=torch.tensor([[0.75], [0.25]]).log())
    tensor([2.])
    """
    return values.mean(0) if log_share is None else (log_share.exp() * values).sum(0)


def log_mean(log_w: Tensor, log_share: Tensor | None = None) -> Tensor:
    """log (1/L) Σ_l w_l, or log Σ_l share_l w_l for stratified draws: (L, …) -> (…), in nats.

    It estimates log p. With equal shares, its expectation is IW_L.

    >>> log_mean(torch.tensor([[1.0], [3.0]]).log()).exp()
    tensor([2.])
    """
    return log_w.logsumexp(0) - math.log(len(log_w)) if log_share is None else (log_w + log_share).logsumexp(0)
