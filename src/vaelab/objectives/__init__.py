"""Bounds and gradient estimators: a VAE and data -> per-example terms in nats."""

from vaelab.objectives.beta_tc import BetaTC, total_correlation
from vaelab.objectives.elbo import ELBO, ELBOMonteCarlo
from vaelab.objectives.importance import Draws, LogWeights, draw, log_mean, weigh
from vaelab.objectives.info import InfoVAE, mmd2
from vaelab.objectives.iwae import IWAE
from vaelab.objectives.terms import Terms

__all__ = [
    "ELBO",
    "IWAE",
    "BetaTC",
    "Draws",
    "ELBOMonteCarlo",
    "InfoVAE",
    "LogWeights",
    "Terms",
    "draw",
    "log_mean",
    "mmd2",
    "total_correlation",
    "weigh",
]
