"""A prior with two layers of latents."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vaelab.checks import check_widths
from vaelab.families import with_moments
from vaelab.families.normals import DiagonalNormal
from vaelab.families.two_layers import Chain, gaussian_given, sizes_of
from vaelab.short_repr import call_of


class TwoLayerPrior(nn.Module):
    """p(z₁, z₂) = p(z₂) p(z₁|z₂), with p(z₂) = N(0, I) and a network that gives the Gaussian p(z₁|z₂).

    Burda et al. 2016, arxiv.org/abs/1509.00519, §2, eq. 1. See `vaelab.families.TwoLayers` for the posterior.

    >>> prior = TwoLayerPrior((5,), top=2)
    >>> prior().sample((7,)).shape
    torch.Size([7, 5])

    Args:
        event_shape: (p₁ + p₂,). z holds z₁, and then z₂.
        top: p₂, the size of z₂.
        hidden: the widths of the tanh layers between z₂ and z₁.
        min_std: the floor of σ.

    Raises:
        ValueError: a number is out of range, or z₁ or z₂ has no latent.
    """

    pure = True

    def __init__(
        self, event_shape: Sequence[int], top: int = 1, hidden: Sequence[int] = (64,), min_std: float = 1e-4
    ) -> None:
        super().__init__()
        self.hidden = list(check_widths("prior.hidden", hidden, "[64]"))
        self.event_shape, self.top, self.min_std = tuple(event_shape), top, min_std
        self.sizes = bottom, _ = sizes_of("prior", self.event_shape, top)
        self.then = gaussian_given("prior", top, bottom, hidden, min_std)
        self.register_buffer("zeros", torch.zeros(top), persistent=False)
        self.zeros: Tensor

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """p(z₂) p(z₁|z₂), batch_shape (), event_shape (p₁ + p₂,)."""
        normal = Normal(self.zeros, torch.ones_like(self.zeros), validate_args=False)
        first = DiagonalNormal(normal, 1, validate_args=False)
        return with_moments(Chain(first, self.then, self.sizes, downwards=True))
