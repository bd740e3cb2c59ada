"""Fast optimiser steps, in plain torch without Lightning."""

from vaelab.steps.gradient import Batch, Gradient, Objective, gradient, is_scheduled
from vaelab.steps.stepper import Stepper

__all__ = ["Batch", "Gradient", "Objective", "Stepper", "gradient", "is_scheduled"]
