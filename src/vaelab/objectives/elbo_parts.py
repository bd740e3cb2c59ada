"""The two terms of the ELBO, and the draws behind them, for all objectives whose bound is the ELBO."""

from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaelab.objectives.gradients import Estimator, Pathwise
from vaelab.objectives.importance import weigh
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE

KLS = ("closed_form", "monte_carlo")
PATHWISE = Pathwise()


class ElboParts(NamedTuple):
    """The terms of the ELBO, each (B,), nats, and what they were computed from.

    Attributes:
        log_likelihood: (1/L) Σ_l log p(t|z_l).
        kl: KL(q(z|x) ‖ p(z)) or its estimate.
        q: q(z|x), batch_shape (B,).
        prior: p(z), batch_shape (), or p(z|c), batch_shape (B,).
        z: the draws, (L, B, p).
    """

    log_likelihood: Tensor
    kl: Tensor
    q: Distribution
    prior: Distribution
    z: Tensor

    def terms(self, penalty: Tensor) -> Terms:
        """The terms of an objective whose loss has a penalty, (B,) or (1,), in place of the KL."""
        elbo = self.log_likelihood - self.kl
        return Terms(elbo, self.log_likelihood, self.kl, bound=elbo, loss=penalty - self.log_likelihood)


def elbo_parts(
    vae: VAE,
    x: Tensor,
    target: Tensor,
    condition: Tensor | None,
    samples: int,
    kl: str,
    estimator: Estimator = PATHWISE,
) -> ElboParts:
    """x (B, *x), target (B, *t), condition (B, c) -> the parts of the ELBO, from L draws of z for each example.

    Args:
        vae: the model.
        x: what the encoder sees.
        target: what the decoder is scored on.
        condition: for a conditional model, else None.
        samples: L.
        kl: `closed_form` or `monte_carlo`.
        estimator: how the gradient reaches the encoder.
    """
    prior = vae.prior_given(condition)
    q, weighed = estimator.posterior(vae, x, condition)
    draws = estimator.draw(q, samples)  # z (L, B, p)
    if kl == "closed_form":
        log_likelihood = estimator.mean(vae.log_likelihood(draws.z, target, condition), draws)  # (B,)
        return ElboParts(log_likelihood, kl_divergence(q, prior), q, prior, draws.z)
    weights = weigh(vae, weighed, prior, draws, target, condition)  # (L, B)
    log_likelihood, log_ratio = (estimator.mean(each, draws) for each in weights)
    return ElboParts(log_likelihood, log_ratio, q, prior, draws.z)
