"""LightningDataModules that serve (x, target) batches."""

from vaelab.data.mnist import MNIST
from vaelab.data.sine import Sine

__all__ = ["MNIST", "Sine"]
