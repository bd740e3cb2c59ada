"""Finds places for texts in a square panel where nothing else is."""

from collections.abc import Iterator, Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
Box = Sequence[float]  # left, lower, right and upper end, inches
SIDE = 3.1  # inches, the width and height of the panel
MARK = 0.09  # inches, the width of a mark


def inches_of(axis: "Axes", points: Array) -> Array:
    """Points (m, 2) as inches from the lower left corner of a panel."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    return (points - np.array([left, low])) / np.array([right - left, high - low]) * SIDE


def box_of(middle: Sequence[float] | Array, width: float, height: float) -> Box:
    """The box around a point."""
    x, y = middle
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def is_free(box: Box, taken: Sequence[Box]) -> bool:
    """True if a box lies inside the panel and overlaps no other."""
    inside = min(box[:2]) >= 0 and max(box[2:]) <= SIDE
    return inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)


def places_around(point: Array, width: float, height: float) -> Iterator[tuple[float, Box]]:
    """Boxes for a text around a point, the nearest first, with their distances in inches."""
    for distance in (0.14, 0.2, 0.28, 0.38, 0.5, 0.65, 0.8):
        for turn in range(16):
            angle = pi / 4 + turn * pi / 8
            x, y = point[0] + distance * cos(angle), point[1] + distance * sin(angle)
            yield distance, box_of((x, y), width, height)
