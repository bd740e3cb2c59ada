"""β-TC: the ELBO with a weight on the total correlation of the aggregate posterior."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.checks import check_choice, check_number, check_whole
from vaelab.families import is_product, marginals
from vaelab.objectives.elbo_parts import ElboParts
from vaelab.objectives.example_distributions import posterior_of
from vaelab.objectives.minibatch_penalty import MinibatchPenalty
from vaelab.precision import least_single
from vaelab.vae import VAE

SAMPLINGS = ("stratified", "weighted")


@dataclass(frozen=True)
class BetaTC(MinibatchPenalty):
    """−loss = ELBO − (β − 1)·KL(q(z) ‖ Π_j q(z_j)) (Chen et al. 2018, arxiv.org/abs/1802.04942, eq. 4, α = γ = 1).

    The mean KL(q(z|x) ‖ p(z)) over the data is I(x; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j)). β weights the
    second term, the total correlation. Its estimate is biased, and the bias depends on the size of the minibatch
    (`total_correlation`). The other arguments are those of `MinibatchPenalty`.

    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> BetaTC(train_size=1_000)(vae, x, x).loss.shape
    torch.Size([7])

    Args:
        train_size: N, the number of training examples.
        beta: β, the weight of the total correlation; 1 gives the ELBO.
        sampling: `stratified` or `weighted`, the weights of the minibatch; see `total_correlation`.

    Raises:
        ValueError: N is not a whole number of at least 1, β < 0, the sampling is unknown, or as `MinibatchPenalty`.
    """

    pure = True

    train_size: int
    beta: float = 4.0
    sampling: Literal["stratified", "weighted"] = "stratified"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("objective.train_size", self.train_size, 1)
        check_number("objective.beta", self.beta, 0)
        check_choice("objective.sampling", self.sampling, SAMPLINGS)

    @property
    def loss_is_bound(self) -> bool:
        """True if the loss is −bound."""
        return self.beta == 1

    def check(self, vae: VAE) -> None:
        """Raises a ValueError if the posterior's draws carry no gradient, or its marginals are not known."""
        q = posterior_of(vae)
        if q is not None and not (q.has_rsample and marginals(q) is not None):
            raise ValueError(
                f"posterior must be a Gaussian for objective=beta_tc, but is {type(vae.encoder.family).__name__}; use "
                "posterior=diagonal or posterior=full"
            )

    def penalty(self, parts: ElboParts) -> Tensor:
        """KL + (β − 1)·TC, (B,), nats."""
        tc = total_correlation(parts.q, parts.z, self.train_size, self.sampling).mean()
        return parts.kl + (self.beta - 1) * tc.to(parts.kl.dtype)


def total_correlation(q: Distribution, z: Tensor, train_size: int, sampling: str = "stratified") -> Tensor:
    """log q̂(z) − Σ_j log q̂(z_j), which estimates the total correlation KL(q(z) ‖ Π_j q(z_j)): (L, M), nats.

    q̂(z_i) = Σ_k w_ik q(z_i|x_k) over the M examples of a minibatch of N training examples, and q̂(z_ij) likewise:

        stratified  w_ii = 1/N, and the other M − 1 share (N−1)/N equally
        weighted    w_ik = 1/(N·M)

    The first is Chen et al.'s stratified sampling (their appendix C.2, averaged over which example gets the last
    weight). q̂ is then unbiased for q(z) over the training set, and exact if the minibatch is all of it. But log q̂ is
    too low on average, for z and for each z_j, so the total correlation may come out too low or too high. The second is
    their weighted sampling: log q̂ is log M to log N too low, so the estimate has an offset of up to p·log N − log M.
    Both biases depend on M. Compare the numbers only at equal M.

    >>> from vaelab import families
    >>> q = families.DiagonalGaussian((3,), init_std=1.0)(torch.zeros(7, 6))  # the same for every example
    >>> bool((total_correlation(q, q.rsample((9,)), train_size=1_000).abs() < 1e-5).all())
    True

    Args:
        q: q(z|x_k), batch_shape (M,), whose marginals are known.
        z: draws from each, (L, M, p).
        train_size: N.
        sampling: `stratified` or `weighted`.
    """
    at_z = z.unsqueeze(2)  # (L, M, 1, p)
    log_each = least_single(marginals(q).log_prob(at_z))  # type: ignore[union-attr]  # (L, M, M, p)
    log_all = log_each.sum(-1) if is_product(q) else least_single(q.log_prob(at_z))  # (L, M, M)
    log_w = _log_weights(log_all, train_size, sampling)  # (M, M)
    log_qz = (log_all + log_w).logsumexp(2)  # (L, M)
    return log_qz - (log_each + log_w.unsqueeze(-1)).logsumexp(2).sum(-1)


def _log_weights(like: Tensor, n: int, sampling: str) -> Tensor:
    """log w_ik, (M, M)."""
    m = like.shape[-1]
    if sampling == "weighted":
        return like.new_full((m, m), -math.log(n * m))
    if m == 1 or n == 1:
        return like.new_full((m, m), -math.log(m))
    own = torch.eye(m, dtype=like.dtype, device=like.device)
    return -math.log(n) * own + (math.log1p(-1 / n) - math.log(m - 1)) * (1 - own)
