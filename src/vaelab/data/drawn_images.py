"""The base class of image data: pixels that the likelihood can score are drawn from grey values."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from vaelab.data.data_module import DataModule
from vaelab.data.pixels import GREYS, draw_pixels, levels_of, mean_pixels, prepare_pixels
from vaelab.data.row_checks import Where, at_index


class DrawnImages(DataModule):
    """Images that reconstruct themselves.

    `draw_pixels` turns grey values into pixels. Training pixels are drawn afresh each time they are served. Validation
    and test pixels are drawn once, from `seed`, so you can compare scores across epochs, runs and models.

    Attributes:
        greys: the number of values that a grey value can take.
        resample: False also draws the training pixels only once, from `seed`.
        seed: the seed of all pixels that are drawn once.
        train_images: the training images, (n, channels, rows, columns): uint8 grey values, or finished pixels, float32.
    """

    greys: int = GREYS
    resample: bool = True
    seed: int = 0
    train_images: Tensor

    def serve(self, train: Tensor, val: Tensor, test: Tensor) -> None:
        """Sets the splits from images (n, channels, rows, columns): uint8 grey values, or finished pixels, float32."""
        self.x_shape = self.target_shape = tuple(train.shape[1:])
        self.train_images = train
        finished = train.is_floating_point()
        if finished:
            self.train, self.val, self.test = train, val, test
            self.levels = levels_of(self.support) if self.support == "binary" else None
            return
        self.levels = levels_of(self.support, self.greys)
        self.train = train if self.resample else self._fixed_train()
        self.redraw = self._pixels if self.resample else None
        self.val = self._pixels(val, self._generator(1))
        self.test = self._pixels(test, self._generator(2))

    @property
    def _draws(self) -> bool:
        """True if pixels are drawn, and False if the images hold finished pixels. Before `setup`, it is True."""
        return not (hasattr(self, "train_images") and self.train_images.is_floating_point())

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x of a split (n, channels, rows, columns), and None. Training pixels are drawn as without `resample`."""
        if split != "train" or not self.resample or not hasattr(self, "train") or not self._draws:
            return super().examples(split)
        return self._fixed_train(), None

    def mean(self) -> Tensor:
        """The mean of the training pixels, (channels, rows, columns)."""
        return mean_pixels(self.train_images, self.support, self.greys) if self._draws else super().mean()

    def _fixed_train(self) -> Tensor:
        """The training pixels drawn from `seed`. They are kept, because every evaluation needs them."""
        if not hasattr(self, "_fixed"):
            self._fixed = self._pixels(self.train_images, self._generator(0))
        return self._fixed

    def _generator(self, split: int) -> Generator:
        return torch.Generator().manual_seed(3 * self.seed + split)

    def _pixels(self, grey: Tensor, generator: Generator | None = None) -> Tensor:
        """uint8 -> float32 of the same shape, with values that suit the support."""
        return draw_pixels(grey, self.support, generator, self.greys)

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Images from a file -> (n, *x_shape) float32, with pixels as in training; see `prepare_pixels`."""
        return prepare_pixels(rows, x_shape, self.support, generator, where, self.greys)

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`."""
        shape = getattr(self, "x_shape", x_shape)
        drawn = "dynamic in training, validation and test drawn once" if self.resample else "fixed"
        binarised, dequantised = (self._draws and self.support == support for support in ("binary", "real"))
        return {
            **super().describe(x_shape),
            "per": _in_words(shape) if shape and len(shape) > 1 else "image",
            "binarisation": f"{drawn} (seed {self.seed})" if binarised else "none",
            "dequantisation": f"uniform, {self.greys} levels (seed {self.seed})" if dequantised else "none",
        }


def _in_words(shape: Sequence[int]) -> str:
    colour = " in RGB" if len(shape) > 2 and shape[0] == 3 else ""
    return f"image of {shape[-2]}x{shape[-1]} pixels{colour}"
