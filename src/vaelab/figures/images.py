"""Pictures of images. Every image is (rows, columns) grey or (rows, columns, 3) colour."""

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.layout import DISTANCE, panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, subscript, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
GAP = 0.1  # the gap between two images, as a share of an image
WIDTH, HEIGHT = 4.6, 8.0  # the most inches of a picture, and of a sheet in it
LEAST = 0.19  # the least inches of a row with a name
LONGEST = 1.4  # the most inches of the name of a row


def limits(images: Array) -> tuple[float, float]:
    """The values drawn as black and white.

    They are 0 and 1 for colours, and for grey images that are mostly in this range, as all of vaelab's are. Other grey
    images span the range of their values.
    """
    low, high = float(images.min()), float(images.max())
    inside = (images > -0.3) & (images < 1.3)
    if images.shape[-1] == 3 or (high > 0.3 and float(inside.mean()) > 0.9):
        return 0.0, 1.0
    return low, max(high, low + 1e-9)


def tile(images: Array, low: float, high: float) -> Array:
    """(rows, columns, h, w[, 3]) -> one RGB image (H, W, 3) in 0..1, clipped, and white between the images."""
    rows, columns, h, w = images.shape[:4]
    gap = max(1, round(GAP * min(h, w)))
    sheet = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), np.float32)
    scaled = np.clip((images - low) / (high - low), 0, 1)
    for row in range(rows):
        for column in range(columns):
            image = scaled[row, column]
            top, left = row * (h + gap), column * (w + gap)
            sheet[top : top + h, left : left + w] = image if image.ndim == 3 else image[..., None]
    return sheet


def in_grid(images: Array, rows: int, columns: int, fill: float) -> Array:
    """(n, h, w[, 3]) -> (rows, columns, h, w[, 3]), row by row; the places that are left get the value `fill`."""
    grid = np.full((rows * columns, *images.shape[1:]), fill, np.float32)
    grid[: len(images)] = images
    return grid.reshape(rows, columns, *images.shape[1:])


def centres(count: int, size: int, other: int) -> Array:
    """(count,) positions, in pixels, of the middles of `count` tiled images of `size` pixels along an axis."""
    gap = max(1, round(GAP * min(size, other)))
    return np.arange(count) * (size + gap) + (size - 1) / 2


def that_fit(count: int, rows: int, h: int, w: int, width: float) -> int:
    """How many images of h × w pixels fit beside each other, so that each of the rows has room for its name."""
    tallest = HEIGHT / rows  # inches for a row
    narrowest = LEAST * w / h  # inches of an image whose row has just enough height for a name
    return max(1, min(count, int(width / narrowest))) if tallest > LEAST else count


def show_sheet(axes: "Axes", sheet: Array) -> None:
    """Draws a sheet of images without a frame. Pixels that are magnified keep their edges."""
    inches = axes.get_position().width * axes.figure.get_size_inches()[0]  # type: ignore[union-attr]
    magnified = sheet.shape[1] < 1.2 * inches * 100
    axes.imshow(sheet, interpolation="nearest" if magnified else "antialiased", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def sheet_panel(sheet: Array, title: str, left: float = 0.1, bottom: float = 0.1) -> tuple["Figure", "Axes"]:
    """A figure with a sheet drawn on its only axes, in the sheet's proportions."""
    width = WIDTH - left - 0.1
    height = width * sheet.shape[0] / sheet.shape[1]
    shrink = min(HEIGHT / height, 1.0)
    lines = wrap(title, 44)
    size = width * shrink, height * shrink
    figure, axes = panels(1, 1, *size, left=left, right=0.1, top=0.15 + 0.18 * len(lines), bottom=bottom)
    show_sheet(axes[0, 0], sheet)
    axes[0, 0].set_title("\n".join(lines))
    return figure, axes[0, 0]


def _columns_of(count: int, ratio: float) -> int:
    """The columns of a sheet of images, `ratio` times as high as wide, that is nearly square and has few gaps."""
    square = int(np.ceil(np.sqrt(count * ratio)))
    near = range(max(square - 1, 1), min(square + 2, count) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - square), -columns), default=count)


def _numbers(values: Array) -> list[str]:
    return [f"{value:.2g}".replace("-", "−") for value in values.round(6) + 0.0]


@dataclass(frozen=True, eq=False)
class ImageReconstructions(Picture):
    """Inputs above the mean of p(t|z), a draw from it and, if it is learned, its standard deviation.

    Args:
        target, mean, sample: (n, h, w[, 3]).
        std: (n, h, w[, 3]), or None if it adds nothing to the mean.
        likelihood: how the picture writes it.
        z: what is decoded, such as `posterior mean`.
    """

    target: Array
    mean: Array
    sample: Array
    std: Array | None = None
    likelihood: str = "p(t|z)"
    z: str = "posterior mean"

    def _draw(self) -> "Figure":
        low, high = limits(self.target)
        h, w = self.target.shape[1:3]
        rows = {
            "input": self.target,
            f"mean of {self.likelihood}": self.mean,
            f"draw from {self.likelihood}": self.sample,
        }
        images = np.stack(list(rows.values()))
        if self.std is not None:
            top = max(float(self.std.max()), 1e-9)
            rows[f"std (white: {top:.2g})"] = self.std
            images = np.concatenate([images, low + self.std[None] / top * (high - low)])
        left = 0.15 + widest(list(rows), TICK)
        images = images[:, : that_fit(images.shape[1], len(rows), h, w, WIDTH - left)]
        figure, axes = sheet_panel(tile(images, low, high), f"Reconstructions, z = {self.z}", left=left)
        axes.set_yticks(centres(len(rows), h, w), list(rows))
        return figure


