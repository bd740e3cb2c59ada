"""The picture of the same styles under several conditions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.images import LONGEST, WIDTH, centres, limits, sheet_panel, tile
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, widest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
SIDE = 0.1  # inches beside the sheet


@dataclass(frozen=True, eq=False)
class ImageStyles(Picture):
    """Images in a grid: a row for each style, a column for each condition, and the examples themselves on the left.

    Args:
        images: (rows, columns, h, w[, 3]).
        names: the names of the columns.
        originals: (rows, h, w[, 3]), or None.
        title: the title.
    """

    images: Array
    names: tuple[str, ...]
    originals: Array | None = None
    title: str = "Mean of p(t|z, c)"

    def _draw(self) -> "Figure":
        low, high = limits(self.images if self.originals is None else self.originals)
        grid, names = self.images, [fitting(for_terminal(name), LONGEST, TICK) for name in self.names]
        upright = widest(names, TICK) > 0.9 * (WIDTH - 2 * SIDE) / (len(names) + 2)
        if self.originals is not None:  # an empty column sets them apart
            first = self.originals[:, None]
            grid = np.concatenate([first, np.full_like(first, high), grid], axis=1)
            names = ["input", "", *names]
        below = 0.35 + (widest(names, TICK) if upright else 0.2)
        figure, axes = sheet_panel(tile(grid, low, high), self.title, left=SIDE, bottom=below)
        h, w = grid.shape[2:4]
        axes.set_xticks(centres(len(names), w, h), names, rotation=90 if upright else 0)
        axes.set_xlabel("c", labelpad=1)
        return figure
