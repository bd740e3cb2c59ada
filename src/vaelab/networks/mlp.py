"""Fully connected networks."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from vaelab.checks import check_whole, check_widths
from vaelab.networks.condition import in_dtype_of, with_condition
from vaelab.networks.layers import activation_of, hidden_layers


class MLP(nn.Module):
    """A fully connected network, h = tanh(W₁ x + b₁), output = W₂ h + b₂, with one hidden layer per width in `hidden`.

    See the tutorial's eqs. 28 and 30-32: one output layer holds W₄ and W₅ stacked. A condition c is appended to x.

    >>> import torch
    >>> MLP((3, 5), 4, hidden=[11, 13])(torch.zeros(7, 3, 5)).shape
    torch.Size([7, 4])

    Args:
        input_shape: the shape of one example, which is flattened.
        output_size: the number of outputs.
        hidden: the widths of the hidden layers; an empty list gives a linear map.
        activation: one of `tanh relu elu gelu silu softplus`.
        condition_size: how many numbers the condition has; 0 for a network without a condition.
        inputs: how many of the inputs it sees, the first ones; None for all. A decoder of two layers of latents sees
            only the first layer.

    Raises:
        ValueError: a width is not a whole number of at least 1, the activation is unknown, or there are fewer inputs.
    """

    pure = True

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        hidden: Sequence[int] = (64, 64),
        activation: Literal["tanh", "relu", "elu", "gelu", "silu", "softplus"] = "tanh",
        condition_size: int = 0,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        self.input_shape, self.output_size = tuple(input_shape), output_size
        self.hidden, self.activation = check_widths("network.hidden", hidden, "[500]"), activation
        self.condition_size = check_whole("condition_size", condition_size, 0)
        size = math.prod(input_shape)
        self.inputs = inputs if inputs is None else check_whole("inputs", inputs, 1)
        if self.inputs is not None and self.inputs > size:
            raise ValueError(f"inputs must be at most {size}, the number of inputs, but is {inputs}")
        widths = [(self.inputs or size) + condition_size, *hidden]
        layers = hidden_layers(widths, activation_of(activation))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], output_size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *input_shape) of any real dtype, condition (…, c) -> (…, output_size), in the dtype of the weights.

        The condition's leading dimensions may be fewer: (B, c) beside z (L, B, p).

        Raises:
            ValueError: the network takes no condition but gets one, needs one but gets none, or gets one whose shape
                does not fit.
        """
        first: Any = self.layers[0]
        flat = in_dtype_of(first.weight, x).flatten(-len(self.input_shape))
        flat = flat if self.inputs is None else flat[..., : self.inputs]
        return self.layers(with_condition(flat, condition, self.condition_size))

    @property
    def bias(self) -> nn.Parameter:
        """b of the output layer, (output_size,): the output if the last hidden layer is 0."""
        output: Any = self.layers[-1]
        return output.bias
