"""p(z): modules that return a distribution over z."""

from vaelab.priors.conditional import ConditionalPrior
from vaelab.priors.gaussian import LearnedPrior, StandardNormal
from vaelab.priors.vamp import VampPrior

__all__ = ["ConditionalPrior", "LearnedPrior", "StandardNormal", "VampPrior"]
