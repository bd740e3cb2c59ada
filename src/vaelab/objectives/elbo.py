"""The evidence lower bound, log p(t) ≥ ELBO, with its KL in closed form or by Monte Carlo.

Kingma & Welling 2014, arxiv.org/abs/1312.6114, eqs. 2-3; the tutorial's eqs. 7-9.
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from vaelab.checks import check_choice, check_number, check_whole
from vaelab.objectives.beta_schedules import SCHEDULES
from vaelab.objectives.elbo_parts import KLS, ElboParts, elbo_parts
from vaelab.objectives.gradients import ESTIMATORS, Estimator, GradientName, check_draws, check_gradient
from vaelab.objectives.penalties import capacity_penalty, check_penalties, check_product, free_bits_penalty
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE

OF_MANY = ("dreg", "vimco")  # for one draw they are stl and score_function_baseline


@dataclass(frozen=True)
class ELBO:
    """E_q[log p(t|z)] − KL(q(z|x) ‖ p(z)) (the tutorial's eq. 9), or E_q[log p(t|z) + log p(z) − log q(z|x)] (eq. 8).

    With the KL by Monte Carlo, nothing needs a closed form. If q is the true posterior, every draw then gives the same
    value, log p(t).

    >>> import torch
    >>> from vaelab import VAE, families, networks, priors
    >>> vae = VAE.build(
    ...     (5,), families.DiagonalGaussian((3,)), families.Bernoulli((5,)), priors.StandardNormal((3,)), networks.MLP
    ... )
    >>> x = torch.ones(7, 5)
    >>> ELBO(samples=9)(vae, x, x).elbo.shape
    torch.Size([7])

    Args:
        samples: L, the number of z drawn per example.
        gradient: how the gradient reaches the encoder; see `vaelab.objectives.gradients`.
        beta: weight of the KL in the loss (Higgins et al. 2017, eq. 4); the reported ELBO keeps weight 1.
        kl: `closed_form` or `monte_carlo`.
        beta_schedule: how the weight rises to `beta` during a run; see `vaelab.objectives.beta_schedules`.
        warmup: the fraction of the run's steps, or of a cycle's, in which the weight rises.
        cycles: how often the weight rises, with `beta_schedule="cyclical"`.
        temperature: of `gradient="gumbel_softmax"`.
        free_bits: λ, nats per latent that cost nothing: the loss has β·Σ_j max(λ, batch mean of KL_j) in place of
            β·KL. It needs a posterior and a prior that are products over the latents.
        capacity: C, nats: the loss has γ·|batch mean of KL − C| in place of β·KL. The schedule raises C, not β.
        gamma: γ, the weight of that distance.

    Attributes:
        couples_examples: True if an example's loss depends on the others of its batch.
        loss_is_bound: False if the loss differs from −bound even after the schedule, as with β ≠ 1 or a penalty.

    Raises:
        ValueError: L is not a whole number of at least 1, the gradient estimator is unknown or needs more samples, the
            KL or the schedule is unknown, β < 0, the warm-up is not in (0, 1], there is no cycle, the temperature is
            not positive, or the free bits or the capacity are out of range or do not fit together.
    """

    pure = True

    samples: int = 1
    gradient: GradientName = "pathwise"
    beta: float = 1.0
    kl: Literal["closed_form", "monte_carlo"] = "closed_form"
    beta_schedule: Literal["constant", "linear", "cyclical"] = "constant"
    warmup: float = 0.25
    cycles: int = 4
    temperature: float = 0.5
    free_bits: float = 0.0
    capacity: float | None = None
    gamma: float = 100.0

    def __post_init__(self) -> None:
        check_whole("objective.samples", self.samples, 1)
        check_number("objective.beta", self.beta, 0)
        check_choice("objective.beta_schedule", self.beta_schedule, SCHEDULES)
        check_number("objective.warmup", self.warmup, 0, above=True, maximum=1)
        check_whole("objective.cycles", self.cycles, 1)
        check_choice("objective.kl", self.kl, KLS)
        check_penalties(self.free_bits, self.capacity, self.gamma, self.beta, self.kl)
        check_gradient(self.gradient, self.temperature, self.samples, without=OF_MANY)

    def check(self, vae: VAE) -> None:
        """Checks that the objective fits the model.

        Raises:
            ValueError: the gradient estimator cannot draw from the posterior or needs another KL, or free bits are set
                and the latents have no KL each.
        """
        check_draws(self.estimator, vae)
        if self.free_bits:
            check_product("objective.free_bits", vae)

    @property
    def estimator(self) -> Estimator:
        """The gradient estimator."""
        if self.gradient == "stl" and self.kl == "closed_form":
            raise ValueError(
                "objective.gradient must be pathwise for a KL in closed form, which has no score to leave out, but is "
                "stl; use objective.gradient=pathwise, or objective=elbo_monte_carlo"
            )
        return ESTIMATORS[self.gradient](self.temperature)

    def with_kl_by_monte_carlo(self) -> "ELBO":
        """The same bound with its KL by Monte Carlo."""
        return replace(self, kl="monte_carlo")

    @property
    def couples_examples(self) -> bool:
        """True if an example's loss depends on the others of its batch."""
        return self.free_bits > 0 or self.capacity is not None

    @property
    def loss_is_bound(self) -> bool:
        """True if the loss is −bound once a schedule has ended."""
        return self.beta == 1 and not self.couples_examples

    @property
    def is_scheduled(self) -> bool:
        """True if the weight of the KL changes during a run."""
        return self.beta_schedule != "constant"

    def beta_at(self, progress: float) -> float:
        """The weight of the KL when this fraction of the run's steps has been taken.

        >>> [ELBO(beta_schedule="linear", warmup=0.5).beta_at(progress) for progress in (0, 0.25, 0.5, 1)]
        [0.0, 0.5, 1.0, 1.0]
        """
        return self.beta * SCHEDULES[self.beta_schedule](progress, self.warmup, self.cycles)

    def __call__(
        self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None, beta: Tensor | None = None
    ) -> Terms:
        """x (B, *x), target (B, *t), condition (B, c) -> terms of (B,), nats.

        A run with a schedule passes the current weight of the KL as `beta`, (); None means the final one.
        """
        parts = elbo_parts(vae, x, target, condition, self.samples, self.kl, self.estimator)
        return parts.terms(self._penalty(parts, beta))

    def _penalty(self, parts: ElboParts, beta: Tensor | None) -> Tensor:
        """What the loss has besides −log p(t|z): (B,), or (1,) if all examples share it."""
        weight = self.beta if beta is None else beta
        if self.capacity is not None:  # then β = 1, so `weight` is the fraction of the capacity that is reached
            return capacity_penalty(parts.kl, weight * self.capacity, self.gamma)
        if self.free_bits:
            return weight * free_bits_penalty(parts.q, parts.prior, self.free_bits)
        return weight * parts.kl


@dataclass(frozen=True)
class ELBOMonteCarlo(ELBO):
    """`ELBO` with its KL by Monte Carlo: E_q[log p(t|z) + log p(z) − log q(z|x)] (the tutorial's eq. 8).

    >>> ELBOMonteCarlo(samples=3) == ELBOMonteCarlo(samples=3).with_kl_by_monte_carlo()
    True
    """

    pure = True

    kl: Literal["closed_form", "monte_carlo"] = "monte_carlo"
