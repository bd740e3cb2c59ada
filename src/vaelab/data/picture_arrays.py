"""Puts arrays of pictures into one form: (n, channels, rows, columns), grey or RGB, of one size."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.pixels import GREYS
from vaelab.data.readers.resize import resize
from vaelab.data.row_checks import Where, check_rows, first_mark
from vaelab.precision import in_full
from vaelab.supports import outside

LAYOUTS = ("channels_first", "channels_last")
GREY, RGB = 1, 3
NARROW = 8  # pixels
ONES = "; if 1 means white, save them as booleans, and use model=bernoulli"
NEARLY_BLACK = 32  # grey values below it
SAMPLE = 100  # how many pictures are looked at
GREY_OF_RGB = (19_595, 38_470, 7_471)  # ITU-R 601-2 luma in units of 2^-16, as Pillow rounds it


def channels_first(rows: Tensor, layout: str | None, source: str) -> Tensor:
    """(n, rows, columns), or with 1 or 3 channels before or after the pixels -> (n, channels, rows, columns).

    Args:
        rows: the pictures.
        layout: one of `LAYOUTS`, for a shape that could be either.
        source: where the pictures come from, for the error.

    Raises:
        UnreadableFile: the rows are not pictures, or both layouts are possible.
    """
    shape = tuple(rows.shape[1:])
    if len(shape) == 2:
        return rows.unsqueeze(1)
    if len(shape) != 3 or not {GREY, RGB} & {shape[0], shape[-1]}:
        raise UnreadableFile(_no_pictures(shape, source))
    first, last = (shape[place] in (GREY, RGB) for place in (0, -1))
    if layout is None and first and last:
        raise UnreadableFile(
            f"data.layout must be channels_first or channels_last for {source}, because pictures of shape "
            f"{_by(shape)} could be either, but is null; set data.layout=channels_last if the last number counts the "
            "channels"
        )
    is_last = layout == LAYOUTS[1] if first and last else last
    return rows.movedim(-1, 1) if is_last else rows


def with_channels(pictures: Tensor, channels: int) -> Tensor:
    """(n, 1 or 3, rows, columns) -> (n, channels, rows, columns), of the same type."""
    if pictures.shape[1] == channels:
        return pictures
    if channels == RGB:
        return pictures.expand(-1, RGB, -1, -1)
    weights = torch.tensor(GREY_OF_RGB).view(1, RGB, 1, 1)
    if pictures.is_floating_point():
        return (pictures * (weights / 2**16)).sum(1, keepdim=True).clamp(max=1)
    return ((pictures.int() * weights).sum(1, keepdim=True) + 2**15 >> 16).to(pictures.dtype)


def are_grey(pictures: Tensor) -> bool:
    """True if the channels of all pictures (n, channels, rows, columns) are equal."""
    return bool((pictures == pictures[:, :1]).all())


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes pictures (n, channels, *), uint8 or floats from 0 to 1, until they fill `size`, and crops the middle."""
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    planes = [torch.from_numpy(_resized(plane.numpy(), size)) for plane in pictures.flatten(0, 1)]
    return torch.stack(planes).view(*pictures.shape[:2], *size)


def check_floats(x: Tensor, support: str, source: str, where: Where) -> Tensor:
    """Returns finished pixels (n, *x), floats, unchanged if they are from 0 to 1, or 0 and 1 for binary data.

    Raises:
        ValueError: a number is something else. The error names its place.
    """
    save = "save the pictures as whole numbers from 0 to 255 (uint8)"
    check_rows(x, "real", source, "", where)
    if support == "binary":
        return check_rows(x, support, source, f"{save}, which are binarised, or use model=gaussian", where)
    if bool(((x < 0) | (x > 1)).any()):
        row, number = ((x < 0) | (x > 1)).flatten(1).nonzero()[0].tolist()
        raise ValueError(
            f"pictures that are floats must be from 0 to 1, but {source} holds {in_full(x.flatten(1)[row, number])} in "
            f"{where(row, number)}; {save}, or use data=array for other numbers"
        )
    return x


def grey_values(x: Tensor, source: str, where: Where) -> Tensor:
    """Finished pixels (n, *x), floats k/255 -> k, uint8, for likelihoods of grey levels.

    Raises:
        ValueError: a number is not such a level. The error names its place.
    """
    if (bad := first_mark(outside(x, "levels", GREYS))) is not None:
        raise ValueError(
            f"pictures that are floats must be grey levels k/255 for this model, but {source} holds "
            f"{in_full(x.flatten(1)[bad])} in {where(*bad)}; save the pictures as whole numbers from 0 to 255 (uint8), "
            "or use model=continuous_bernoulli or model=gaussian"
        )
    return (x * (GREYS - 1)).round().to(torch.uint8)


def doubts(pictures: Tensor, support: str) -> list[str]:
    """What looks wrong with pictures, uint8 or floats from 0 to 1, in words."""
    channels, height, width = pictures.shape[1:]
    if channels == GREY and width in (RGB, RGB + 1) and height > NARROW:
        return [f"each is only {width} pixels wide; if the file holds a single picture in RGB, use one with more"]
    if not pictures.is_floating_point():
        top = int(pictures.max())
        return [f"the brightest pixel is {top} of 255, so the pictures are nearly black{ONES * (top == 1)}"] * (
            top < NEARLY_BLACK
        )
    if support == "real" and bool(((pictures == 0) | (pictures == 1)).all()):
        return ["all pixels are 0 or 1, and a density of such numbers has no upper limit; use model=bernoulli"]
    steps = pictures[:SAMPLE] * 255
    if support == "real" and bool(((steps - steps.round()).abs() < 1e-3).all()):
        return [
            "the floats are steps of 1/255, and a density of such numbers has no upper limit; save the pictures as "
            "whole numbers from 0 to 255 (uint8), which are dequantised"
        ]
    return []


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    made = np.array(resize(Image.fromarray(plane), size)[0])
    return made if plane.dtype == np.uint8 else made.clip(0, 1)  # a bicubic filter overshoots at edges


def _no_pictures(shape: Sequence[int], source: str) -> str:
    cure = "use data=array or data=table for rows of numbers"
    if len(shape) == 3 and 4 in (shape[0], shape[-1]):
        cure = "leave the fourth channel out, such as x[..., :3]"
    return (
        f"{source} must hold pictures, (n, rows, columns) or with 1 or 3 channels, but holds rows of shape "
        f"{_by(shape)}; {cure}"
    )


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
