"""Fully connected networks whose hidden units are gated."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vaelab.checks import check_whole, check_widths
from vaelab.networks.condition import in_dtype_of, with_condition
from vaelab.networks.layers import hidden_layers


class GatedMLP(nn.Module):
    """A fully connected network with gates, h = (W h + b) ⊙ sigmoid(V h + c), and a linear output.

    Tomczak & Welling 2018 (arxiv.org/abs/1705.07120) use these layers for VAEs, with `hidden=[300, 300]`; they are the
    gated linear units of Dauphin et al. 2017 (arxiv.org/abs/1612.08083, eq. 1). One linear layer holds W and V stacked.

    >>> import torch
    >>> GatedMLP((3, 5), 4, hidden=[11, 13])(torch.zeros(7, 3, 5)).shape
    torch.Size([7, 4])

    Args:
        input_shape: the shape of one example, which is flattened.
        output_size: the number of outputs.
        hidden: the widths of the hidden layers; an empty list gives a linear map.
        condition_size: how many numbers the condition has, which are appended to the input; 0 for none.

    Raises:
        ValueError: a width is not a whole number of at least 1.
    """

    pure = True

    def __init__(
        self, input_shape: Sequence[int], output_size: int, hidden: Sequence[int] = (300, 300), condition_size: int = 0
    ) -> None:
        super().__init__()
        self.input_shape, self.output_size = tuple(input_shape), output_size
        self.hidden = check_widths("network.hidden", hidden, "[300, 300]")
        self.condition_size = check_whole("condition_size", condition_size, 0)
        widths = [math.prod(input_shape) + condition_size, *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, nn.GLU, factor=2), nn.Linear(widths[-1], output_size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *input_shape) of any real dtype, condition (…, c) -> (…, output_size), as `MLP` does."""
        first: Any = self.layers[0]
        flat = in_dtype_of(first.weight, x).flatten(-len(self.input_shape))
        return self.layers(with_condition(flat, condition, self.condition_size))

    @property
    def bias(self) -> nn.Parameter:
        """The bias of the output layer, (output_size,)."""
        output: Any = self.layers[-1]
        return output.bias
