"""Checks of rows of numbers before a model sees them. An error names the value, its place and the cure."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaelab.precision import in_full

WANTED = {"binary": "only 0 and 1", "unit_interval": "numbers from 0 to 1", "real": "numbers"}
SUPPORTS = tuple(WANTED)
LARGEST = torch.finfo(torch.float32).max
LARGEST_WHOLE = 2**53 - 1  # up to here a float64 holds every whole number exactly
WHOLE_BOUND = "be smaller than 2^53, to be exact"
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

Where = Callable[[int, int], str]


def at_index(row: int, number: int) -> str:
    """The place of a number in an array, counting from 0 as NumPy does."""
    return f"row {row}, number {number} (counting from 0)"


def shape_rows(rows: Tensor, x_shape: Sequence[int], names: Sequence[str] | None = None) -> Tensor:
    """Rows that are flat, or of x's shape up to dimensions of size 1 -> (n, *x_shape), of the same type.

    Raises:
        ValueError: the rows hold more or fewer numbers than the model takes, have another shape, or are complex.
    """
    wanted = math.prod(x_shape)
    given = math.prod(rows.shape[1:]) if rows.ndim else 0
    if rows.is_complex() or given != wanted:
        kind = "complex numbers" if rows.is_complex() else f"{given} number{'' if given == 1 else 's'}"
        listed = f" ({', '.join(names)})" if names else f" (shape {'x'.join(map(str, x_shape))})"
        raise ValueError(
            f"the data has rows of {kind}, but the model takes {wanted}{listed if wanted > 1 or names else ''}; "
            f"give it rows of {wanted}, one per example"
        )
    shape = [size for size in rows.shape[1:] if size > 1]
    if len(shape) > 1 and shape != [size for size in x_shape if size > 1]:
        raise ValueError(
            f"the data has rows of shape {_by(rows.shape[1:])}, but the model takes {_by(x_shape)}, and reshaping "
            "would scramble them; give rows of that shape"
        )
    return rows.reshape(len(rows), *x_shape)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def plain(rows: Tensor, where: Where) -> Tensor:
    """Rows (n, *x) of any real type, in one that torch computes with: bool, an integer of at most 64 bits, or float32.

    Raises:
        ValueError: a finite number is infinite as float32, or a float64 does not hold a whole number exactly.
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
    if (place := _first(~good)) is not None:
        row, number = place
        value = rows.flatten(1).cpu().numpy()[row, number]
        raise ValueError(f"every number must {bound}, but the data holds {value} in {where(row, number)}; correct it")


def check_rows(x: Tensor, support: str, what: str, cure: str, where: Where = at_index) -> Tensor:
    """x (n, *x), floating, as it is.

    Args:
        x: the rows.
        support: `binary`, `unit_interval` or `real`: what each number must be.
        what: whose rows they are, for the error.
        cure: what to do about a number outside the support, for the error.
        where: (row, number in the row) -> its place in words, for the error.

    Raises:
        ValueError: a number is NaN, infinite or outside the support; its place is named.
    """
    if (bad := _first(~x.isfinite())) is not None:
        value = x.flatten(1)[bad].item()
        raise ValueError(
            f"{what} holds {value} in {where(*bad)}, but a model takes finite numbers that fit into float32; correct "
            "or leave out that row"
        )
    if support == "real":
        return x
    outside = (x != 0) & (x != 1) if support == "binary" else (x < 0) | (x > 1)
    if (bad := _first(outside)) is not None:
        raise ValueError(
            f"{what} holds {in_full(x.flatten(1)[bad])} in {where(*bad)}, but the model scores {support} data, "
            f"{WANTED[support]}; {cure}"
        )
    return x


def check_grey(rows: Tensor, where: Where) -> Tensor:
    """Integers as uint8.

    Raises:
        ValueError: one of them is no grey level.
    """
    outside = ((rows < 0) | (rows > 255)).flatten(1).nonzero()
    if len(outside):
        row, pixel = outside[0].tolist()
        raise ValueError(
            f"grey pixels must be whole numbers from 0 to 255, but the data holds {rows.flatten(1)[row, pixel].item()} "
            f"in {where(row, pixel)}; scale the pixels, or give floats that are prepared already"
        )
    return rows.to(torch.uint8)


def _first(marked: Tensor) -> tuple[int, int] | None:
    """Row, and place in the row, of the first mark in (n, *x)."""
    if not marked.any():
        return None
    row, number = marked.reshape(len(marked), -1).nonzero()[0].tolist()
    return row, number
