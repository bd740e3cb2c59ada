"""The mean and the standard deviation of the training data, as part of a model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.families.rescaled import rescaled
from vaelab.precision import floating
from vaelab.short_repr import call_of


class Standardization(nn.Module):
    """u = (t − loc) / scale, with a location and a positive scale for each number of t.

    A network then works on numbers of about the size of 1, but everything that you see stays in the units of the data:
    the encoder takes x as it is in the file, and log p(t|z) is the density of t as it is in the file.

    >>> units = Standardization((3,))
    >>> units.start_at(torch.full((3,), 50.0), torch.full((3,), 20.0))
    >>> units(torch.full((7, 3), 90.0))[0]
    tensor([2., 2., 2.])

    Args:
        event_shape: the shape of one t. Until `start_at`, loc is 0 and scale is 1.
    """

    pure = True

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.register_buffer("loc", torch.zeros(self.event_shape))
        self.register_buffer("scale", torch.ones(self.event_shape))
        self.loc: Tensor
        self.scale: Tensor

    def __repr__(self) -> str:
        return call_of(self)

    @torch.no_grad()
    def start_at(self, loc: Tensor, scale: Tensor) -> None:
        """Sets the location and the scale, each event_shape.

        Raises:
            ValueError: a scale is not positive.
        """
        if not bool((scale > 0).all()):
            raise ValueError(f"every scale must be positive, but one is {scale.min().item():g}; use 1 for a constant")
        self.loc.copy_(loc)
        self.scale.copy_(scale)

    def forward(self, t: Tensor) -> Tensor:
        """t (…, *event_shape) of any real dtype -> u of the same shape."""
        return (floating(t, self.loc) - self.loc) / self.scale

    def undo(self, u: Tensor) -> Tensor:
        """u (…, *event_shape) -> t of the same shape."""
        return self.loc + self.scale * u

    def rescale(self, u: Distribution) -> Distribution:
        """The distribution of u -> the distribution of t."""
        return rescaled(u, self.loc, self.scale)
