"""The evidence lower bound, log p(t) ≥ ELBO, by its closed-form KL or by Monte Carlo alone.

Kingma & Welling 2014, arxiv.org/abs/1312.6114, eqs. 2-3; the tutorial's eqs. 7-9.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.distributions import kl_divergence

from vaelab.checks import check_choice, check_number, check_whole
from vaelab.objectives.gradients import ESTIMATORS
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE


@dataclass(frozen=True)
class _Bound:
    """The choices that both forms of the bound share.

    Args:
        samples: L, the number of z drawn per example.
        gradient: how the gradient reaches the encoder; see `vaelab.objectives.gradients`.
        beta: weight of the KL in the loss (Higgins et al. 2017, eq. 4); the reported ELBO keeps weight 1.

    Raises:
        ValueError: L is not a whole number of at least 1, the estimator is unknown or needs more samples, or β < 0.
    """

    samples: int = 1
    gradient: Literal["pathwise", "score_function", "score_function_baseline"] = "pathwise"
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_whole("objective.samples", self.samples, 1)
        check_number("objective.beta", self.beta, 0)
        check_choice("objective.gradient", self.gradient, ESTIMATORS)
        if self.gradient == "score_function_baseline" and self.samples < 2:
            raise ValueError(
                f"objective.samples={self.samples} is too few for objective.gradient=score_function_baseline, whose "
                "baseline is the mean of the other samples; use objective.samples=2 or more"
            )

    def _terms(self, log_likelihood: Tensor, kl: Tensor) -> Terms:
        return Terms(
            elbo=log_likelihood - kl,
            log_likelihood=log_likelihood,
            kl=kl,
            loss=self.beta * kl - log_likelihood,
        )


class ELBO(_Bound):
    """E_q[log p(t|z)] − KL(q(z|x) ‖ p(z)), the KL in closed form (the tutorial's eq. 9)."""

    def __call__(self, vae: VAE, x: Tensor, target: Tensor) -> Terms:
        """x (B, *x), target (B, *t) -> terms of (B,), nats."""
        estimator = ESTIMATORS[self.gradient]
        q = vae.encode(x)
        z = estimator.sample(q, self.samples)  # (L, B, p)
        log_pt_z = vae.log_likelihood(z, target)  # (L, B)
        kl = kl_divergence(q, vae.prior())  # (B,)
        return self._terms(estimator.mean(log_pt_z, q, z), kl)


class ELBOMonteCarlo(_Bound):
    """E_q[log p(t|z) + log p(z) − log q(z|x)], nothing in closed form (the tutorial's eq. 8).

    With q equal to the true posterior the integrand is constant and equals log p(t).
    """

    def __call__(self, vae: VAE, x: Tensor, target: Tensor) -> Terms:
        """x (B, *x), target (B, *t) -> terms of (B,), nats."""
        estimator = ESTIMATORS[self.gradient]
        q = vae.encode(x)
        z = estimator.sample(q, self.samples)  # (L, B, p)
        log_pt_z = vae.log_likelihood(z, target)  # (L, B)
        log_ratio = estimator.log_prob(q, z) - vae.prior().log_prob(z)  # (L, B), log q(z|x) − log p(z)
        return self._terms(estimator.mean(log_pt_z, q, z), estimator.mean(log_ratio, q, z))
