"""The importance-weighted bound."""

from dataclasses import dataclass

from torch import Tensor

from vaelab.objectives.importance import log_mean
from vaelab.objectives.many_sample_bound import ManySampleBound


@dataclass(frozen=True)
class IWAE(ManySampleBound):
    """IW_K = E[log (1/K) Σ_k w_k], w = p(t|z) p(z) / q(z|x) (Burda et al. 2016, arxiv.org/abs/1509.00519, eq. 8).

    It is the ELBO for K = 1, and approaches log p(t) as K grows. The arguments are those of `ManySampleBound`.

    >>> import torch
    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> terms = IWAE(samples=9)(vae, x, x)
    >>> terms.bound.shape, bool((terms.bound >= terms.elbo).all())
    (torch.Size([7]), True)
    """

    pure = True

    def bound(self, log_w: Tensor, log_share: Tensor | None = None) -> Tensor:
        """(K, …) -> (…), nats."""
        return log_mean(log_w, log_share)

    def path_scale(self, log_w: Tensor) -> Tensor:
        """(K, …) -> (K, …)."""
        return log_w.softmax(0)
