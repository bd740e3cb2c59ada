"""Fully connected layers, and their activations."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from vaelab.checks import check_choice

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def activation_of(name: str) -> type[nn.Module]:
    """The activation with a name.

    Raises:
        ValueError: there is none.
    """
    return ACTIVATIONS[check_choice("network.activation", name, ACTIVATIONS)]


def hidden_layers(widths: Sequence[int], activation: Callable[[], nn.Module], factor: int = 1) -> list[nn.Module]:
    """Linear layers from each width to `factor` times the next, with an activation after each."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, factor * outputs), activation()]
    return layers
