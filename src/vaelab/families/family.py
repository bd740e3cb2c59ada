"""What every family is: numbers in, a distribution out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.checks import check_whole

Support = Literal["binary", "unit_interval", "real"]


class Family(nn.Module, ABC):
    """Maps numbers to a distribution; encoder and decoder use the same families.

    >>> class Poisson(Family):
    ...     pure, support = True, "real"
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
        support: which data the density scores: `binary`, `unit_interval` or `real`.
        pure: declare `pure = True` in your own class if `forward` depends on its parameters and its input alone; then
            training may trace the gradient once and replay it. A subclass has to declare it again.

    Raises:
        ValueError: a size in `event_shape` is not a whole number of at least 1.
    """

    support: ClassVar[Support]
    num_parameters: int

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        if not event_shape:
            raise ValueError("event_shape must have at least one dimension, such as (1,), but is ()")
        for size in event_shape:
            check_whole("a size in event_shape", size, 1)
        self.event_shape = torch.Size(event_shape)
        self.event_size = math.prod(event_shape)

    @abstractmethod
    def forward(self, parameters: Tensor) -> Distribution:
        """(…, num_parameters) -> a distribution with batch_shape (…) and event_shape `event_shape`."""

    def at_mean(self, mean: Tensor) -> Tensor | None:
        """Numbers to start a decoder's output at, (num_parameters,), given the data's mean; None for 0.

        Args:
            mean: of the training targets, event_shape.
        """
        return None
