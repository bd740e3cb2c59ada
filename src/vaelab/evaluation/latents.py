"""How the latents are used: KL and activity per dimension, and what the aggregate posterior q(z) says."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

MEMORY = 16 * 2**20  # bytes of one chunk of pairs (z, example)
ACTIVE = 0.01  # Burda et al.'s threshold on Var_x(E_q[z])


def kl_per_dimension(q: Distribution, prior: Distribution) -> Tensor:
    """KL(q(z_j|x) ‖ p(z_j)) of the Gaussian marginals: q with batch_shape (B,) -> (B, p), nats.

    With diagonal q and p its sum over j is KL(q ‖ p). A marginal that is no Gaussian, as of a mixture prior, counts as
    the Gaussian of its mean and variance.
    """
    return kl_divergence(Normal(q.mean, q.stddev), Normal(prior.mean, prior.stddev))


def active_units(means: Tensor, threshold: float = ACTIVE) -> Tensor:
    """Which latents respond to the data, Var_x(E_q[z_j]) > threshold: means (n, p) -> bool (p,).

    Burda et al. 2016, arxiv.org/abs/1509.00519, §5.2.
    """
    return means.double().var(0, correction=0) > threshold


class Aggregate(NamedTuple):
    """Terms of the aggregate posterior q(z) = (1/n) Σ_i q(z|x_i), one per example: each (n,), nats.

    E[KL(q(z|x) ‖ p(z))] = I(x; z) + KL(q(z) ‖ p(z)) (Hoffman & Johnson 2016; Makhzani et al. 2016, §2).

    Attributes:
        mutual_information: log q(z|x) − log q(z); its mean is I(x; z) of these n examples, at most log n.
        kl: log q(z) − log p(z); its mean is KL(q(z) ‖ p(z)).
    """

    mutual_information: Tensor
    kl: Tensor


@torch.no_grad()
def aggregate_posterior(q: Distribution, prior: Distribution, memory: int = MEMORY) -> Aggregate:
    """q with batch_shape (n,) -> the terms of I(x; z) and KL(q(z) ‖ p(z)), by one draw z ~ q(z|x) per example.

    All n² densities are computed, a chunk of draws at a time. The n examples stand for the data, so I(x; z) cannot
    exceed log n; where it comes near, the truth may be larger.
    """
    z = q.sample()  # (n, p)
    n = len(z)
    terms = 1 if _is_diagonal(q) else z.shape[-1]  # kept of each pair
    rows = max(1, memory // (4 * n * terms * z.element_size()))
    log_qz = torch.cat([_log_prob_of_all(q, part).logsumexp(-1) for part in z.split(rows)]) - math.log(n)
    return Aggregate(mutual_information=q.log_prob(z) - log_qz, kl=log_qz - prior.log_prob(z))


def _log_prob_of_all(q: Distribution, z: Tensor) -> Tensor:
    """log q(z_i|x_j): z (m, p), q with batch_shape (n,) -> (m, n), nats in float64.

    For diagonal Gaussians Σ_d (z−μ)²/σ² = z²·σ⁻² − 2 z·μσ⁻² + Σ_d μ²σ⁻²: two matrix products in place of m·n·p terms.
    """
    if not _is_diagonal(q):
        return q.log_prob(z.unsqueeze(1)).double()
    z, mean, variance = z.double(), q.mean.double(), q.variance.double()
    squares = z.square() @ (1 / variance).mT - 2 * z @ (mean / variance).mT + (mean.square() / variance).sum(-1)
    return -0.5 * (squares + (2 * math.pi * variance).log().sum(-1))


def _is_diagonal(q: Distribution) -> bool:
    return isinstance(q, Independent) and isinstance(q.base_dist, Normal)
