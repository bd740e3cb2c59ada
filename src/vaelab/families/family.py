"""The base class of all families: numbers in, a distribution out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.checks import check_whole
from vaelab.families.maximum_likelihood import numerical_optimum
from vaelab.short_repr import call_of

Support = Literal["binary", "unit_interval", "real", "count", "levels", "category", "mixed"]


class Family(nn.Module, ABC):
    """Maps numbers to a distribution. Encoders and decoders use the same families.

    >>> class Poisson(Family):
    ...     pure, support = True, "count"
    ...
    ...     def __init__(self, event_shape):
    ...         super().__init__(event_shape)
    ...         self.num_parameters = self.event_size
    ...
    ...     def forward(self, parameters):
    ...         rate = parameters.exp().unflatten(-1, self.event_shape)
    ...         return torch.distributions.Independent(torch.distributions.Poisson(rate), len(self.event_shape))
    >>> Poisson((3, 5))(torch.zeros(7, 15)).batch_shape
    torch.Size([7])

    Attributes:
        event_shape: the shape of one draw: (p,) for a posterior, the target's for a likelihood.
        num_parameters: how many numbers describe one distribution.
        support: the data that it can score: `binary` (0 or 1), `unit_interval`, `real`, `count` (whole numbers from 0),
            `levels` (grey values k/(g−1) with k = 0, …, g−1), `category` (whole numbers from 0 to K−1), or `mixed` (a
            kind for each column).
        couples_examples: True if the density of an example in training depends on the others of its batch.
        pure: set `pure = True` in your own class if `forward` depends only on its parameters and its input. Training
            may then trace the gradient once and replay it. A subclass must set it again.

    Raises:
        ValueError: a size in `event_shape` is not a whole number of at least 1.
    """

    support: ClassVar[Support]
    num_parameters: int
    couples_examples: bool = False

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        if not event_shape:
            raise ValueError("event_shape must have at least one dimension, such as (1,), but is ()")
        for size in event_shape:
            check_whole("a size in event_shape", size, 1)
        self.event_shape = torch.Size(event_shape)
        self.event_size = math.prod(event_shape)

    def __repr__(self) -> str:
        return call_of(self)

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution:
        """(…, num_parameters) -> a distribution with batch_shape (…) and event_shape `event_shape`."""

    def at_mean(self, mean: Tensor) -> Tensor | None:
        """The numbers at which a decoder's output starts, (num_parameters,), given the data's mean; None means zeros.

        Args:
            mean: the mean of the training targets, event_shape.
        """
        return None

    @torch.no_grad()
    def fit_(self, target: Tensor) -> Tensor:
        """Maximises the likelihood of targets under one distribution of the family, the same for all of them.

        Sets the family's own parameters, if it has any, and returns the numbers of that distribution,
        (num_parameters,), float64. The family must be in float64. Without a closed form, this is a numerical optimum,
        which may be a local one.

        Args:
            target: (n, *event_shape), with n at least 1.
        """
        start = self.at_mean(target.double().mean(0))
        return numerical_optimum(self, torch.zeros(self.num_parameters) if start is None else start, target)
