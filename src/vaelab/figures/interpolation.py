"""Pictures of a walk from one example to another in latent space."""

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import BLUE
from vaelab.figures.images import centres, in_grid, limits, sheet_panel, tile
from vaelab.figures.layout import grid_of, hide_rest, panels, plain_numbers
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, first_of, fitting, names_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
ACROSS = 13  # the most images in a row: both originals, and the default of 11 steps
SHOWN = 12  # the most target dimensions in a picture


@dataclass(frozen=True, eq=False)
class ImageInterpolation(Picture):
    """The decoder's mean along a path, between both originals; read the rows like lines of text.

    Args:
        images: (n, h, w[, 3]), the mean of p(t|z) at n points of the path.
        originals: (2, h, w[, 3]), the examples at the ends; None if they are unknown.
        title: the title.
    """

    images: Array
    originals: Array | None
    title: str

    def _draw(self) -> "Figure":
        shown, low, high = self.images, *limits(self.images if self.originals is None else self.originals)
        if self.originals is not None:
            shown = np.concatenate([self.originals[:1], self.images, self.originals[1:]])
        rows = -(-len(shown) // ACROSS)
        columns = -(-len(shown) // rows)
        sheet = tile(in_grid(shown, rows, columns, high), low, high)
        figure, axes = sheet_panel(sheet, self.title, bottom=0.55 if rows == 1 else 0.3)
        if rows == 1:
            axes.set_xticks(centres(columns, shown.shape[2], shown.shape[1]), self._labels())
            axes.set_xlabel("position on the path from A to B")
        else:
            axes.set_xlabel("from A, top left, to B, bottom right")
        return figure

    def _labels(self) -> list[str]:
        """What is written under each image: its position, or the letter of an original."""
        values = np.linspace(0, 1, len(self.images))
        labels = [f"{value:.2g}" if len(values) <= 11 else "" for value in values]
        return labels if self.originals is None else ["A", *labels, "B"]


@dataclass(frozen=True, eq=False)
class PointInterpolation(Picture):
    """The decoder's mean ± standard deviation along a path, with a panel for each target dimension.

    Args:
        means, stds: (n, d), of p(t|z) at n evenly spaced points of the path.
        originals: (2, d), the examples at the ends; None if they are unknown.
        names: the names of the d target dimensions.
        title: the title.
    """

    means: Array
    stds: Array
    originals: Array | None
    names: tuple[str, ...] | None
    title: str

    def _draw(self) -> "Figure":
        d = self.means.shape[1]
        shown, names = min(d, SHOWN), names_of(self.names, d)
        rows, columns = grid_of(shown, across=2)
        size = (1.6, 1.2) if columns > 1 else (3.4, 2.3)
        figure, axes = panels(rows, columns, *size, top=1.05, bottom=0.6, across=0.65, down=0.55, left=0.65, ticks=3)
        position = np.linspace(0, 1, len(self.means))
        for index, panel in enumerate(axes.flat[:shown]):
            mean, std = self.means[:, index], self.stds[:, index]
            panel.fill_between(position, mean - std, mean + std, color=BLUE, alpha=0.25, lw=0, label="± std of p(t|z)")
            panel.plot(position, mean, color=BLUE, label="mean of p(t|z)")
            if self.originals is not None:
                panel.plot([0, 1], self.originals[:, index], "o", color="black", ms=5, clip_on=False, label="A and B")
            panel.set_title(fitting(names[index], size[0] + 0.4, TICK))
            plain_numbers(panel.yaxis)
            panel.set_xticks([0, 0.5, 1])
        hide_rest(axes, shown)
        figure.supxlabel("position on the path from A (0) to B (1)", fontsize=TICK, y=0.01, va="bottom")
        _, height = figure.get_size_inches()
        title = "\n".join(wrap(f"{self.title}{first_of(shown, d)}", 50))
        figure.suptitle(title, y=1 - 0.06 / height, va="top")
        marks, labels = axes[0, 0].get_legend_handles_labels()
        place: dict[str, Any] = {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, 1 - (0.1 + 0.18 * len(title.split("\n"))) / height),
        }
        figure.legend(marks, labels, ncols=3, columnspacing=1.0, handlelength=1.2, **place)
        return figure
