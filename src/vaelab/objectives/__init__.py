"""Bounds and gradient estimators: a VAE and data -> per-example terms in nats."""

from vaelab.objectives.elbo import ELBO, ELBOMonteCarlo
from vaelab.objectives.importance import Draws, LogWeights, draw, log_mean, weigh
from vaelab.objectives.iwae import IWAE
from vaelab.objectives.terms import Terms

__all__ = ["ELBO", "IWAE", "Draws", "ELBOMonteCarlo", "LogWeights", "Terms", "draw", "log_mean", "weigh"]
