"""Families of distributions: each maps numbers to a `torch.distributions.Distribution`."""

from vaelab.families.bernoulli import Bernoulli
from vaelab.families.family import Family, Support
from vaelab.families.flow import Flow
from vaelab.families.gaussian import (
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)
from vaelab.families.kl import closed_form_kl  # importing this module registers the closed forms
from vaelab.families.laplace import Laplace
from vaelab.families.marginals import is_product, marginals
from vaelab.families.moments import EstimatedMoments, rsample_and_log_prob, with_moments

__all__ = [
    "Bernoulli",
    "DiagonalGaussian",
    "EstimatedMoments",
    "Family",
    "Flow",
    "FullGaussian",
    "IdentityGaussian",
    "IsotropicGaussian",
    "Laplace",
    "SharedDiagonalGaussian",
    "Support",
    "closed_form_kl",
    "is_product",
    "marginals",
    "rsample_and_log_prob",
    "with_moments",
]
