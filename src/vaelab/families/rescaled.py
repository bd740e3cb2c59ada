"""Distributions in other units: t = loc + scale·u for a distribution of u. By the change of variables,

log p(t) = log p_u((t − loc) / scale) − Σ log scale      in nats
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.precision import floating


def rescaled(u: Distribution, loc: Tensor, scale: Tensor) -> Distribution:
    """The distribution of t = loc + scale·u. A Gaussian stays one, so closed forms keep working.

    A distribution may have a method `rescaled(loc, scale)` that knows how. `Rescaled` does it for all others.

    >>> from vaelab.families.normals import DiagonalNormal
    >>> u = DiagonalNormal(torch.distributions.Normal(torch.zeros(7, 3), 1.0), 1)
    >>> t = rescaled(u, torch.full((3,), 50.0), torch.full((3,), 20.0))
    >>> t.mean[0], t.stddev[0]
    (tensor([50., 50., 50.]), tensor([20., 20., 20.]))

    Args:
        u: batch_shape (…), event_shape (*t).
        loc: the shift, (*t).
        scale: the positive factors, (*t).
    """
    own: Any = getattr(u, "rescaled", None)
    made: Distribution = Rescaled(u, loc, scale) if own is None else own(loc, scale)
    return made


class Rescaled(Distribution):
    """The distribution of t = loc + scale·u for any distribution of u over real numbers.

    Attributes:
        moments_by: how the mean and the variance of u were computed, if they have no closed form.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, u: Distribution, loc: Tensor, scale: Tensor) -> None:
        self.u, self.loc, self.scale = u, loc, scale
        self.has_rsample = u.has_rsample
        if hasattr(u, "moments_by"):
            self.moments_by = u.moments_by
        super().__init__(u.batch_shape, u.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…, *event_shape)."""
        return self.loc + self.scale * self.u.mean

    @property
    def variance(self) -> Tensor:
        """(…, *event_shape)."""
        return self.scale.square() * self.u.variance

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape), without a gradient."""
        return self.loc + self.scale * self.u.sample(torch.Size(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape)."""
        return self.loc + self.scale * self.u.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        u = (floating(value, self.loc) - self.loc) / self.scale
        return self.u.log_prob(u) - self.scale.log().sum()
