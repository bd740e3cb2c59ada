"""Families of distributions: each maps numbers to a `torch.distributions.Distribution`."""

from vaelab.families.bernoulli import Bernoulli
from vaelab.families.columns import Columns
from vaelab.families.family import Family, Support
from vaelab.families.flow import Flow
from vaelab.families.gaussian import (
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)
from vaelab.families.joint_columns import JointColumns
from vaelab.families.kl import closed_form_kl  # importing this module registers the closed forms
from vaelab.families.laplace import Laplace
from vaelab.families.moments import EstimatedMoments, rsample_and_log_prob, with_moments

__all__ = [
    "Bernoulli",
    "Columns",
    "DiagonalGaussian",
    "EstimatedMoments",
    "Family",
    "Flow",
    "FullGaussian",
    "IdentityGaussian",
    "IsotropicGaussian",
    "JointColumns",
    "Laplace",
    "SharedDiagonalGaussian",
    "Support",
    "closed_form_kl",
    "rsample_and_log_prob",
    "with_moments",
]
