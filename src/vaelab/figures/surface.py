"""sin(x+y) as a surface: the true one, the modelled one, and their difference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import DIVERGING, SEQUENTIAL
from vaelab.figures.layout import BAR, add_bar, panels
from vaelab.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Surface(Picture):
    """The true and the modelled surface, their difference, and the standard deviation of p(t|z).

    Args:
        x, y: (n, m), the points at which the surface is known.
        truth, mean, std: (n, m), the true height, and the mean and the standard deviation of p(t|z) at the posterior
            mean.
        name: the name of the height.
    """

    x: Array
    y: Array
    truth: Array
    mean: Array
    std: Array
    name: str = "sin(x+y)"

    def _draw(self) -> "Figure":
        residual = self.mean - self.truth
        most = max(float(np.abs(residual).max()), 1e-9)
        heights = {"cmap": SEQUENTIAL, "vmin": float(self.truth.min()), "vmax": float(self.truth.max())}
        figure, axes = panels(2, 2, 1.35, 1.35, left=0.55, right=BAR, across=BAR + 0.15, down=0.45)
        for panel, values, title, label, colours in (
            (axes[0, 0], self.truth, "True", "", heights),  # by the colours beside it
            (axes[0, 1], self.mean, "Modelled, mean of p(t | z)", self.name, heights),
            (axes[1, 0], residual, "Residual", "modelled − true", {"cmap": DIVERGING, "vmin": -most, "vmax": most}),
            (axes[1, 1], self.std, "Standard deviation", f"std of p({self.name} | z)", {"cmap": "cividis", "vmin": 0}),
        ):
            mesh = panel.pcolormesh(self.x, self.y, values, shading="nearest", **colours)
            panel.set(title=title, aspect="equal")
            if label:
                add_bar(figure, panel, mesh, label)
        for upper, lower in axes.T:  # all have the same axes
            upper.set_xticks([])
            lower.set_xlabel("x")
        for left, right in axes:
            right.set_yticks([])
            left.set_ylabel("y")
        return figure
