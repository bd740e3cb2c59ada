"""Convolutional encoders and decoders of images."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vaelab.checks import check_whole, check_widths
from vaelab.networks.condition import in_dtype_of, with_condition
from vaelab.networks.conv_layers import check_blocks, check_kernel, enlarging, halving
from vaelab.networks.image_shapes import Size, channels_first, halved, has_channels_last, image_size
from vaelab.networks.layers import activation_of, hidden_layers

Activation = Literal["tanh", "relu", "elu", "gelu", "silu", "softplus"]


class _Conv(nn.Module):
    """Checks the keys that both networks share. `sizes` are those of the image, and of the maps after each halving."""

    def __init__(
        self,
        image: Size,
        channels: Sequence[int],
        kernel: int,
        hidden: Sequence[int],
        activation: Activation,
        blocks: int,
        condition_size: int,
    ) -> None:
        super().__init__()
        self.channels = check_widths("network.channels", channels, "[32, 64]", least=1)
        self.kernel, self.blocks = check_kernel(kernel), check_blocks(blocks)
        self.hidden, self.activation = check_widths("network.hidden", hidden, "[256]"), activation
        self.condition_size = check_whole("condition_size", condition_size, 0)
        self.sizes = halved(image, channels)


class ConvEncoder(_Conv):
    """Maps an image to numbers: convolutions of stride 2, then fully connected layers.

    A condition is appended to the features, which are the flattened result of the last convolution.

    >>> ConvEncoder((3, 7, 11), 4, channels=[5, 6], hidden=[13])(torch.zeros(2, 3, 7, 11)).shape
    torch.Size([2, 4])

    Args:
        input_shape: (rows, columns), (channels, rows, columns) or (rows, columns, channels), of any size.
        output_size: the number of outputs.
        channels: the channels after each convolution, which halves the rows and columns and rounds up.
        kernel: the side of all kernels, an odd number.
        hidden: the widths of the fully connected hidden layers; [] for none.
        activation: one of `tanh relu elu gelu silu softplus`.
        blocks: residual blocks after each of these convolutions, as `network=residual` has them.
        condition_size: how many numbers the condition has; 0 for a network without a condition.

    Raises:
        ValueError: the input is no image, or another argument is out of range.
    """

    pure = True

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        channels: Sequence[int] = (32, 64),
        kernel: int = 3,
        hidden: Sequence[int] = (256,),
        activation: Activation = "relu",
        blocks: int = 0,
        condition_size: int = 0,
    ) -> None:
        super().__init__(image_size(input_shape, "x"), channels, kernel, hidden, activation, blocks, condition_size)
        self.input_shape, self.output_size = tuple(input_shape), output_size
        make = activation_of(activation)
        self.maps, self.features = nn.Sequential(*halving(self.sizes, kernel, blocks, make)), math.prod(self.sizes[-1])
        widths = [self.features + condition_size, *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, make), nn.Linear(widths[-1], output_size))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *input_shape) of any real dtype, condition (…, c) -> (…, output_size), as `MLP` does."""
        images = channels_first(in_dtype_of(self.bias, x), self.input_shape)
        maps = self.maps(images.reshape(-1, *images.shape[-3:]))  # (n, channels, rows, columns)
        features = maps.reshape(*images.shape[:-3], self.features)
        return self.layers(with_condition(features, condition, self.condition_size))

    @property
    def bias(self) -> nn.Parameter:
        """The bias of the output layer, (output_size,)."""
        output: Any = self.layers[-1]
        return output.bias


class ConvDecoder(_Conv):
    """Maps z to the numbers of each pixel: fully connected layers, then resizes followed by convolutions.

    The sizes of the maps are those of `ConvEncoder`, in reverse order. The last convolution gives one map for each
    number that a family needs per value: logits for a Bernoulli, means and h for a Gaussian. Numbers that are left over
    come from a linear layer. Each output has its own bias, so that training starts at the mean image.

    >>> decoder = ConvDecoder((4,), 2 * 3 * 7 * 11, (3, 7, 11), channels=[5, 6], hidden=[13])
    >>> decoder(torch.zeros(2, 4)).shape
    torch.Size([2, 462])

    Args:
        input_shape: (p,), the shape of z.
        output_size: the number of outputs, at least one for each value of the image.
        event_shape: the image's shape: (rows, columns), (channels, rows, columns) or (rows, columns, channels).
        channels: the encoder's channels. The decoder uses them in reverse order.
        kernel, hidden, activation: as for `ConvEncoder`.
        blocks: residual blocks at each size below the image's, as `network=residual` has them.
        condition_size: how many numbers the condition has, which are appended to z; 0 for none.

    Raises:
        ValueError: the event is no image, there are too few outputs, or another argument is out of range.
    """

    pure = True

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        event_shape: Sequence[int],
        channels: Sequence[int] = (32, 64),
        kernel: int = 3,
        hidden: Sequence[int] = (256,),
        activation: Activation = "relu",
        blocks: int = 0,
        condition_size: int = 0,
    ) -> None:
        image = image_size(event_shape, "the target")
        super().__init__(image, channels, kernel, hidden, activation, blocks, condition_size)
        self.input_shape, self.output_size, self.event_shape = tuple(input_shape), output_size, tuple(event_shape)
        self.per_value, self.rest_size = divmod(output_size, math.prod(image))
        if self.per_value == 0:
            raise ValueError(
                f"a convolutional decoder gives at least one number for each of the {math.prod(image)} values of "
                f"an image, but the likelihood needs only {output_size} numbers in all; use network=mlp"
            )
        make = activation_of(activation)
        widths = [math.prod(input_shape) + condition_size, *hidden]
        self.layers = nn.Sequential(*hidden_layers(widths, make))
        self.features = nn.Linear(widths[-1], math.prod(self.sizes[-1]))
        self.rest = nn.Linear(widths[-1], self.rest_size, bias=False) if self.rest_size else None
        self.maps = nn.Sequential(*enlarging(self.sizes, self.per_value, kernel, blocks, make))
        self.bias = nn.Parameter(torch.zeros(output_size))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z (…, *input_shape) of any real dtype, condition (…, c) -> (…, output_size), as `MLP` does.

        The numbers are groups of event size, each in the order of the event: all means first, then all h, and so on.
        """
        flat = in_dtype_of(self.bias, z).flatten(-len(self.input_shape))
        hidden = self.layers(with_condition(flat, condition, self.condition_size))
        maps = self.maps(self.features(hidden).reshape(-1, *self.sizes[-1]))  # (n, groups · channels, rows, columns)
        groups = maps.reshape(-1, self.per_value, *self.sizes[0])
        groups = groups.movedim(2, -1) if has_channels_last(self.event_shape) else groups
        numbers = groups.reshape(*hidden.shape[:-1], self.output_size - self.rest_size)
        if self.rest is not None:
            numbers = torch.cat([numbers, self.rest(hidden)], dim=-1)
        return numbers + self.bias
