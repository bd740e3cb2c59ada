"""Experiments with variational autoencoders."""

from vaelab.conditional import Conditional
from vaelab.vae import VAE

__all__ = ["VAE", "Conditional"]
