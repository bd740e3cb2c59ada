"""Pixels as a likelihood scores them, made of the grey that image files hold."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from vaelab.data.row_checks import Where, check_grey, check_rows, plain, shape_rows

LEVELS = {"binary": 2, "real": 256}  # values of a pixel, for bits per dimension; grey in [0, 1] has none


def draw_pixels(grey: Tensor, support: str, generator: Generator | None = None) -> Tensor:
    """Grey, uint8 -> float32 of the same shape.

        binary         Bernoulli(grey / 255) draws: dynamic binarisation
        unit_interval  grey / 255
        real           (grey + U[0, 1)) / 256: dequantised, so that E_u[log p] − k·log 256 bounds a log-probability

    Args:
        grey: any shape.
        support: what the likelihood scores.
        generator: of the draws; torch's global one unless given.
    """
    if support == "binary":
        # P(u < grey) = grey / 255 for u uniform on 0..254: exact, and half of the time of torch.bernoulli
        u = torch.randint(255, grey.shape, dtype=torch.uint8, generator=generator, device=grey.device)
        return (u < grey).float()
    if support == "unit_interval":
        return grey / 255
    # In steps of 2^-16, so that no sum rounds up into the next grey level: float32 holds each exactly.
    steps = torch.randint(2**16, grey.shape, generator=generator, device=grey.device)
    return (grey + steps / 2**16) / 256


def mean_pixels(grey: Tensor, support: str) -> Tensor:
    """Expected mean of the pixels that `draw_pixels` draws: (n, *image) uint8 -> (*image) float32."""
    mean = grey.mean(0, dtype=torch.float32)
    return (mean + 0.5) / 256 if support == "real" else mean / 255


def prepare_pixels(
    rows: Tensor, x_shape: Sequence[int], support: str, generator: Generator | None, where: Where
) -> Tensor:
    """Images as a file holds them -> (n, *x_shape) float32, with pixels as in training.

    Integers are grey, 0 to 255. Floats and bools are pixels that are prepared already. So are integers of 0 and 1
    alone if the support is binary, because a .csv does not tell 1 from 1.0.

    Args:
        rows: (n, *anything) of any real type, with as many numbers per row as `x_shape` has.
        x_shape: shape of one image.
        support: what the likelihood scores.
        generator: of the draws; torch's global one if None.
        where: (row, number in the row), both from 0 -> its place in words, for the errors.

    Raises:
        ValueError: rows of another length or shape; a number that is not finite, or outside the support; grey outside
            0 to 255; floats that are evidently grey.
    """
    rows = plain(shape_rows(rows, x_shape), where)
    if rows.is_floating_point() or rows.dtype == torch.bool:
        return _check_prepared(rows.float(), support, where)
    black_and_white = support == "binary" and bool(((rows == 0) | (rows == 1)).all())
    return rows.float() if black_and_white else draw_pixels(check_grey(rows, where), support, generator)


def _check_prepared(x: Tensor, support: str, where: Where) -> Tensor:
    cure = "give grey pixels as integers from 0 to 255 (uint8), or floats that are prepared already"
    check_rows(x, support, "the data", cure, where)
    if len(x) and x.max() > 1 and bool((x == x.round()).all()):
        raise ValueError(
            f"grey pixels that are floats must be below 1 for this model, but the data holds whole numbers up to "
            f"{x.max():g}; {cure}"
        )
    return x
