"""The parts that convolutional encoders and decoders share: checks of their keys, and blocks."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate

from vaelab.checks import check_whole
from vaelab.networks.image_shapes import Size

MOST_BLOCKS = 100
MakeActivation = Callable[[], nn.Module]


def check_kernel(kernel: int) -> int:
    """Returns the side of a kernel.

    Raises:
        ValueError: it is not an odd whole number of at least 1.
    """
    if check_whole("network.kernel", kernel, 1) % 2 == 0:
        raise ValueError(f"network.kernel must be odd, such as 3 or 5, but is {kernel}")
    return kernel


def check_blocks(blocks: int) -> int:
    """Returns the number of residual blocks at each size.

    Raises:
        ValueError: it is not a whole number from 0 to 100.
    """
    if check_whole("network.blocks", blocks, 0) > MOST_BLOCKS:
        raise ValueError(f"network.blocks must be a whole number of at most {MOST_BLOCKS}, but is {blocks}")
    return blocks


def halving(sizes: Sequence[Size], kernel: int, blocks: int, activation: MakeActivation) -> Iterator[nn.Module]:
    """The convolutional part of an encoder: maps of each size -> maps of the next, which is half as large."""
    for (inputs, *_), (outputs, *_) in pairwise(sizes):
        yield nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)
        yield from _blocks_and_activation(outputs, kernel, blocks, activation)


def enlarging(
    sizes: Sequence[Size], per_value: int, kernel: int, blocks: int, activation: MakeActivation
) -> Iterator[nn.Module]:
    """The convolutional part of a decoder: from maps of the last size back to `per_value` maps of the first.

    The last convolution has no bias, because the decoder has one for each of its outputs.
    """
    for level in range(len(sizes) - 1, 0, -1):
        inputs, (outputs, *size) = sizes[level][0], sizes[level - 1]
        yield from _blocks_and_activation(inputs, kernel, blocks, activation)
        yield Enlarge(*size)
        outputs *= per_value if level == 1 else 1
        yield nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=level > 1)


def _blocks_and_activation(channels: int, kernel: int, blocks: int, activation: MakeActivation) -> Iterator[nn.Module]:
    yield from (ResidualBlock(channels, kernel, activation) for _ in range(blocks))
    yield activation()


class ResidualBlock(nn.Module):
    """h + f(h), where f is an activation and a convolution, twice (He et al. 2016, arxiv.org/abs/1603.05027, fig. 4e).

    There is no normalisation: batch normalisation would mix the examples of a minibatch.

    Args:
        channels: the channels of h.
        kernel: the side of the kernels.
        activation: makes an activation.
    """

    pure = True

    def __init__(self, channels: int, kernel: int, activation: MakeActivation) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(2))
        self.layers = nn.Sequential(activation(), first, activation(), second)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, rows, columns) -> the same shape."""
        return maps + self.layers(maps)


class Enlarge(nn.Module):
    """Repeats each pixel twice in each direction, and crops the result to a size.

    A convolution after it makes no checkerboards, unlike a transposed convolution (Odena et al. 2016,
    distill.pub/2016/deconv-checkerboard).

    >>> import torch
    >>> Enlarge(3, 4)(torch.zeros(7, 5, 2, 2)).shape
    torch.Size([7, 5, 3, 4])

    Args:
        rows: the rows of the result, at most twice those of the input.
        columns: its columns.
    """

    pure = True

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, ⌈rows/2⌉, ⌈columns/2⌉) -> (n, channels, rows, columns)."""
        return interpolate(maps, scale_factor=2.0, mode="nearest")[..., : self.rows, : self.columns]
