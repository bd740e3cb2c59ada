"""The terms that an objective returns."""

from typing import NamedTuple

from torch import Tensor


class Terms(NamedTuple):
    """Per-example terms, each (B,), in nats. Each curve has the name of its term (`train/elbo`, `val/kl`).

    Attributes:
        elbo: the evidence lower bound, with β = 1 for every objective.
        log_likelihood: E_q[log p(t|z)], the negative distortion.
        kl: KL(q(z|x) ‖ p(z)) or its estimate, also called the rate.
        bound: the objective's lower bound on log p(t), without weights and penalties. It is IW_K for `IWAE`, whose
            relatives have bounds of their own, and the ELBO for all others.
        loss: what the optimiser minimises, such as β·kl − log_likelihood.

    >>> import torch
    >>> log_likelihood, kl = torch.tensor([-3.0, -1.0]), torch.tensor([2.0, 1.0])
    >>> elbo = log_likelihood - kl
    >>> Terms(elbo, log_likelihood, kl, bound=elbo, loss=0.5 * kl - log_likelihood).loss
    tensor([4.0000, 1.5000])
    """

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    bound: Tensor
    loss: Tensor
