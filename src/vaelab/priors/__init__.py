"""p(z): modules that return a distribution over z."""

from vaelab.priors.discrete import DiscretePrior
from vaelab.priors.gaussian import LearnedPrior, StandardNormal
from vaelab.priors.vamp import VampPrior

__all__ = ["DiscretePrior", "LearnedPrior", "StandardNormal", "VampPrior"]
