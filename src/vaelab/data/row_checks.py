"""Checks rows of numbers before they reach a model. An error names the value, its place and the cure."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaelab.checks import check_choice
from vaelab.precision import in_full
from vaelab.supports import outside

WANTED = {
    "binary": "only 0 and 1",
    "count": "whole numbers from 0",
    "category": "whole numbers from 0",
    "unit_interval": "numbers from 0 to 1",
    "levels": "grey levels of pixels",
    "mixed": "columns of several kinds",
    "real": "numbers",
}
SUPPORTS = ("binary", "unit_interval", "levels", "real")  # of pixels
ROW_SUPPORTS = ("binary", "unit_interval", "count", "category", "real")
CURES = {  # if the data cannot be of the kind that the likelihood scores
    "count": "use model=discretized_logistic or model=gaussian for pixels, or data=table for counts",
    "category": "use model=discretized_logistic or model=gaussian for pixels, or data=table for classes",
    "levels": "use model=gaussian, or images such as data=mnist or data=images",
    "mixed": "use data=table",
}
LARGEST = torch.finfo(torch.float32).max
LARGEST_WHOLE = 2**53 - 1  # up to here a float64 holds every whole number exactly
WHOLE_BOUND = "be smaller than 2^53, to be exact"
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

Where = Callable[[int, int], str]


def check_support(support: str, served: Sequence[str], what: str) -> str:
    """Returns the support of a likelihood if these data can be of that kind.

    Args:
        support: the data that the likelihood scores.
        served: the kinds that the data can be of.
        what: the name of the data, for the error.

    Raises:
        ValueError: they cannot.

    >>> check_support("levels", ROW_SUPPORTS, "rows of numbers")
    Traceback (most recent call last):
    ValueError: the model takes grey levels of pixels (levels data), but these data are rows of numbers; use \
model=gaussian, or images such as data=mnist or data=images
    """
    if support in served or support not in CURES:
        return check_choice("data.support", support, served)
    raise ValueError(f"the model takes {WANTED[support]} ({support} data), but these data are {what}; {CURES[support]}")


def at_index(row: int, number: int) -> str:
    """The place of a number in an array, counting from 0 as NumPy does."""
    return f"row {row}, number {number} (counting from 0)"


def shape_rows(rows: Tensor, x_shape: Sequence[int], names: Sequence[str] | None = None) -> Tensor:
    """Reshapes rows that are flat, or in x's shape up to dimensions of size 1 -> (n, *x_shape), of the same type.

    Raises:
        ValueError: the rows have more or fewer numbers than x, have another shape, or are complex.
    """
    wanted = math.prod(x_shape)
    given = math.prod(rows.shape[1:]) if rows.ndim else 0
    if rows.is_complex() or given != wanted:
        kind = "complex numbers" if rows.is_complex() else f"{given} number{'' if given == 1 else 's'}"
        listed = f" ({', '.join(names)})" if names else f" (shape {'x'.join(map(str, x_shape))})"
        raise ValueError(
            f"each row must have {wanted} number{'' if wanted == 1 else 's'}{listed if wanted > 1 or names else ''}, "
            f"but the data has rows of {kind}; use the rows that the model was built for"
        )
    shape = [size for size in rows.shape[1:] if size > 1]
    if len(shape) > 1 and shape != [size for size in x_shape if size > 1]:
        raise ValueError(
            f"each row must have the shape {_by(x_shape)}, but the data has rows of shape {_by(rows.shape[1:])}, and "
            "reshaping would scramble them; use rows of the model's shape"
        )
    return rows.reshape(len(rows), *x_shape)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def plain(rows: Tensor, where: Where) -> Tensor:
    """Converts rows (n, *x) of any real type to one that torch computes with: bool, a signed integer, or float32.

    Raises:
        ValueError: a finite number is infinite as float32, or a whole number is not exact as a float64.
    """
    if rows.is_floating_point():
        small = rows.float()
        _check(rows, small.isfinite() | ~rows.isfinite(), "fit into float32 (3.4e38)", where)
        return small
    if rows.dtype in UNSIGNED:
        wide = rows.view(torch.int64) if rows.dtype == torch.uint64 else rows.long()
        _check(rows, (wide >= 0) & (wide <= LARGEST_WHOLE), WHOLE_BOUND, where)
        return wide
    if rows.dtype == torch.int64:
        _check(rows, (rows >= -LARGEST_WHOLE) & (rows <= LARGEST_WHOLE), WHOLE_BOUND, where)
    return rows


def _check(rows: Tensor, good: Tensor, bound: str, where: Where) -> None:
    if (place := first_mark(~good)) is not None:
        row, number = place
        value = rows.flatten(1).cpu().numpy()[row, number]
        raise ValueError(f"every number must {bound}, but the data holds {value} in {where(row, number)}; correct it")


def check_rows(x: Tensor, support: str, what: str, cure: str, where: Where = at_index) -> Tensor:
    """Returns x unchanged if all its numbers are finite and inside the support.

    Args:
        x: the rows, (n, *x), floating-point.
        support: the values that are allowed, one of `WANTED`.
        what: the name of the data, for the error.
        cure: what to do about a number outside the support, for the error.
        where: (row, number in the row) -> its place in words, for the error.

    Raises:
        ValueError: a number is NaN, infinite or outside the support. The error names its place.
    """
    if (bad := first_mark(~x.isfinite())) is not None:
        value = x.flatten(1)[bad].item()
        raise ValueError(
            f"every number must be finite and fit into float32, but {what} holds {value} in {where(*bad)}; correct or "
            "remove that row"
        )
    if (bad := first_mark(outside(x, support))) is not None:
        raise ValueError(
            f"the model takes {WANTED[support]} ({support} data), but {what} holds {in_full(x.flatten(1)[bad])} in "
            f"{where(*bad)}; {cure}"
        )
    return x


def check_grey(rows: Tensor, where: Where, largest: int = 255) -> Tensor:
    """Converts integers from 0 to `largest` to uint8.

    Raises:
        ValueError: an integer is not a grey level.
    """
    outside = ((rows < 0) | (rows > largest)).flatten(1).nonzero()
    if len(outside):
        row, pixel = outside[0].tolist()
        raise ValueError(
            f"grey pixels must be whole numbers from 0 to {largest}, but the data holds "
            f"{rows.flatten(1)[row, pixel].item()} in {where(row, pixel)}; rescale the pixels, or pass finished pixels "
            "as floats"
        )
    return rows.to(torch.uint8)


def first_mark(marked: Tensor) -> tuple[int, int] | None:
    """The row, and the index in the row, of the first mark in (n, *x); None if there is no mark."""
    if not marked.any():
        return None
    row, number = marked.reshape(len(marked), -1).nonzero()[0].tolist()
    return row, number
