"""Gaussian priors, fixed or learned."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vaelab.families import Family
from vaelab.families.normals import DiagonalNormal
from vaelab.short_repr import call_of


class StandardNormal(nn.Module):
    """p(z) = N(0, I) (the tutorial's eqs. 16-18).

    >>> StandardNormal((3,))().sample((7,)).shape
    torch.Size([7, 3])

    Args:
        event_shape: (p,), the shape of z.
    """

    pure = True

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.register_buffer("zeros", torch.zeros(*event_shape), persistent=False)
        self.zeros: Tensor

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """N(0, I), batch_shape ()."""
        normal = Normal(self.zeros, torch.ones_like(self.zeros), validate_args=False)
        return DiagonalNormal(normal, self.zeros.dim(), validate_args=False)


class LearnedPrior(nn.Module):
    """p(z) = N(μ₃, Σ₃), learned with the model (the tutorial's eq. 12). The family's numbers are its parameters.

    All numbers start at 0. If the family has init_std = 1, the prior then starts as N(0, I), up to the floor.

    >>> from vaelab.families import FullGaussian
    >>> prior = LearnedPrior(FullGaussian((3,), init_std=1.0))
    >>> prior().mean, prior.numbers.shape
    (tensor([0., 0., 0.], grad_fn=<ExpandBackward0>), torch.Size([9]))

    Args:
        family: a family over (p,): `DiagonalGaussian` or `FullGaussian`.
    """

    pure = True

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        self.numbers = nn.Parameter(torch.zeros(family.num_parameters))

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """N(μ₃, Σ₃), batch_shape ()."""
        return self.family(self.numbers)
