"""The base class of the objectives whose loss has a penalty that a minibatch estimates."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from vaelab.checks import check_choice, check_whole
from vaelab.objectives.elbo_parts import KLS, ElboParts, elbo_parts
from vaelab.objectives.groups import in_groups
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE


@dataclass(frozen=True, kw_only=True)
class MinibatchPenalty:
    """loss = −E_q[log p(t|z)] + a penalty in place of the KL. A subclass says what the penalty is: see `BetaTC`.

    All examples of a minibatch estimate the penalty together. Larger batches, as in validation, are scored in groups of
    about `batch_size` examples. The terms `elbo` and `bound` are the ELBO.

    >>> class Deviation(MinibatchPenalty):
    ...     def penalty(self, parts):
    ...         return parts.kl.mean() + 9 * parts.z.mean((0, 1)).square().sum(0, keepdim=True)
    >>> Deviation(samples=3).batch_size
    100

    Args:
        samples: L, the number of z drawn per example.
        batch_size: M, the examples that estimate the penalty together.
        kl: how KL(q(z|x) ‖ p(z)) is computed: `closed_form` or `monte_carlo`.

    Raises:
        ValueError: a size is not a whole number of at least 1, or the KL is unknown.
    """

    couples_examples = True  # an example's loss depends on the others of its batch

    samples: int = 1
    batch_size: int = 100
    kl: Literal["closed_form", "monte_carlo"] = "closed_form"

    def __post_init__(self) -> None:
        check_whole("objective.samples", self.samples, 1)
        check_whole("objective.batch_size", self.batch_size, 1)
        check_choice("objective.kl", self.kl, KLS)

    def with_kl_by_monte_carlo(self) -> "MinibatchPenalty":
        """The same objective with its KL by Monte Carlo."""
        return replace(self, kl="monte_carlo")

    def penalty(self, parts: ElboParts) -> Tensor:
        """The penalty of each example, (B,), or of all examples of a group together, (1,): nats."""
        raise NotImplementedError(f"{type(self).__name__} must define penalty(parts)")

    def __call__(self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> Terms:
        """x (B, *x), target (B, *t), condition (B, c) -> terms of (B,), nats."""
        return in_groups(partial(self._of_group, vae), self.batch_size, x, target, condition)

    def _of_group(self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> Terms:
        parts = elbo_parts(vae, x, target, condition, self.samples, self.kl)
        return parts.terms(self.penalty(parts))
