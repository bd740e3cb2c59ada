"""One optimiser step, fast: torch alone, no Lightning."""

from vaelab.steps.gradient import Batch, Gradient, Objective, gradient
from vaelab.steps.stepper import Stepper

__all__ = ["Batch", "Gradient", "Objective", "Stepper", "gradient"]
