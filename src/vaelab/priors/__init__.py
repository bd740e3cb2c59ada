"""p(z): modules that return a distribution over z."""

from vaelab.priors.conditional import ConditionalPrior
from vaelab.priors.discrete import DiscretePrior
from vaelab.priors.flow import FlowPrior
from vaelab.priors.gaussian import LearnedPrior, StandardNormal
from vaelab.priors.mixture import MixturePrior
from vaelab.priors.two_layers import TwoLayerPrior
from vaelab.priors.vamp import VampPrior

__all__ = [
    "ConditionalPrior",
    "DiscretePrior",
    "FlowPrior",
    "LearnedPrior",
    "MixturePrior",
    "StandardNormal",
    "TwoLayerPrior",
    "VampPrior",
]
