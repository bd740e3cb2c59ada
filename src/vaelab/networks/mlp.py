"""Fully connected networks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vaelab.checks import check_choice, check_whole
from vaelab.precision import floating

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


class MLP(nn.Module):
    """A fully connected network, h = tanh(W₁ x + b₁), output = W₂ h + b₂, with one hidden layer per width in `hidden`.

    See the tutorial's eqs. 28 and 30-32: one output layer holds W₄ and W₅ stacked. A condition c is appended to x.

    >>> MLP((3, 5), 4, hidden=[11, 13])(torch.zeros(7, 3, 5)).shape
    torch.Size([7, 4])

    Args:
        input_shape: the shape of one example, which is flattened.
        output_size: the number of outputs.
        hidden: the widths of the hidden layers; an empty list gives a linear map.
        activation: one of `tanh relu elu gelu silu softplus`.
        condition_size: how many numbers the condition has; 0 for a network without a condition.

    Raises:
        ValueError: a width is not a whole number of at least 1, or the activation is unknown.
    """

    pure = True

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        hidden: Sequence[int] = (64, 64),
        activation: Literal["tanh", "relu", "elu", "gelu", "silu", "softplus"] = "tanh",
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence) or isinstance(hidden, str):
            raise ValueError(f"network.hidden must be a list of widths such as [500], but is {hidden}")
        for width in hidden:
            check_whole("a width in network.hidden", width, 1)
        check_choice("network.activation", activation, ACTIVATIONS)
        self.input_shape, self.output_size = tuple(input_shape), output_size
        self.hidden, self.activation = tuple(hidden), activation
        self.condition_size = check_whole("condition_size", condition_size, 0)
        widths = [math.prod(input_shape) + condition_size, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], output_size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *input_shape) of any real dtype, condition (…, c) -> (…, output_size), in the dtype of the weights.

        The condition's leading dimensions may be fewer: (B, c) beside z (L, B, p).

        Raises:
            ValueError: the network takes no condition but gets one, needs one but gets none, or gets one whose shape
                does not fit.
        """
        first: Any = self.layers[0]
        flat = floating(x, first.weight).to(first.weight.dtype).flatten(-len(self.input_shape))
        if condition is None and not self.condition_size:
            return self.layers(flat)
        if condition is None or condition.shape[-1] != self.condition_size:
            found = "there is none" if condition is None else f"its shape is {tuple(condition.shape)}"
            needed = f"have the shape (…, {self.condition_size})" if self.condition_size else "be left out"
            raise ValueError(f"condition must {needed}, but {found}; pass the condition that the model was built for")
        leading = flat.shape[:-1]
        if condition.shape[:-1] not in (leading[skipped:] for skipped in range(len(leading) + 1)):
            raise ValueError(
                f"condition must fit the leading dimensions {tuple(leading)} of the network's input, but has the shape "
                f"{tuple(condition.shape)}; give one condition for each example"
            )
        given = floating(condition, first.weight).to(first.weight.dtype)
        return self.layers(torch.cat([flat, given.expand(*leading, -1)], dim=-1))

    @property
    def bias(self) -> nn.Parameter:
        """b of the output layer, (output_size,): the output if the last hidden layer is 0."""
        output: Any = self.layers[-1]
        return output.bias
