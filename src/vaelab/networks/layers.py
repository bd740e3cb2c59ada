"""Fully connected layers, and the checks of their widths."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from vaelab.checks import check_choice, check_whole

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def check_widths(name: str, widths: Sequence[int], example: str, least: int = 0) -> tuple[int, ...]:
    """The widths as a tuple.

    Args:
        name: the key, such as `hidden`, for the errors.
        widths: the widths.
        example: a list that works, for the errors.
        least: how many there must be at least.

    Raises:
        ValueError: it is no list of at least `least` whole numbers of at least 1.
    """
    if not isinstance(widths, Sequence) or isinstance(widths, str) or len(widths) < least:
        raise ValueError(f"network.{name} must be a list of widths such as {example}, but is {widths}")
    for width in widths:
        check_whole(f"a width in network.{name}", width, 1)
    return tuple(widths)


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
