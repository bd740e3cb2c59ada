"""The importance-weighted bound."""

from dataclasses import dataclass

from torch import Tensor

from vaelab.checks import check_whole
from vaelab.objectives.importance import draw, log_mean, weigh
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE


@dataclass(frozen=True)
class IWAE:
    """IW_K = E[log (1/K) Σ_k w_k], w = p(t|z) p(z) / q(z|x) (Burda et al. 2016, arxiv.org/abs/1509.00519, eq. 8).

    It is the ELBO for K = 1, and approaches log p(t) as K grows. The gradient is pathwise. `bound` is IW_K; `elbo`,
    `log_likelihood` and `kl` are means over the same K draws.

    >>> import torch
    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> terms = IWAE(samples=9)(vae, x, x)
    >>> terms.bound.shape, bool((terms.bound >= terms.elbo).all())
    (torch.Size([7]), True)

    Args:
        samples: K, the number of z drawn per example.

    Raises:
        ValueError: K is not a whole number of at least 1.
    """

    pure = True

    samples: int = 5

    def __post_init__(self) -> None:
        check_whole("objective.samples", self.samples, 1)

    def __call__(self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> Terms:
        """x (B, *x), target (B, *t), condition (B, c) -> terms of (B,), nats."""
        q = vae.encode(x, condition)
        weights = weigh(vae, q, vae.prior_given(condition), draw(q, self.samples), target, condition)  # (K, B)
        bound = log_mean(weights.log_w)
        return Terms(
            elbo=weights.log_w.mean(0),
            log_likelihood=weights.log_likelihood.mean(0),
            kl=weights.log_ratio.mean(0),
            bound=bound,
            loss=-bound,
        )
