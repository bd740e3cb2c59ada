"""The base class of the bounds on log p(t) that average the weights of many draws of z."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.checks import check_whole
from vaelab.objectives.gradients import ESTIMATORS, Estimator, GradientName, check_draws, check_gradient
from vaelab.objectives.importance import Draws, LogWeights, mean, weigh
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE


@dataclass(frozen=True)
class ManySampleBound:
    """E[b(log w_1, …, log w_K)], w = p(t|z) p(z) / q(z|x), with z_k ~ q(z|x). A subclass says what b is: see `IWAE`.

    The terms `bound` and `−loss` are b, and the others are means over the same draws.

    Args:
        samples: K, the number of z drawn per example.
        gradient: how the gradient reaches the encoder; see `vaelab.objectives.gradients`.
        temperature: of `gradient="gumbel_softmax"`.

    Raises:
        ValueError: K is not a whole number of at least 1, the gradient estimator is unknown or needs more samples, or
            the temperature is not positive.

    >>> log_w = torch.tensor([1.0, 3.0]).log()
    >>> from vaelab.objectives import IWAE
    >>> round(IWAE().bound(log_w).exp().item(), 4)
    2.0
    """

    samples: int = 5
    gradient: GradientName = "pathwise"
    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_whole("objective.samples", self.samples, 1)
        check_gradient(self.gradient, self.temperature, self.samples)

    def check(self, vae: VAE) -> None:
        """Raises a ValueError if the gradient estimator does not fit the bound, or the model's posterior."""
        check_draws(self.estimator, vae)
        if self.gradient == "dreg":
            self.path_scale(torch.zeros(2, 1))

    @property
    def estimator(self) -> Estimator:
        """The gradient estimator."""
        return ESTIMATORS[self.gradient](self.temperature)

    @property
    def draws(self) -> int:
        """How many z are drawn per example."""
        return self.samples

    def bound(self, log_w: Tensor, log_share: Tensor | None = None) -> Tensor:
        """b: (K, …) -> (…), nats; `log_share` is that of `Draws`."""
        raise NotImplementedError(f"{type(self).__name__} must define bound(log_w, log_share)")

    def path_scale(self, log_w: Tensor) -> Tensor:
        """c_k/a_k, (K, …), with a_k = ∂b/∂log w_k and c_k = a_k − ∂a_k/∂log w_k, for `gradient="dreg"`."""
        raise ValueError(
            f"objective.gradient must be another than dreg, because {type(self).__name__} does not define path_scale; "
            "use objective.gradient=pathwise"
        )

    def __call__(self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> Terms:
        """x (B, *x), target (B, *t), condition (B, c) -> terms of (B,), nats."""
        q, weighed = self.estimator.posterior(vae, x, condition)
        draws = self.estimator.draw(q, self.draws)
        weights = weigh(vae, weighed, vae.prior_given(condition), draws, target, condition)  # (K, B)
        return self._terms(weights, draws, self._estimate(weights.log_w, draws))

    def _estimate(self, log_w: Tensor, draws: Draws) -> Tensor:
        """log w, (K, B) -> b, (B,), with the chosen gradient for the encoder."""
        return self.estimator.bound(self.bound, self.path_scale, log_w, draws)

    def _terms(self, weights: LogWeights, draws: Draws, bound: Tensor) -> Terms:
        return Terms(
            elbo=mean(weights.log_w, draws.log_share),
            log_likelihood=mean(weights.log_likelihood, draws.log_share),
            kl=mean(weights.log_ratio, draws.log_share),
            bound=bound,
            loss=-bound,
        )
