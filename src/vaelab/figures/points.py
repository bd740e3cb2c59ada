"""Pictures of data that are not images. Every example is a vector of d numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.picture import (
    BAR,
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    SEQUENTIAL,
    Picture,
    add_bar,
    first_of,
    grid_of,
    hide_rest,
    names_of,
    panels,
    subscript,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
SHOWN = 4  # the most target dimensions in a picture
LINES = ("-", "--", ":", "-.")  # line styles, so that curves differ in more than their colour


@dataclass(frozen=True, eq=False)
class PointReconstructions(Picture):
    """Reconstructions over targets, a panel for each target dimension; points on the line are perfect.

    Args:
        target, mean, std, sample: (n, d), the targets, and the mean, the standard deviation and one draw of p(t|z) at
            the posterior mean.
        names: the names of the d target dimensions.
    """

    target: Array
    mean: Array
    std: Array
    sample: Array
    names: tuple[str, ...] | None = None

    def _draw(self) -> "Figure":
        d = self.target.shape[1]
        shown, names = min(d, SHOWN), names_of(self.names, d)
        rows, columns = grid_of(shown)
        size = (2.2, 2.2) if columns > 1 else (4.0, 2.8)
        figure, axes = panels(rows, columns, *size, bottom=0.6 if rows * columns > shown else 1.1)
        for index, panel in enumerate(axes.flat[:shown]):
            target, mean, std = self.target[:, index], self.mean[:, index], self.std[:, index]
            panel.vlines(target, mean - std, mean + std, color=BLUE, alpha=0.25, lw=1, label="± std of p(t|z)")
            panel.plot(target, self.sample[:, index], ".", color=ORANGE, ms=3, alpha=0.6, label="draw from p(t|z)")
            panel.plot(target, mean, ".", color=BLUE, ms=4, label="mean of p(t|z)")
            ends = [target.min(), target.max()]
            panel.plot(ends, ends, "--", color="black", lw=1, label="perfect")
            panel.set(xlabel=f"{names[index]}, target", ylabel=f"{names[index]}, reconstructed")
        hide_rest(axes, shown)
        marks = axes[0, 0].get_legend_handles_labels()
        if axes.size > shown:
            axes.flat[-1].legend(*marks, loc="center")
        else:
            figure.legend(*marks, loc="lower center", ncols=2)
        figure.suptitle(f"Reconstructions, z = posterior mean{first_of(shown, d)}", fontsize=10.5)
        return figure


@dataclass(frozen=True, eq=False)
class PointDraws(Picture):
    """Draws beside data: histograms of one dimension, or two dimensions as axes and the third as colour.

    Args:
        draws: (n, d).
        data: (m, d), or None.
        names: the names of the d dimensions.
        title: the title of the draws.
    """

    draws: Array
    data: Array | None = None
    names: tuple[str, ...] | None = None
    title: str = "draws"

    def _draw(self) -> "Figure":
        sets = {self.title: self.draws} if self.data is None else {"data": self.data, self.title: self.draws}
        return self._histograms(sets) if self.draws.shape[1] == 1 else self._scatters(sets)

    def _histograms(self, sets: dict[str, Array]) -> "Figure":
        figure, axes = panels(1, 1, 4.2, 2.8, top=0.5)
        bins = np.linspace(*_span(np.concatenate(list(sets.values()))[:, 0]), 41)
        colours = (GREY, BLUE)[-len(sets) :]
        for (name, points), colour, filled in zip(sets.items(), colours, (True, False)[-len(sets) :], strict=True):
            kind = "stepfilled" if filled else "step"
            options = {"alpha": 0.4} if filled else {"lw": 2}
            axes[0, 0].hist(points[:, 0], bins, density=True, histtype=kind, color=colour, label=name, **options)
        (name,) = names_of(self.names, 1)
        axes[0, 0].set(xlabel=name, ylabel=f"density (1 / unit of {name})")
        figure.legend(loc="upper center", ncols=2)
        return figure

    def _scatters(self, sets: dict[str, Array]) -> "Figure":
        d = self.draws.shape[1]
        names = names_of(self.names, d)
        figure, axes = panels(
            1,
            len(sets),
            2.4,
            2.4,
            across=0.3,
            right=BAR + 0.1 if d > 2 else 0.15,
            top=0.65 if d > 3 else 0.4,
            sharex=True,
            sharey=True,
        )
        reference = next(iter(sets.values()))
        colours: dict[str, Any] = {"color": BLUE}
        for panel, (name, points) in zip(axes.flat, sets.items(), strict=True):
            if d > 2:
                low, high = _span(reference[:, 2])
                colours = {"c": points[:, 2], "cmap": SEQUENTIAL, "vmin": low, "vmax": high}
            marks = panel.scatter(points[:, 0], points[:, 1], s=9, lw=0, **colours)
            panel.set(xlabel=names[0], ylabel=names[1], title=name)
            panel.label_outer()
        if d > 2:
            add_bar(figure, axes.flat[-1], marks, names[2])
        if d > 3:
            figure.suptitle(first_of(3, d).strip(" ()"), fontsize=10.5)
        return figure


@dataclass(frozen=True, eq=False)
class PointManifold(Picture):
    """The decoder's mean over two latent dimensions, with a map for each target dimension.

    Args:
        means: (rows, columns, d), row r at z₂ = `z2[r]`, column c at z₁ = `z1[c]`.
        z1: (columns,), ascending.
        z2: (rows,), ascending.
        names: the names of the d target dimensions.
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
        size = (1.8, 1.8) if columns > 1 else (2.8, 2.6)
        figure, axes = panels(rows, columns, *size, right=BAR + 0.1, across=BAR + 0.6, left=0.6)
        for index, panel in enumerate(axes.flat[:shown]):
            mesh = panel.pcolormesh(self.z1, self.z2, self.means[..., index], cmap=SEQUENTIAL, shading="gouraud")
            add_bar(figure, panel, mesh, f"mean of p({names[index]} | z)")
            panel.set(xlabel="z₁", ylabel="z₂")
        hide_rest(axes, shown)
        figure.suptitle(f"{self.title}{first_of(shown, d)}", fontsize=10.5)
        return figure


