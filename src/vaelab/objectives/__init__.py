"""Bounds and gradient estimators: a VAE and data -> per-example terms in nats."""

from vaelab.objectives.beta_tc import BetaTC, total_correlation
from vaelab.objectives.ciwae import CIWAE
from vaelab.objectives.elbo import ELBO, ELBOMonteCarlo
from vaelab.objectives.importance import Draws, LogWeights, draw, log_mean, mean, weigh
from vaelab.objectives.info import InfoVAE, mmd2
from vaelab.objectives.iwae import IWAE
from vaelab.objectives.many_sample_bound import ManySampleBound
from vaelab.objectives.minibatch_penalty import MinibatchPenalty
from vaelab.objectives.miwae import MIWAE
from vaelab.objectives.piwae import PIWAE
from vaelab.objectives.renyi import Renyi
from vaelab.objectives.terms import Terms

__all__ = [
    "CIWAE",
    "ELBO",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "BetaTC",
    "Draws",
    "ELBOMonteCarlo",
    "InfoVAE",
    "LogWeights",
    "ManySampleBound",
    "MinibatchPenalty",
    "Renyi",
    "Terms",
    "draw",
    "log_mean",
    "mean",
    "mmd2",
    "total_correlation",
    "weigh",
]
