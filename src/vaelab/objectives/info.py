"""InfoVAE: the ELBO with another weight on the KL, and a distance between the aggregate posterior and the prior."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vaelab.checks import check_choice, check_number
from vaelab.objectives.elbo_parts import ElboParts
from vaelab.objectives.example_distributions import posterior_of, prior_of
from vaelab.objectives.minibatch_penalty import MinibatchPenalty
from vaelab.precision import least_single
from vaelab.vae import VAE

KERNELS = ("gaussian", "inverse_multiquadratic")


@dataclass(frozen=True)
class InfoVAE(MinibatchPenalty):
    """loss = −E_q[log p(t|z)] + (1 − α)·KL(q(z|x) ‖ p(z)) + (α + λ − 1)·MMD²(q(z), p(z)).

    Zhao et al. 2017, arxiv.org/abs/1706.02262, eq. 6, with the maximum mean discrepancy as the divergence (their §3.2).
    α = 1 is the MMD-VAE. MMD² is estimated without bias from one z for each example and as many draws from p(z), so
    its expectation does not depend on the size of the batch; smaller groups only take less memory. With L draws of z
    for each example, it is averaged over them. The other arguments are those of `MinibatchPenalty`.

    >>> import torch
    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> InfoVAE(alpha=1.0)(vae, x, x).loss.shape
    torch.Size([7])

    Args:
        alpha: α ≤ 1. The KL has the weight 1 − α.
        lam: λ ≥ 1 − α. MMD² has the weight α + λ − 1.
        kernel: of MMD², see `mmd2`.
        bandwidth: h, the kernel's, in the units of z; None gives √p, which suits a prior as wide as N(0, I).

    Raises:
        ValueError: α > 1, λ < 1 − α, the bandwidth is not positive, the kernel is unknown, or as `MinibatchPenalty`.
    """

    pure = True

    alpha: float = 0.0
    lam: float = 100.0
    kernel: Literal["gaussian", "inverse_multiquadratic"] = "gaussian"
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("objective.alpha", self.alpha, -1e9, maximum=1)
        check_number("objective.lam", self.lam, 1 - self.alpha)
        check_choice("objective.kernel", self.kernel, KERNELS)
        if self.bandwidth is not None:
            check_number("objective.bandwidth", self.bandwidth, 0, above=True)

    @property
    def loss_is_bound(self) -> bool:
        """True if the loss is −bound."""
        return self.alpha == 0 and self.lam == 1

    def check(self, vae: VAE) -> None:
        """Raises a ValueError if the draws of the posterior, or of a learned prior, carry no gradient."""
        q, learned = posterior_of(vae), next(vae.prior.parameters(), None) is not None
        if q is not None and not q.has_rsample:
            raise ValueError(
                "posterior must be one whose draws carry a gradient for objective=info, but is "
                f"{type(vae.encoder.family).__name__}; use posterior=diagonal"
            )
        if learned and not prior_of(vae).has_rsample:
            raise ValueError(
                "prior must be fixed, or one whose draws carry a gradient, for objective=info, but is "
                f"{type(vae.prior).__name__}; use prior=standard_normal or prior=learned_diagonal"
            )

    def penalty(self, parts: ElboParts) -> Tensor:
        """(1 − α)·KL + (α + λ − 1)·MMD², (B,), nats."""
        bandwidth = math.sqrt(parts.z.shape[-1]) if self.bandwidth is None else self.bandwidth
        distance = mmd2(parts.z, _prior_draws(parts), bandwidth, self.kernel).mean()  # over the L draws
        return (1 - self.alpha) * parts.kl + (self.alpha + self.lam - 1) * distance.to(parts.kl.dtype)


def _prior_draws(parts: ElboParts) -> Tensor:
    """As many draws from p(z) as there are from q, (L, B, p)."""
    prior, shape = parts.prior, parts.z.shape[:-1]
    shape = shape[:1] if prior.batch_shape else shape  # p(z|c) has a batch of its own
    return prior.rsample(shape) if prior.has_rsample else prior.sample(shape)


def mmd2(a: Tensor, b: Tensor, bandwidth: float, kernel: str = "gaussian") -> Tensor:
    """The unbiased estimate of MMD²(a, b) (Gretton et al. 2012, eq. 3): (…, m, p), (…, n, p) -> (…). It may be < 0.

        gaussian                 k(u, v) = exp(−‖u − v‖² / (2h²))
        inverse_multiquadratic   k(u, v) = 1 / (1 + ‖u − v‖² / (2h²))

    It is 0 if m or n is 1, because there is no pair then.

    >>> import torch
    >>> a = torch.randn(300, 2)
    >>> bool(mmd2(a, torch.randn(400, 2), bandwidth=1.0) < 0.02 < mmd2(a, 2 + torch.randn(400, 2), bandwidth=1.0))
    True
    """
    m, n = a.shape[-2], b.shape[-2]
    if m < 2 or n < 2:
        return a.new_zeros(a.shape[:-2])
    within = _mean_of_pairs(a, bandwidth, kernel) + _mean_of_pairs(b, bandwidth, kernel)
    return within - 2 * _kernel(a, b, bandwidth, kernel).mean((-2, -1))


def _mean_of_pairs(a: Tensor, bandwidth: float, kernel: str) -> Tensor:
    """The mean of k(a_i, a_j) over i ≠ j."""
    n = a.shape[-2]
    return (_kernel(a, a, bandwidth, kernel).sum((-2, -1)) - n) / (n * (n - 1))  # k(u, u) = 1


def _kernel(a: Tensor, b: Tensor, bandwidth: float, kernel: str) -> Tensor:
    """(…, m, p), (…, n, p) -> (…, m, n)."""
    a, b = least_single(a), least_single(b)
    squares = a.square().sum(-1).unsqueeze(-1) + b.square().sum(-1).unsqueeze(-2) - 2 * a @ b.mT
    squares = squares.clamp(min=0) / (2 * bandwidth**2)
    return (-squares).exp() if kernel == "gaussian" else 1 / (1 + squares)
