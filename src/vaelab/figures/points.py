"""Pictures of data that are not images. Every example is a vector of d numbers, its columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import BLUE, GREY, ORANGE, SEQUENTIAL
from vaelab.figures.layout import BAR, add_bar, grid_of, hide_rest, panels, plain_numbers
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, first_of, fitting, names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
MOST = 30  # the most columns in a picture, each in its own panel
LARGE = 4  # up to so many, panels are larger
FEWEST, BINS = 8, 30  # bins of a histogram, about the square root of the number of examples


@dataclass(frozen=True, eq=False)
class PointReconstructions(Picture):
    """Reconstructions over targets, with a panel and a scale for each column; points on the line are perfect.

    Args:
        target, mean, std, sample: (n, d), the targets, and the mean, the standard deviation and one draw of p(t|z) at
            the posterior mean.
        names: the names of the d columns.
        likelihood: how the picture writes p(t|z).
        z: what is decoded, such as `posterior mean`.
    """

    target: Array
    mean: Array
    std: Array
    sample: Array
    names: tuple[str, ...] | None = None
    likelihood: str = "p(t|z)"
    z: str = "posterior mean"

    def _draw(self) -> "Figure":
        d = self.target.shape[1]
        shown = min(d, MOST)
        figure, axes, names = _column_panels(shown, d, self.names, top=1.3)
        for index, panel in enumerate(axes.flat[:shown]):
            target, mean, std = self.target[:, index], self.mean[:, index], self.std[:, index]
            panel.vlines(
                target, mean - std, mean + std, color=BLUE, alpha=0.25, lw=1, label=f"± std of {self.likelihood}"
            )
            panel.plot(
                target, self.sample[:, index], ".", color=ORANGE, ms=3, alpha=0.6, label=f"draw from {self.likelihood}"
            )
            panel.plot(target, mean, ".", color=BLUE, ms=4, label=f"mean of {self.likelihood}")
            ends = [target.min(), target.max()]
            panel.plot(ends, ends, "--", color="black", lw=1, label="perfect")
            limits = _span(np.concatenate([target, _bulk(mean - std, 0.01), _bulk(mean + std, 0.01)]), margin=0.04)
            panel.set(xlim=limits, ylim=limits, title=names[index])
            panel.set_yticks([tick for tick in panel.get_xticks() if limits[0] <= tick <= limits[1]])
            if d > 1:
                panel.tick_params(labelleft=False)  # they are those of the other axis
        hide_rest(axes, shown)
        _title(figure, f"Reconstructions, z = {self.z}{first_of(shown, d)}", axes[0, 0], rows=2)
        figure.supxlabel("target", fontsize=TICK, y=0.01, va="bottom")
        figure.supylabel(f"reconstructed{', on the same scale' if d > 1 else ''}", fontsize=TICK, x=0.01, ha="left")
        return figure


@dataclass(frozen=True, eq=False)
class PointDraws(Picture):
    """Draws beside data: two columns as axes and a third as colour, or else histograms of each column.

    Args:
        draws: (n, d).
        data: (m, d), or None.
        names: the names of the d columns.
        title: the title of the draws.
    """

    draws: Array
    data: Array | None = None
    names: tuple[str, ...] | None = None
    title: str = "draws"

    def _draw(self) -> "Figure":
        sets = {self.title: self.draws} if self.data is None else {"data": self.data, self.title: self.draws}
        return self._scatters(sets) if self.draws.shape[1] in (2, 3) else self._histograms(sets)

    def _histograms(self, sets: dict[str, Array]) -> "Figure":
        d = self.draws.shape[1]
        shown = min(d, MOST)
        figure, axes, names = _column_panels(shown, d, self.names, top=0.8 if d == shown else 1.05)
        for index, panel in enumerate(axes.flat[:shown]):
            columns = [points[:, index] for points in sets.values()]
            low, high = (f(ends) for f, ends in zip((min, max), zip(*map(_bulk, columns), strict=True), strict=True))
            count = min(max(int(np.sqrt(min(map(len, columns)))), FEWEST), BINS)
            bins = np.linspace(*_span(np.array([low, high])), count + 1)
            for (name, _), column, filled in zip(sets.items(), columns, (True, False)[-len(sets) :], strict=True):
                look: dict[str, Any] = {"color": BLUE, "histtype": "step", "lw": 1.6}
                if filled:
                    look = {"color": GREY, "histtype": "stepfilled", "alpha": 0.4}
                density = np.full(len(column), 1 / (len(column) * (bins[1] - bins[0])))  # of all, also those outside
                panel.hist(column, bins, weights=density, label=name, **look)
            panel.set_title(names[index])
            if d > 1:
                panel.set_yticks([])
        if d == 1:
            axes[0, 0].set_ylabel("density")
        hide_rest(axes, shown)
        _title(figure, f"{first_of(shown, d).strip(' ()')}", axes[0, 0], rows=1)
        return figure

    def _scatters(self, sets: dict[str, Array]) -> "Figure":
        d = self.draws.shape[1]
        names = names_of(self.names, d)
        space: dict[str, Any] = {"across": 0.2, "right": BAR + 0.1 if d > 2 else 0.15, "top": 0.4, "left": 0.7}
        width = 1.55 if len(sets) > 1 else 2.6
        figure, axes = panels(1, len(sets), width, 1.9, sharex=True, sharey=True, ticks=3, **space)
        reference = next(iter(sets.values()))
        colours: dict[str, Any] = {"color": BLUE}
        for panel, (name, points) in zip(axes.flat, sets.items(), strict=True):
            if d > 2:
                low, high = _span(reference[:, 2])
                colours = {"c": points[:, 2], "cmap": SEQUENTIAL, "vmin": low, "vmax": high}
            marks = panel.scatter(points[:, 0], points[:, 1], s=7, lw=0, **colours)
            panel.set(xlabel=fitting(names[0], 1.7, TICK), ylabel=fitting(names[1], 2.0, TICK))
            panel.set_title(name.replace(", z ~", "\nz ~"), fontsize=TICK)
            panel.label_outer()
        for axis, column in (("x", 0), ("y", 1)):
            ends = _bulk(np.concatenate([points[:, column] for points in sets.values()]), 0.0)
            axes[0, 0].set(**{f"{axis}lim": _span(np.array(ends), margin=0.05)})
        if d > 2:
            add_bar(figure, axes.flat[-1], marks, fitting(names[2], 1.8, TICK))
        return figure


def _column_panels(shown: int, d: int, names: tuple[str, ...] | None, top: float) -> tuple["Figure", Any, list[str]]:
    """Panels for the first columns, two or three in a row, and their names, which fit above them."""
    rows, across = grid_of(shown, 1 if shown == 1 else 2 if shown <= LARGE else 3)
    width, height = {1: (3.3, 2.4), 2: (1.85, 1.6), 3: (1.15, 1.0)}[across]
    between = 0.4
    space: dict[str, Any] = {
        "across": between,
        "down": 0.62,
        "left": 0.85 if across == 1 else 0.45,
        "right": 0.25,
        "bottom": 0.62,
    }
    figure, axes = panels(rows, across, width, height, ticks={1: 5, 2: 3, 3: 3}[across], top=top, **space)
    fitted = [fitting(name, width + between - 0.1, TICK) for name in names_of(names, d)[:shown]]
    for panel in axes.flat[:shown]:
        panel.tick_params(pad=2)
        plain_numbers(panel.xaxis)
        plain_numbers(panel.yaxis)
    return figure, axes, fitted


def _title(figure: "Figure", title: str, panel: "Axes", rows: int) -> None:
    """A title above all panels, and below it a legend for all of them in this many rows."""
    _, height = figure.get_size_inches()
    if title:
        figure.suptitle(title, y=1 - 0.08 / height, va="top")
    marks, names = panel.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 1 - (0.3 if title else 0.05) / height)}
    figure.legend(marks, names, ncols=-(-len(names) // rows), columnspacing=1.2, handlelength=1.4, **place)


def _bulk(values: Array, outside: float = 0.005) -> tuple[float, float]:
    """The range of a set of numbers without its most extreme ones."""
    low, high = np.quantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _span(values: Array, margin: float = 0.0) -> tuple[float, float]:
    """The range of a set of numbers, which is never empty, with a margin."""
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return low - margin * (high - low), high + margin * (high - low)
