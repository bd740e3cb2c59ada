"""Categorical latents: several variables with K classes each, as one-hot vectors that are joined into one."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl
from torch.distributions.constraints import Constraint

from vaelab.checks import check_whole
from vaelab.families.family import Family, Support
from vaelab.families.relaxed_draws import gumbel_noise, one_hot_of_largest, straight_through
from vaelab.precision import floating


class OneHots(Distribution):
    """d independent variables with K classes each: q(z) = Π_j π_{j, z_j}, with z as d one-hot vectors, joined.

    >>> q = OneHots(torch.zeros(7, 2, 3))
    >>> q.event_shape, q.sample().unflatten(-1, (2, 3)).sum(-1).unique()
    (torch.Size([6]), tensor([1.]))

    Args:
        logits: (…, d, K), log π up to a constant for each variable.

    Attributes:
        logits: log π, (…, d, K).
        classes: K.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits.log_softmax(-1)
        self.classes = logits.shape[-1]
        super().__init__(logits.shape[:-2], torch.Size((logits.shape[-2:].numel(),)), validate_args=False)

    @property
    def probs(self) -> Tensor:
        """π, (…, d, K)."""
        return self.logits.exp()

    @property
    def mean(self) -> Tensor:
        """π, (…, d·K)."""
        return self.probs.flatten(-2)

    @property
    def variance(self) -> Tensor:
        """π (1 − π), (…, d·K)."""
        return self.mean * (1 - self.mean)

    @property
    def mode(self) -> Tensor:
        """The likeliest class of each variable, one-hot, (…, d·K)."""
        return one_hot_of_largest(self.logits).flatten(-2)

    def entropy(self) -> Tensor:
        """(…), nats."""
        return -(self.probs * self.logits).sum((-2, -1))

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, d·K), of zeros and ones."""
        return one_hot_of_largest(self._scores(sample_shape)).flatten(-2).to(self.logits.dtype)

    def relaxed_rsample(self, sample_shape: Sequence[int], temperature: float) -> Tensor:
        """Straight-through Gumbel-softmax: draws, with the gradient of softmax((log π + Gumbel noise) / temperature).

        Jang et al. 2017, arxiv.org/abs/1611.01144, §2.2; Maddison et al. 2017, arxiv.org/abs/1611.00712, §3.

        Args:
            sample_shape: the shape before the batch.
            temperature: τ > 0.
        """
        scores = self._scores(sample_shape)
        z = straight_through(one_hot_of_largest(scores), (scores / temperature).softmax(-1))
        return z.flatten(-2).to(self.logits.dtype)

    def _scores(self, sample_shape: Sequence[int]) -> Tensor:
        return self.logits + gumbel_noise(torch.Size(sample_shape) + self.logits.shape, self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, d·K) -> (…), nats. It is a log-probability if the value is one-hot for each variable."""
        return (floating(value, self.logits).unflatten(-1, self.logits.shape[-2:]) * self.logits).sum((-2, -1))


@register_kl(OneHots, OneHots)
def _kl_one_hots(q: OneHots, p: OneHots) -> Tensor:
    """Σ_j Σ_k π_jk (log π_jk − log ρ_jk)."""
    return (q.probs * (q.logits - p.logits)).sum((-2, -1))


class OneHotCategorical(Family):
    """q(z|x) or p(z) over `latent_dim` categorical variables with K classes each, as one-hot vectors joined into one.

    There is no reparameterised draw, so training needs a gradient for discrete latents: the score function, or
    Gumbel-softmax (`objective.gradient`).

    >>> q = OneHotCategorical(latent_dim=2, categories=3)(torch.zeros(7, 6))
    >>> q.mean.shape, q.mean.unique()
    (torch.Size([7, 6]), tensor([0.3333]))

    Args:
        latent_dim: d, the number of variables.
        categories: K, the number of classes of each variable.

    Raises:
        ValueError: there is no variable, or fewer than two classes.
    """

    pure = True
    support: ClassVar[Support] = "category"

    def __init__(self, latent_dim: int, categories: int) -> None:
        check_whole("latent_dim", latent_dim, 1)
        check_whole("posterior.categories", categories, 2)
        super().__init__((latent_dim * categories,))
        self.latent_dim, self.categories = latent_dim, categories
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, d·K) logits -> the variables, batch_shape (…)."""
        return OneHots(parameters.unflatten(-1, (self.latent_dim, self.categories)))
