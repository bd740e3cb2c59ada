"""Pictures of images. Every image is (rows, columns) grey or (rows, columns, 3) colour."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal, short
from vaelab.figures.picture import Picture, panels, subscript

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
GAP = 0.1  # the gap between two images, as a share of an image
WIDTH = 6.0  # the width of a picture in inches
LABELS = 1.4  # the part of it for the names of rows, in inches
LONGEST_ROW = 15  # the most letters in the name of a row


def limits(images: Array) -> tuple[float, float]:
    """The values drawn as black and white: 0 and 1 if the images are roughly in this range, else their extremes."""
    low, high = float(images.min()), float(images.max())
    return (0.0, 1.0) if low > -0.3 and 0.3 < high < 1.3 else (low, max(high, low + 1e-9))


def tile(images: Array, low: float, high: float) -> Array:
    """(rows, columns, h, w[, 3]) -> one RGB image (H, W, 3) in 0..1, white between the images."""
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


def centres(count: int, size: int, other: int) -> Array:
    """(count,) positions, in pixels, of the middles of `count` tiled images of `size` pixels along an axis."""
    gap = max(1, round(GAP * min(size, other)))
    return np.arange(count) * (size + gap) + (size - 1) / 2


def show_sheet(axes: "Axes", sheet: Array) -> None:
    """Draws a sheet of images without a frame."""
    axes.imshow(sheet, interpolation="nearest" if len(sheet) < 400 else "antialiased")
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def sheet_panel(sheet: Array, left: float = 0.1, bottom: float = 0.1) -> tuple["Figure", "Axes"]:
    """A figure with a sheet drawn on its only axes. Its height depends on the sheet's shape."""
    width = WIDTH - left - 0.1
    height = min(width * sheet.shape[0] / sheet.shape[1], 8.0)
    figure, axes = panels(1, 1, width, height, left=left, right=0.1, top=0.35, bottom=bottom)
    show_sheet(axes[0, 0], sheet)
    return figure, axes[0, 0]


@dataclass(frozen=True, eq=False)
class ImageReconstructions(Picture):
    """Inputs above the mean of p(t|z), a draw from it and, if it is learned, its standard deviation.

    Args:
        target, mean, sample: (n, h, w[, 3]).
        std: (n, h, w[, 3]), or None if it adds nothing to the mean.
    """

    target: Array
    mean: Array
    sample: Array
    std: Array | None = None

    def _draw(self) -> "Figure":
        low, high = limits(self.target)
        rows = {"input": self.target, "mean of p(t|z)": self.mean, "draw from p(t|z)": self.sample}
        images = np.stack(list(rows.values()))
        if self.std is not None:
            top = max(float(self.std.max()), 1e-9)
            rows[f"std (white: {top:.2g})"] = self.std
            images = np.concatenate([images, low + self.std[None] / top * (high - low)])
        figure, axes = sheet_panel(tile(images, low, high), left=LABELS)
        axes.set_yticks(centres(len(rows), *self.target.shape[1:3]), list(rows))
        axes.set_title("Reconstructions, z = posterior mean")
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
        names = self.row_names and tuple(short(for_terminal(name), LONGEST_ROW) for name in self.row_names)
        rows = len(names) if names else -(-len(self.images) // int(np.ceil(np.sqrt(len(self.images)))))
        columns = -(-len(self.images) // rows)
        low, high = limits(self.images)
        padded = np.full((rows * columns, *self.images.shape[1:]), high, np.float32)
        padded[: len(self.images)] = self.images
        shape = (columns, rows) if names else (rows, columns)
        sheet = padded.reshape(*shape, *self.images.shape[1:])
        sheet = sheet.swapaxes(0, 1) if names else sheet
        figure, axes = sheet_panel(tile(sheet, low, high), left=0.2 + 0.1 * max(map(len, names)) if names else 0.1)
        if names:
            axes.set_yticks(centres(rows, *self.images.shape[1:3]), names)
        axes.set_title(self.title)
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
        figure, axes = sheet_panel(sheet, left=0.8, bottom=0.55)
        h, w = self.images.shape[2:4]
        some = np.unique(np.linspace(0, len(self.z1) - 1, 7).round().astype(int))
        axes.set_xticks(centres(len(self.z1), w, h)[some], [f"{value:.2g}" for value in self.z1[some]])
        some = np.unique(np.linspace(0, len(self.z2) - 1, 7).round().astype(int))
        axes.set_yticks(centres(len(self.z2), h, w)[::-1][some], [f"{value:.2g}" for value in self.z2[some]])
        axes.set(xlabel="z₁, at quantiles of p(z)", ylabel="z₂, at quantiles of p(z)", title=self.title)
        return figure


@dataclass(frozen=True, eq=False)
class ImageTraversals(Picture):
    """The decoder's mean while one latent at a time moves.

    Args:
        images: (dimensions, values, h, w[, 3]).
        values: (values,), in standard deviations of p(z) from its mean.
        dimensions: (dimensions,), the indices of the latents, from 0.
        title: the title.
    """

    images: Array
    values: Array
    dimensions: Array
    title: str = "Mean of p(t|z), one latent moved"

    def _draw(self) -> "Figure":
        figure, axes = sheet_panel(tile(self.images, *limits(self.images)), left=0.7, bottom=0.55)
        rows, columns, h, w = self.images.shape[:4]
        axes.set_xticks(centres(columns, w, h), [f"{value:.2g}" for value in self.values.round(6) + 0.0])
        axes.set_yticks(centres(rows, h, w), [subscript("z", index) for index in self.dimensions])
        axes.set(
            xlabel="distance from the mean of p(z) (prior standard deviations)",
            ylabel="latent dimension" if rows > 2 else "latent",
        )
        axes.set_title(self.title)
        return figure
