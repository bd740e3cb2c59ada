"""Tensor -> tensor: pure functions of their parameters and their input."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

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
    """h = tanh(W₁ x + b₁), output = W₂ h + b₂: fully connected, as many hidden layers as `hidden` has widths.

    The tutorial's eqs. 28 and 30-32: the one output layer holds W₄ and W₅ stacked.

    Args:
        input_shape: the shape of one example; it is flattened.
        output_size: how many numbers come out.
        hidden: the widths of the hidden layers; an empty list is a linear map.
        activation: one of `tanh relu elu gelu silu softplus`.

    Raises:
        ValueError: a width is not a whole number of at least 1, or the activation is unknown.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        hidden: Sequence[int] = (128,),
        activation: Literal["tanh", "relu", "elu", "gelu", "silu", "softplus"] = "tanh",
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence) or isinstance(hidden, str):
            raise ValueError(f"network.hidden must be a list of widths such as [500], but is {hidden}")
        for width in hidden:
            check_whole("a width in network.hidden", width, 1)
        check_choice("network.activation", activation, ACTIVATIONS)
        self.input_dims = len(input_shape)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([math.prod(input_shape), *hidden]):
            layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear([math.prod(input_shape), *hidden][-1], output_size))

    def forward(self, x: Tensor) -> Tensor:
        """(…, *input_shape) of any real dtype -> (…, output_size), in the dtype of the weights."""
        first: Any = self.layers[0]
        return self.layers(floating(x, first.weight).to(first.weight.dtype).flatten(-self.input_dims))

    @property
    def bias(self) -> nn.Parameter:
        """b of the output layer, (output_size,): what comes out where the last hidden layer is 0."""
        output: Any = self.layers[-1]
        return output.bias