@dataclass(frozen=True, eq=False)
class PointTraversals(Picture):
    """The decoder's mean ± standard deviation while one latent at a time moves, with a panel for each latent.

    Args:
        means, stds: (dimensions, values, d).
        values: (values,), in standard deviations of p(z) from its mean.
        dimensions: (dimensions,), the indices of the latents, from 0.
        names: the names of the d target dimensions.
        title: the title.
    """

    means: Array
    stds: Array
    values: Array
    dimensions: Array
    names: tuple[str, ...] | None = None
    title: str = "One latent moved"

    def _draw(self) -> "Figure":
        d, count = self.means.shape[2], len(self.dimensions)
        shown, names = min(d, SHOWN), names_of(self.names, d)
        rows, columns = grid_of(count, across=3)
        size = (1.6, 1.4) if columns > 1 else (3.5, 2.4)
        figure, axes = panels(
            rows, columns, *size, top=0.95, bottom=0.65, across=0.25, down=0.4, left=0.85, sharex=True, sharey=True
        )
        for index, panel in zip(range(count), axes.flat, strict=False):
            for target in range(shown):
                mean, std = self.means[index, :, target], self.stds[index, :, target]
                colour = PALETTE[(0, 6, 4, 8)[target]]
                panel.fill_between(self.values, mean - std, mean + std, color=colour, alpha=0.25, lw=0)
                panel.plot(self.values, mean, LINES[target], color=colour, label=names[target])
            panel.set_title(subscript("z", self.dimensions[index]))
        hide_rest(axes, count)
        figure.supxlabel("distance from the mean of p(z) (prior standard deviations)", fontsize=10.5)
        figure.supylabel("mean ± std of p(t|z)", fontsize=10.5)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="upper center",
            ncols=shown,
            title=f"{self.title}{first_of(shown, d)}",
        )
        return figure


def _span(values: Array) -> tuple[float, float]:
    """The range of a set of numbers, which is never empty."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
