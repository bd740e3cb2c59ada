"""The shapes of images: with or without channels, which come first or last, and of any size."""

from collections.abc import Sequence

from torch import Tensor

COLOURS = (1, 3)  # numbers of channels that may come last
Size = tuple[int, int, int]  # channels, rows, columns


def image_size(shape: Sequence[int], what: str) -> Size:
    """(rows, columns), (channels, rows, columns) or (rows, columns, 1 or 3) -> (channels, rows, columns).

    Args:
        shape: the shape of one image.
        what: whose shape it is, for the error.

    Raises:
        ValueError: this is no shape of an image.

    >>> image_size((7, 11), "x"), image_size((3, 7, 11), "x"), image_size((7, 11, 3), "x")
    ((1, 7, 11), (3, 7, 11), (3, 7, 11))
    """
    if len(shape) not in (2, 3):
        raise ValueError(
            "a convolutional network needs images, of shape (rows, columns) or (channels, rows, columns), but the "
            f"shape of {what} is {tuple(shape)}; use network=mlp"
        )
    channels, rows, columns = (1, *shape) if len(shape) == 2 else shape
    return (columns, channels, rows) if has_channels_last(shape) else (channels, rows, columns)


def has_channels_last(shape: Sequence[int]) -> bool:
    """True for (rows, columns, 1 or 3). If the channels could also come first, they do."""
    return len(shape) == 3 and shape[-1] in COLOURS and shape[0] not in COLOURS


def channels_first(images: Tensor, shape: Sequence[int]) -> Tensor:
    """(…, *shape) -> (…, channels, rows, columns)."""
    if len(shape) == 2:
        return images.unsqueeze(-3)
    return images.movedim(-1, -3) if has_channels_last(shape) else images


def halved(size: Size, channels: Sequence[int]) -> list[Size]:
    """The size of an image, and of the maps after each convolution of stride 2, which rounds up.

    >>> halved((3, 7, 11), [4, 8])
    [(3, 7, 11), (4, 4, 6), (8, 2, 3)]
    """
    sizes = [size]
    for count in channels:
        _, rows, columns = sizes[-1]
        sizes.append((count, -(-rows // 2), -(-columns // 2)))
    return sizes
