"""Turns the grey values in image files into pixels that a likelihood can score."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from vaelab.data.row_checks import Where, check_grey, check_rows, first_mark, plain, shape_rows
from vaelab.precision import in_full
from vaelab.supports import outside

GREYS = 256  # the possible values of a pixel in an 8-bit file


def levels_of(support: str, greys: int = GREYS) -> int | None:
    """The number of values that a scored pixel can take, for bits per dimension; None for `unit_interval`."""
    return {"binary": 2, "levels": greys, "real": greys}.get(support)


def draw_pixels(grey: Tensor, support: str, generator: Generator | None = None, greys: int = GREYS) -> Tensor:
    """Grey values from 0 to g − 1, uint8 -> float32 of the same shape.

        binary         draws from Bernoulli(grey / (g − 1)): dynamic binarisation
        unit_interval  grey / (g − 1)
        levels         grey / (g − 1): the same numbers, which the likelihood gives probabilities
        real           (grey + U[0, 1)) / g: dequantised, so that E_u[log p] − k·log g bounds a log-probability

    Args:
        grey: the grey values, of any shape.
        support: the data that the likelihood scores.
        generator: the generator of the draws, by default torch's global one.
        greys: g, the possible values of a pixel.
    """
    if support == "binary":
        # P(u < grey) = grey / 255 for u uniform on 0..254: exact, and twice as fast as torch.bernoulli.
        u = torch.randint(greys - 1, grey.shape, dtype=torch.uint8, generator=generator, device=grey.device)
        return (u < grey).float()
    if support in ("unit_interval", "levels"):
        return grey / (greys - 1)
    # float32 holds steps of 2^-16 exactly, so no sum rounds up to the next grey level.
    steps = torch.randint(2**16, grey.shape, generator=generator, device=grey.device)
    return (grey + steps / 2**16) / greys


def mean_pixels(grey: Tensor, support: str, greys: int = GREYS) -> Tensor:
    """The expected mean of the pixels from `draw_pixels`: (n, *image) uint8 -> (*image) float32."""
    mean = grey.mean(0, dtype=torch.float32)
    return (mean + 0.5) / greys if support == "real" else mean / (greys - 1)


def prepare_pixels(
    rows: Tensor,
    x_shape: Sequence[int],
    support: str,
    generator: Generator | None,
    where: Where,
    greys: int = GREYS,
) -> Tensor:
    """Images from a file -> (n, *x_shape) float32, with pixels as in training.

    Integers are grey values from 0 to g − 1. Floats and bools are finished pixels. If the support is binary, integers
    are finished pixels too if all are 0 or 1, because a .csv does not distinguish 1 from 1.0.

    Args:
        rows: (n, *anything) of any real type, with as many numbers per row as `x_shape` has.
        x_shape: the shape of one image.
        support: the data that the likelihood scores.
        generator: the generator of the draws; None uses torch's global one.
        where: (row, number in the row), both from 0 -> its place in words, for the errors.
        greys: g, the possible values of a pixel.

    Raises:
        ValueError: a row has another length or shape, a number is not finite or outside the support, an integer is not
            between 0 and g − 1, or floats are clearly grey values.
    """
    rows = plain(shape_rows(rows, x_shape), where)
    if are_finished(rows, support):
        return check_finished(rows.float(), support, where, greys)
    return draw_pixels(check_grey(rows, where, greys - 1), support, generator, greys)


def are_finished(rows: Tensor, support: str) -> bool:
    """True if numbers are finished pixels, and False if they are grey values; see `prepare_pixels`."""
    if rows.is_floating_point() or rows.dtype == torch.bool:
        return True
    return support == "binary" and bool(((rows == 0) | (rows == 1)).all())


def check_finished(x: Tensor, support: str, where: Where, greys: int = GREYS) -> Tensor:
    """Returns finished pixels (n, *x), float, unchanged if they suit the support.

    Raises:
        ValueError: a number is not finite or outside the support, or the numbers are clearly grey values.
    """
    cure = f"pass grey pixels as integers from 0 to {greys - 1} (uint8), or pass finished pixels as floats"
    check_rows(x, support, "the data", cure, where)
    if support == "levels" and (bad := first_mark(outside(x, "levels", greys))) is not None:
        raise ValueError(
            f"pixels that are floats must be grey levels k/{greys - 1} for this model, but the data holds "
            f"{in_full(x.flatten(1)[bad])} in {where(*bad)}; {cure}"
        )
    if len(x) and x.max() > 1 and bool((x == x.round()).all()):
        raise ValueError(
            f"pixels that are floats must be below 1 for this model, but the data holds whole numbers up to "
            f"{x.max():g}; {cure}"
        )
    return x
