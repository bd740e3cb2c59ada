"""A distribution over vectors, reshaped into a distribution over images."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.families.rescaled import rescaled


class Reshaped(Distribution):
    """The distribution `base` over vectors of k numbers, with each draw reshaped to `event_shape`.

    Reshaping has Jacobian 1, so the density, in nats, is the density of `base`.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, base: Distribution, event_shape: Sequence[int]) -> None:
        self.base = base
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, torch.Size(event_shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…, *event_shape)."""
        return self.base.mean.unflatten(-1, self.event_shape)

    @property
    def variance(self) -> Tensor:
        """(…, *event_shape): the diagonal of the covariance."""
        return self.base.variance.unflatten(-1, self.event_shape)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape)."""
        return self.base.rsample(torch.Size(sample_shape)).unflatten(-1, self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        return self.base.log_prob(value.flatten(-len(self.event_shape)))

    def rescaled(self, loc: Tensor, scale: Tensor) -> "Reshaped":
        """The distribution of loc + scale·t, with loc and scale in the event's shape."""
        return Reshaped(rescaled(self.base, loc.flatten(), scale.flatten()), self.event_shape)

    def entropy(self) -> Tensor:
        """(…), nats."""
        return self.base.entropy()
