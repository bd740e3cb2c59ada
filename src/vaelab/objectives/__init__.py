"""Bounds and gradient estimators: a VAE and data -> per-example terms in nats."""

from vaelab.objectives.elbo import ELBO, ELBOMonteCarlo
from vaelab.objectives.terms import Terms

__all__ = ["ELBO", "ELBOMonteCarlo", "Terms"]
