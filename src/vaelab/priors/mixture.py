"""A mixture with learned components as the prior."""

from typing import Any

import torch
from torch import nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from vaelab.checks import check_whole
from vaelab.families import Family, with_moments
from vaelab.short_repr import call_of


class MixturePrior(nn.Module):
    """p(z) = Σ_k π_k p_k(z): K distributions of one family, learned with the model together with their weights π.

    With `DiagonalGaussian` this is a Gaussian mixture, the prior that Tomczak & Welling 2018 (arxiv.org/abs/1705.07120,
    §4) compare the VampPrior with. The weights start equal, and the means at draws from N(0, I), so that no two
    components start alike. There is no closed-form KL, so conf/prior/mixture.yaml sets `kl: monte_carlo`.

    >>> from vaelab.families import DiagonalGaussian
    >>> prior = MixturePrior(DiagonalGaussian((3,), init_std=1.0), components=4)
    >>> prior().sample((7,)).shape, prior.numbers.shape
    (torch.Size([7, 3]), torch.Size([4, 6]))

    Args:
        family: a Gaussian family over (p,), such as `DiagonalGaussian` or `FullGaussian`.
        components: K.

    Raises:
        ValueError: K is not a whole number of at least 1, or the family is not Gaussian.
    """

    pure = True

    def __init__(self, family: Family, components: int = 10) -> None:
        super().__init__()
        self.family = family
        self.components = check_whole("prior.components", components, 1)
        means = torch.randn(components, *family.event_shape)
        if family.support != "real" or family.at_mean(means[0]) is None:
            raise ValueError(
                f"prior.family must be a Gaussian family, but is {type(family).__name__}; use "
                "vaelab.families.DiagonalGaussian or vaelab.families.FullGaussian"
            )
        self.logits = nn.Parameter(torch.zeros(components))
        numbers: Any = torch.vmap(family.at_mean)(means)
        self.numbers = nn.Parameter(numbers)  # (K, num_parameters)

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """The mixture, batch_shape (), event_shape (p,)."""
        weights = Categorical(logits=self.logits, validate_args=False)
        return with_moments(MixtureSameFamily(weights, self.family(self.numbers), validate_args=False))
