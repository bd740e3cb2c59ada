"""Bounds and gradient estimators: a VAE and data -> per-example terms in nats."""

from vaelab.objectives.elbo import ELBO, ELBOMonteCarlo
from vaelab.objectives.importance import LogWeights, log_mean, weigh
from vaelab.objectives.iwae import IWAE
from vaelab.objectives.terms import Terms

__all__ = ["ELBO", "IWAE", "ELBOMonteCarlo", "LogWeights", "Terms", "log_mean", "weigh"]
