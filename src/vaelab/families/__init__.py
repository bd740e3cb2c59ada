"""Families of distributions: each maps numbers to a `torch.distributions.Distribution`."""

from vaelab.families.bernoulli import Bernoulli
from vaelab.families.categorical import Categorical
from vaelab.families.columns import Columns
from vaelab.families.continuous_bernoulli import ContinuousBernoulli
from vaelab.families.discretized_logistic import DiscretizedLogistic
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
from vaelab.families.low_rank import LowRankGaussian
from vaelab.families.marginals import is_product, marginals
from vaelab.families.mixture import GaussianMixture
from vaelab.families.moments import EstimatedMoments, rsample_and_log_prob, with_moments
from vaelab.families.negative_binomial import NegativeBinomial
from vaelab.families.one_hot import OneHotCategorical
from vaelab.families.poisson import Poisson
from vaelab.families.student_t import StudentT
from vaelab.families.two_layers import TwoLayers

__all__ = [
    "Bernoulli",
    "Categorical",
    "Columns",
    "ContinuousBernoulli",
    "DiagonalGaussian",
    "DiscretizedLogistic",
    "EstimatedMoments",
    "Family",
    "Flow",
    "FullGaussian",
    "GaussianMixture",
    "IdentityGaussian",
    "IsotropicGaussian",
    "JointColumns",
    "Laplace",
    "LowRankGaussian",
    "NegativeBinomial",
    "OneHotCategorical",
    "Poisson",
    "SharedDiagonalGaussian",
    "StudentT",
    "Support",
    "TwoLayers",
    "closed_form_kl",
    "is_product",
    "marginals",
    "rsample_and_log_prob",
    "with_moments",
]
