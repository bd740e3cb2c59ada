"""Numbers -> `torch.distributions.Distribution`."""

from vaelab.families import kl as kl  # registers the closed-form KLs
from vaelab.families.bernoulli import Bernoulli
from vaelab.families.family import Family, Support
from vaelab.families.gaussian import (
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)

__all__ = [
    "Bernoulli",
    "DiagonalGaussian",
    "Family",
    "FullGaussian",
    "IdentityGaussian",
    "IsotropicGaussian",
    "SharedDiagonalGaussian",
    "Support",
]