@dataclass(frozen=True, eq=False)
class ImageGrid(Picture):
    """Images side by side: in a sheet that is nearly square, or in a row for each name.

    Args:
        images: (n, h, w[, 3]).
        title: the title.
        row_names: the names of the rows, or None. Image i is in row i modulo the number of rows.
    """

    images: Array
    title: str
    row_names: tuple[str, ...] | None = None

    def _draw(self) -> "Figure":
        h, w = self.images.shape[1:3]
        names = [fitting(for_terminal(name), LONGEST, TICK) for name in self.row_names or ()]
        left = 0.15 + widest(names, TICK) if names else 0.1
        low, high = limits(self.images)
        if names:
            rows, columns = len(names), -(-len(self.images) // len(names))
            grid = in_grid(self.images, columns, rows, high).swapaxes(0, 1)
            grid = grid[:, : that_fit(columns, rows, h, w, WIDTH - left)]
        else:
            columns = _columns_of(len(self.images), h / w)
            rows = -(-len(self.images) // columns)
            grid = in_grid(self.images, rows, columns, high)
        figure, axes = sheet_panel(tile(grid, low, high), self.title, left=left)
        if names:
            axes.set_yticks(centres(rows, h, w), names)
        return figure


@dataclass(frozen=True, eq=False)
class ImageManifold(Picture):
    """The decoder's mean over a grid of two latent dimensions (Kingma & Welling 2014, figure 4).

    Args:
        images: (rows, columns, h, w[, 3]), row r at z₂ = `z2[r]`, column c at z₁ = `z1[c]`.
        z1: (columns,), ascending.
        z2: (rows,), ascending.
        title: the title.
    """

    images: Array
    z1: Array
    z2: Array
    title: str = "Mean of p(t|z)"

    def _draw(self) -> "Figure":
        sheet = tile(self.images[::-1], *limits(self.images))  # z₂ grows upwards
        figure, axes = sheet_panel(sheet, self.title, left=0.7, bottom=0.6)
        h, w = self.images.shape[2:4]
        some = np.unique(np.linspace(0, len(self.z1) - 1, 7).round().astype(int))
        axes.set_xticks(centres(len(self.z1), w, h)[some], _numbers(self.z1[some]))
        some = np.unique(np.linspace(0, len(self.z2) - 1, 7).round().astype(int))
        axes.set_yticks(centres(len(self.z2), h, w)[::-1][some], _numbers(self.z2[some]))
        axes.set(xlabel="z₁, at quantiles of the prior", ylabel="z₂")
        return figure


@dataclass(frozen=True, eq=False)
class ImageTraversals(Picture):
    """The decoder's mean while one latent at a time moves.

    Args:
        images: (dimensions, values, h, w[, 3]).
        values: (values,), in standard deviations of the prior from its mean; or the classes of discrete latents.
        dimensions: (dimensions,), the indices of the latents, from 0.
        title: the title.
        axis: what the values are.
    """

    images: Array
    values: Array
    dimensions: Array
    title: str = "Mean of p(t|z), one latent moved"
    axis: str = DISTANCE

    def _draw(self) -> "Figure":
        names = [subscript("z", index) for index in self.dimensions]
        if self.images.shape[1] < len(names):  # a few classes: they are the rows, because a picture is wide
            figure, axes = self._sheet(self.images.swapaxes(0, 1), names, bottom=0.35)
            axes.set_yticks(centres(len(self.values), *self.images.shape[2:4]), _numbers(self.values))
            axes.set_ylabel(self.axis)
            return figure
        figure, axes = self._sheet(self.images, _numbers(self.values))
        axes.set_yticks(centres(len(names), *self.images.shape[2:4]), names)
        axes.set_xlabel(self.axis)
        return figure

    def _sheet(self, images: Array, names: list[str], bottom: float = 0.75) -> tuple["Figure", "Axes"]:
        """Images (rows, columns, h, w[, 3]), and the names of the columns below them: as many as fit."""
        rows, count, h, w = images.shape[:4]
        shown = np.linspace(0, count - 1, that_fit(count, rows, h, w, WIDTH - 0.6)).round().astype(int)
        sheet = tile(images[:, shown], *limits(images))
        figure, axes = sheet_panel(sheet, self.title, left=0.5, bottom=bottom)
        axes.set_xticks(centres(len(shown), w, h), [names[index] for index in shown])
        return figure, axes
