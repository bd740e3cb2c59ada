"""Pictures of decoded vectors while z moves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import DIVERGING, LINES, PALETTE, SEQUENTIAL
from vaelab.figures.layout import DISTANCE, add_bar, grid_of, hide_rest, panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, first_of, fitting, names_of, subscript, widest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
SHOWN = 4  # the most columns with a curve or a map of their own
MOST = 30  # the most rows of a heat map
ALIKE = 20.0  # columns whose ranges differ by a larger factor don't share an axis


@dataclass(frozen=True, eq=False)
class PointManifold(Picture):
    """The decoder's mean over two latent dimensions, with a map for each column.

    Args:
        means: (rows, columns, d), row r at z₂ = `z2[r]`, column c at z₁ = `z1[c]`.
        z1: (columns,), ascending.
        z2: (rows,), ascending.
        names: the names of the d columns.
        title: the title.
    """

    means: Array
    z1: Array
    z2: Array
    names: tuple[str, ...] | None = None
    title: str = "Mean of p(t|z)"

    def _draw(self) -> "Figure":
        d = self.means.shape[2]
        shown, names = min(d, SHOWN), names_of(self.names, d)
        rows, columns = grid_of(shown)
        size = (1.15, 1.15) if columns > 1 else (2.6, 2.4)
        space: dict[str, Any] = {"right": 0.75, "across": 1.05, "left": 0.6, "down": 0.75, "top": 0.65}
        figure, axes = panels(rows, columns, *size, ticks=3, **space)
        for index, panel in enumerate(axes.flat[:shown]):
            mesh = panel.pcolormesh(self.z1, self.z2, self.means[..., index], cmap=SEQUENTIAL, shading="gouraud")
            add_bar(figure, panel, mesh, "").ax.locator_params(axis="y", nbins=3)
            panel.set_title(fitting(names[index], size[0] + 0.7, TICK), fontsize=TICK)
            panel.set_xlabel("z₁", labelpad=1)
            if index % columns == 0:
                panel.set_ylabel("z₂", labelpad=1)
        hide_rest(axes, shown)
        _, height = figure.get_size_inches()
        figure.suptitle(f"{self.title}{first_of(shown, d)}", y=1 - 0.08 / height, va="top")
        return figure


@dataclass(frozen=True, eq=False)
class PointTraversals(Picture):
    """The decoder's mean while one latent at a time moves, with a panel for each latent.

    A few columns of similar size are curves, mean ± standard deviation. Others are rows of a heat map, which shows by
    how many standard deviations of p(t|z) the mean of each column changes.

    Args:
        means, stds: (dimensions, values, d).
        values: (values,), in standard deviations of the prior from its mean; or the classes of discrete latents.
        dimensions: (dimensions,), the indices of the latents, from 0.
        names: the names of the d columns.
        title: the title.
        axis: what the values are.
        classes: True if the values are classes. The changes are then those from the first class.
    """

    means: Array
    stds: Array
    values: Array
    dimensions: Array
    names: tuple[str, ...] | None = None
    title: str = "One latent moved"
    axis: str = DISTANCE
    classes: bool = False

    def _draw(self) -> "Figure":
        ranges = np.maximum(np.ptp(self.means, axis=(0, 1)), self.stds.mean((0, 1)))
        share = len(ranges) <= SHOWN and float(ranges.max()) <= ALIKE * max(float(ranges.min()), 1e-30)
        figure = self._curves() if share else self._heat_maps()
        figure.supxlabel(self.axis, fontsize=TICK, y=0.0, va="bottom")
        return figure

    def _curves(self) -> "Figure":
        d, count = self.means.shape[2], len(self.dimensions)
        names = names_of(self.names, d)
        rows, columns = grid_of(count, across=2)
        size = (1.75, 1.3) if columns > 1 else (3.3, 2.2)
        space: dict[str, Any] = {"top": 1.05, "bottom": 0.8, "across": 0.2, "down": 0.4, "left": 0.85}
        figure, axes = panels(rows, columns, *size, sharex=True, sharey=True, **space)
        for index, panel in zip(range(count), axes.flat, strict=False):
            for target in range(d):
                mean, std = self.means[index, :, target], self.stds[index, :, target]
                colour = PALETTE[(0, 6, 4, 8)[target]]
                label = fitting(names[target], 1.6, TICK)
                if self.classes:
                    shift = 0.25 * (target - (d - 1) / 2) / d  # beside each other
                    look: dict[str, Any] = {"color": colour, "label": label, "ms": 5, "capsize": 3}
                    panel.errorbar(self.values + shift, mean, std, fmt="os^D"[target], **look)
                    continue
                panel.fill_between(self.values, mean - std, mean + std, color=colour, alpha=0.25, lw=0)
                panel.plot(self.values, mean, LINES[target], color=colour, label=label)
            if self.classes:
                panel.set_xticks(self.values)
                panel.set_xlim(self.values[0] - 0.5, self.values[-1] + 0.5)
            panel.set_title(subscript("z", self.dimensions[index]))
        hide_rest(axes, count)
        width, height = figure.get_size_inches()
        figure.supylabel("mean ± std of p(t|z)", fontsize=TICK, x=0.04 / width, ha="left")
        figure.suptitle(self.title, y=1 - 0.08 / height, va="top")
        marks = axes[0, 0].get_legend_handles_labels()
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 1 - 0.28 / height)}
        figure.legend(*marks, ncols=min(d, 2) if d != 3 else 3, **place)
        return figure

    def _heat_maps(self) -> "Figure":
        d, count = self.means.shape[2], len(self.dimensions)
        shown = min(d, MOST)
        names = [fitting(name, 1.5, TICK) for name in names_of(self.names, d)[:shown]]
        middle = self.means[:, 0 if self.classes else len(self.values) // 2, None]
        changes = (self.means - middle) / np.maximum(self.stds.mean((0, 1)), 1e-30)
        most = max(float(np.abs(changes[..., :shown]).max()), 1e-9)
        rows, columns = grid_of(count, across=3)
        left, width = 0.25 + widest(names, TICK), {1: 2.4, 2: 1.15, 3: 0.75}[columns]
        space: dict[str, Any] = {"left": left, "right": 0.7, "top": 0.9, "bottom": 0.8, "across": 0.12, "down": 0.4}
        figure, axes = panels(rows, columns, width, max(0.19 * shown, 0.7), sharex=True, sharey=True, ticks=3, **space)
        for index, panel in zip(range(count), axes.flat, strict=False):
            half = 0.5 if self.classes else 0.0
            box = (self.values[0] - half, self.values[-1] + half, shown - 0.5, -0.5)
            look: dict[str, Any] = {
                "cmap": DIVERGING,
                "vmin": -most,
                "vmax": most,
                "interpolation": "nearest",
                "aspect": "auto",
            }
            image = panel.imshow(changes[index, :, :shown].T, extent=box, **look)
            panel.set_title(subscript("z", self.dimensions[index]))
            panel.set_yticks(range(shown), names)
            panel.tick_params(axis="y", length=0)
            if self.classes:
                panel.set_xticks(self.values)
        hide_rest(axes, count)
        add_bar(figure, axes[0, -1], image, "")
        _, height = figure.get_size_inches()
        title = f"{self.title}: change of each mean,\nin std of p(t|z){first_of(shown, d)}"
        figure.suptitle(title, y=1 - 0.06 / height, va="top")
        return figure
