"""Checks of rows of numbers before a model sees them: one sentence with the value, the cause and the cure."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

WANTED = {"binary": "only 0 and 1", "unit_interval": "numbers from 0 to 1", "real": "numbers"}
SUPPORTS = tuple(WANTED)


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


def check_rows(x: Tensor, support: str, what: str, cure: str, first: int = 0) -> Tensor:
    """x (n, *x), floating, as it is.

    Args:
        x: the rows.
        support: `binary`, `unit_interval` or `real`, where each number must lie.
        what: whose rows they are, for the error.
        cure: what to do about a number outside the support, for the error.
        first: number of the first row in its file, for the error.

    Raises:
        ValueError: a number is NaN, infinite or outside the support; its row is named, counting from 0.
    """
    if (bad := _first_row(~x.isfinite())) is not None:
        value = x[bad][~x[bad].isfinite()][0].item()
        raise ValueError(
            f"{what} holds {value} in row {first + bad} (counting from 0), but a model takes finite numbers that fit "
            "into float32; leave out or mend that row"
        )
    if support == "real":
        return x
    outside = (x != 0) & (x != 1) if support == "binary" else (x < 0) | (x > 1)
    if (bad := _first_row(outside)) is not None:
        value = x[bad][outside[bad]][0].item()
        raise ValueError(
            f"{what} holds {value:g} in row {first + bad} (counting from 0), but the model scores {support} data, "
            f"{WANTED[support]}; {cure}"
        )
    return x


def _first_row(marked: Tensor) -> int | None:
    """The first row of (n, *x) with a mark in it."""
    rows = marked.flatten(1).any(-1).nonzero() if marked.any() else torch.empty(0)
    return int(rows[0]) if len(rows) else None
