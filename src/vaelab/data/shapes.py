"""The data module for small images of shapes with known factors."""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_choice, check_flag, check_whole
from vaelab.data.split_images import SplitImages

PIXELS = 2**26  # the most pixels of all images together
LARGEST = 256  # rows and columns of an image
RADIUS = 0.4  # of the circle around the largest shape; the image is 2 wide
SMALLEST = 0.6  # scale
ORDERED = ("scale", "orientation", "x", "y")


def _square(x: Tensor, y: Tensor) -> Tensor:
    return x.abs().maximum(y.abs()) <= math.sqrt(0.5)


def _ellipse(x: Tensor, y: Tensor) -> Tensor:
    return x**2 + (2 * y) ** 2 <= 1


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = 1.5 * x, 1.5 * y + 0.1
    return (x**2 + y**2 - 1) ** 3 <= x**2 * y**3


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"square": _square, "ellipse": _ellipse, "heart": _heart}


class Shapes(SplitImages):
    """White shapes on black, one image for each combination of five factors: shape, scale, orientation, x and y.

    In the spirit of dSprites (Matthey et al. 2017, github.com/google-deepmind/dsprites-dataset). Orientations lie in
    [0°, 90°), because a square turned by 90° is the same square. With smooth edges no two images are equal, so each
    tells its factors. The images are split at random, and the shape is the label.

    Args:
        size: rows and columns of an image.
        shapes: how many of square, ellipse and heart there are.
        scales: how many sizes of a shape there are, from 0.6 to full size.
        orientations: how many angles there are, in equal steps from 0° to less than 90°.
        positions: how many places there are in each direction, x and y.
        grey: True draws smooth edges, False only black and white.
        val_size, test_size, batch_size, eval_batch_size: as for `Digits`.
        resample: False draws random training pixels, such as those of smooth edges, only once, from `seed`.
        seed: the seed of the splits, and of all pixels that are drawn once.
        support: the data that the likelihood scores.
        condition: `label` serves the shape of each image too, one-hot; None serves only images.

    Raises:
        ValueError: a value is out of range, there are too many images, or the splits leave nothing to train on.

    >>> data = Shapes(size=16, scales=2, orientations=3, positions=4)
    >>> data.setup()
    >>> data.x_shape, len(data.train), list(data.factors("test"))
    ((1, 16, 16), 201, ['shape', 'scale', 'orientation', 'x', 'y'])
    """

    def __init__(
        self,
        size: int = 32,
        shapes: int = 3,
        scales: int = 4,
        orientations: int = 8,
        positions: int = 8,
        grey: bool = False,
        val_size: int | float = 0.1,
        test_size: int | float = 0.2,
        batch_size: int = 100,
        eval_batch_size: int = 1_000,
        resample: bool = True,
        seed: int = 0,
        support: str = "binary",
        condition: str | None = None,
    ) -> None:
        super().__init__(val_size, test_size, batch_size, eval_batch_size, resample, seed, support, condition)
        self.size = check_whole("data.size", size, 8)
        if size > LARGEST:
            raise ValueError(f"data.size must be at most {LARGEST}, but is {size}")
        self.shapes = check_whole("data.shapes", shapes, 1)
        self.scales = check_whole("data.scales", scales, 1)
        self.orientations = check_whole("data.orientations", orientations, 1)
        self.positions = check_whole("data.positions", positions, 1)
        self.grey = check_flag("data.grey", grey)
        if shapes > len(SHAPES):
            raise ValueError(f"data.shapes must be at most {len(SHAPES)} ({', '.join(SHAPES)}), but is {shapes}")
        pixels = shapes * scales * orientations * positions**2 * size**2
        if pixels > PIXELS:
            raise ValueError(
                f"data=shapes must have at most {PIXELS:,} pixels in all images together, but has {pixels:,}; use a "
                "smaller data.size, or fewer scales, orientations or positions"
            )

    def setup(self, stage: str | None = None) -> None:
        """Draws all images and splits them, once."""
        if hasattr(self, "test"):
            return
        values = self._grid()
        names = list(SHAPES)[: self.shapes]
        self.split(self._draw(values), "data=shapes", values[:, 0].long(), names)
        self._factors = {"shape": values[:, 0].long()} | dict(zip(ORDERED, values[:, 1:].T, strict=True))
        self._identity = f"shapes with known factors, {self._identity}"

    def factors(self, split: str) -> dict[str, Tensor]:
        """The value of each factor for each image of a split: name -> (n,), in the order of `batches`.

        The shape is its number from 0, int64. The others are float32: the scale is a fraction of full size, the
        orientation is in degrees, and x and y lie between −1 and 1.

        Raises:
            ValueError: the split is unknown, or not set up.
        """
        self.examples(check_choice("split", split, SPLITS))
        return {name: values[self.parts[split]] for name, values in self._factors.items()}

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        if not hasattr(self, "_counts"):
            return ""
        drawn = f"drew {sum(self._counts):,} images of {self.size}x{self.size} pixels, one for each combination"
        return f"{drawn} of 5 factors: {self.shares()}"

    def _grid(self) -> Tensor:
        """All combinations of the five factors, (n, 5)."""
        reach = 0.95 - RADIUS  # no shape touches the edge
        places = _line(-reach, reach, self.positions)
        degrees = [90 * step / self.orientations for step in range(self.orientations)]
        scales = _line(SMALLEST, 1, self.scales) if self.scales > 1 else [1.0]
        return torch.tensor(list(product(range(self.shapes), scales, degrees, places, places)))

    def _draw(self, values: Tensor) -> Tensor:
        """Factors (n, 5) -> images (n, 1, size, size), uint8."""
        fine = 3 if self.grey else 1  # points in each direction whose mean is a pixel
        points = self.size * fine
        line = (2 * torch.arange(points) + 1) / points - 1
        images = torch.empty(len(values), 1, self.size, self.size, dtype=torch.uint8)
        chunk = max(1, 2**22 // points**2)
        for rows in torch.arange(len(values)).split(chunk):
            inside = torch.empty(len(rows), points, points)
            for code, is_inside in enumerate(SHAPES.values()):
                chosen = values[rows, 0] == code
                inside[chosen] = is_inside(*_turned(values[rows][chosen], line)).float()
            covered = torch.nn.functional.avg_pool2d(inside.unsqueeze(1), fine)
            images[rows] = (255 * covered).round().to(torch.uint8)
        return images


def _line(low: float, high: float, n: int) -> list[float]:
    """n numbers from low to high in equal steps; their middle if n is 1."""
    return [(low + high) / 2] if n == 1 else [low + (high - low) * step / (n - 1) for step in range(n)]


def _turned(values: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels' coordinates in the frames of shapes with these factors: (n, 5), (m,) -> two of (n, m, m)."""
    _, scale, degrees, x, y = values.view(-1, 5, 1, 1).unbind(1)
    across, down = line - x, line.view(-1, 1) - y
    angle, unit = degrees * (math.pi / 180), RADIUS * scale
    return (across * angle.cos() + down * angle.sin()) / unit, (across * angle.sin() - down * angle.cos()) / unit
