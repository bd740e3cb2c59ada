"""The data module for pictures of your own: a folder of image files, or an array in a .npy file."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from vaelab.checks import check_choice, check_path
from vaelab.data.checked_rows import Rows
from vaelab.data.class_folders import classes_of
from vaelab.data.open_file import open_rows
from vaelab.data.picture_arrays import (
    GREY,
    LAYOUTS,
    RGB,
    are_grey,
    channels_first,
    check_floats,
    doubts,
    grey_values,
    resized,
    with_channels,
)
from vaelab.data.pixels import are_finished
from vaelab.data.readers.image_folder import sizes_in_folder
from vaelab.data.readers.resize import sides
from vaelab.data.readers.source import Reading, check_picture_size
from vaelab.data.row_checks import Where, at_index, check_grey, plain
from vaelab.data.split_images import SplitImages
from vaelab.escapes import for_terminal
from vaelab.platforms import memory

log = logging.getLogger(__name__)

SIZE = 32  # what pictures are resized to if they differ in size, or are too large
LARGEST = 128  # the most pixels along a side that pictures keep without being asked
GREY_VALUE = 6  # bytes in memory per number: grey values exist twice while they are split, and pixels take 4 bytes
NUMBER = 8  # of floats, which are split too


class Images(SplitImages):
    """Pictures of your own, which reconstruct themselves.

    Photographs look as in a viewer: turned by their EXIF orientation, and placed on the background if they are
    transparent. If all pictures have one size of at most 128x128 pixels, they keep it, unless `size` is set. Otherwise
    they are resized to 32x32 pixels. If each picture lies in a sub-folder, the sub-folder is its label.

    `draw_pixels` turns grey values (from image files, or whole numbers from 0 to 255 in an array) into pixels that the
    likelihood can score. Floats from 0 to 1 are finished pixels.

    Args:
        path: a folder of image files, or a file that holds an array of (n, rows, columns), (n, rows, columns, channels)
            or (n, channels, rows, columns), such as a .npy file.
        size: resize each picture until it fills size x size pixels, and crop the middle; None as described above.
        channels: 1 makes all pictures grey, and 3 makes all RGB; None takes grey if all pictures are grey.
        layout: `channels_first` or `channels_last`, for an array that could be either, such as (n, 3, 32, 3).
        val_size: the number of validation images, or their fraction of all images.
        test_size: the number of test images, or their fraction of all images.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False also draws the training pixels only once, from `seed`.
        seed: the seed of the splits, and of all pixels that are drawn once.
        missing: what to do if an image file is broken, or a number of an array is missing: `refuse`, or `drop` it.
        background: the colour behind transparent images: `white`, `black`, or a grey from 0 to 255.
        support: the data that the likelihood scores: `binary`, `unit_interval`, `levels` or `real`.
        condition: `label` serves the label of each image too, one-hot; None serves only images.

    Raises:
        ValueError: there is no path, a value is out of range, there are no pictures, they do not fit into the memory,
            a file is broken, a float is not from 0 to 1, or the splits leave nothing to train on.
        FileNotFoundError: there is no such file.

    >>> import tempfile
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "pictures.npy"
    >>> np.save(path, np.random.default_rng(0).integers(0, 256, (50, 12, 9, 3), np.uint8))
    >>> data = Images(path, size=8, val_size=7)
    >>> data.setup()
    >>> data.x_shape, len(data.train), data.levels
    ((3, 8, 8), 38, 256)
    """

    logs_read_report = True

    def __init__(
        self,
        path: str | Path | None = None,
        size: int | None = None,
        channels: int | None = None,
        layout: str | None = None,
        val_size: int | float = 0.1,
        test_size: int | float = 0.1,
        batch_size: int = 100,
        eval_batch_size: int = 500,
        resample: bool = True,
        seed: int = 0,
        missing: str = "refuse",
        background: str | int = "white",
        support: str = "real",
        condition: str | None = None,
    ) -> None:
        super().__init__(val_size, test_size, batch_size, eval_batch_size, resample, seed, support, condition)
        self.path = check_path(
            "data.path", path, "a folder of pictures or a .npy file for data=images", "set it to one"
        )
        check_picture_size(size)
        if channels not in (None, GREY, RGB):
            raise ValueError(f"data.channels must be 1 (grey), 3 (RGB) or null, but is {channels!r}; use one of these")
        if layout is not None:
            check_choice("data.layout", layout, LAYOUTS)
        self.size, self.channels, self.layout = size, channels, layout
        self.missing, self.background = missing, background
        self.reading = Reading(missing=missing, background=background, size=size, channels=channels or RGB)

    def reading_for(self, x_shape: Sequence[int] | None = None) -> Reading:
        """How the pictures for a trained model are read: in its size, and with its channels."""
        if x_shape is None:
            return self.reading
        channels, *size = x_shape
        return replace(self.reading, size=(size[0], size[1]), channels=channels)

    def setup(self, stage: str | None = None) -> None:
        """Reads the pictures and draws the splits, once."""
        if hasattr(self, "test"):
            return
        size, why = self._chosen_size()
        rows = open_rows(self.path, reading=replace(self.reading, size=size), quiet=True)
        pictures = self._read(rows, size)
        codes, names, cautions = classes_of([rows.where(row) for row in range(len(pictures))] if self._in_files else [])
        self.split(pictures, str(self.path), codes, names)
        n, channels, height, width = pictures.shape
        pixels = f"{'RGB' if channels == RGB else 'grey'} pictures of {height}x{width} pixels"
        said = f"read {n:,} {pixels} from {self.path.absolute().name}: {self.shares()}"
        cautions = [*rows.cautions, *cautions, *doubts(pictures, self.support)]
        self._report = for_terminal("; ".join([said, *why, *rows.facts, *cautions]))
        log.log(logging.WARNING if cautions else logging.INFO, "%s", self._report)

    @property
    def _in_files(self) -> bool:
        """True if each picture is a file in a folder, and False if all are in one array."""
        return self.path.is_dir()

    def _chosen_size(self) -> tuple[int | None, list[str]]:
        """The size that pictures are resized to, and why; None if they keep their size."""
        if self.size is not None:
            return self.size, []
        sizes = sizes_in_folder(self.path) if self._in_files else iter([self._size_in_array()])
        first = next(sizes, (0, 0))
        if max(first) > LARGEST:
            return SIZE, [f"data.size is {SIZE}, because they are larger than {LARGEST}x{LARGEST} pixels"]
        if any(size != first for size in sizes):
            return SIZE, [f"data.size is {SIZE}, because they differ in size"]
        return None, []

    def _size_in_array(self) -> tuple[int, int]:
        """(rows, columns) of the pictures in an array."""
        first = next(open_rows(self.path, 1, self.reading, quiet=True).chunks)
        rows, columns = channels_first(first, self.layout, str(self.path)).shape[-2:]
        return rows, columns

    def _read(self, rows: Rows, size: int | None) -> Tensor:
        """All pictures, (n, channels, rows, columns): uint8 grey values, or float32 if they are finished pixels."""
        layout = LAYOUTS[1] if self._in_files else self.layout
        found: list[Tensor] = []
        first = 0
        for chunk in rows.chunks:
            pictures = self._formed(chunk, layout, None if size is None else sides(size), rows.placed(first))
            if not found:
                self._check_room(rows, chunk, pictures)
            found.append(pictures[:, :1] if self.channels is None and are_grey(pictures) else pictures)
            first += len(chunk)
        channels = self.channels or max(pictures.shape[1] for pictures in found)
        pictures = torch.cat([with_channels(pictures, channels) for pictures in found])
        return pictures.float() if are_finished(pictures, self.support) else pictures

    def _formed(self, rows: Tensor, layout: str | None, size: tuple[int, int] | None, where: Where) -> Tensor:
        """Rows of a file, of any type -> (m, channels, rows, columns): uint8, or float32 if the pixels are finished."""
        rows = plain(rows, where)
        if rows.is_floating_point() or rows.dtype == torch.bool:
            rows = check_floats(rows.float(), self.support, str(self.path), where)
            rows = grey_values(rows, str(self.path), where) if self.support == "levels" else rows
        else:
            rows = check_grey(rows, where)
        pictures = channels_first(rows, layout, str(self.path))
        return pictures if size is None else resized(pictures, size)

    def _check_room(self, rows: Rows, chunk: Tensor, pictures: Tensor) -> None:
        """Raises a ValueError if all pictures do not fit into this machine's memory, given the first few."""
        count = rows.declared or self.path.stat().st_size // max(1, chunk[:1].nbytes)
        needed = count * (NUMBER if pictures.is_floating_point() else GREY_VALUE) * pictures[0].numel()
        if needed > memory():
            fitting = int((memory() / needed / 2) ** 0.5 * min(pictures.shape[-2:]))
            raise ValueError(
                f"the pictures must fit into the memory, but {self.path} holds {count:,} of "
                f"{'x'.join(map(str, pictures.shape[1:]))} numbers, which need {needed / 2**30:,.1f} GB, and this "
                f"machine has {memory() / 2**30:,.1f} GB; set data.size={max(1, fitting)}, or use fewer pictures"
            )

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Pictures from a file -> (n, *x_shape) float32, in the size and with the channels and pixels of training.

        Rows of numbers, (n, k), must have as many numbers as a picture of `x_shape`.
        """
        if rows.ndim > 2:
            channels, *size = x_shape
            pictures = self._formed(rows, self.layout, (size[0], size[1]), where)
            rows = with_channels(pictures, channels)
        return super().prepare(rows, x_shape, generator, where)

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        return getattr(self, "_report", "")

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. Before `setup`, `data` is the name of the file or folder."""
        known = hasattr(self, "_identity")
        return super().describe(x_shape) | ({} if known else {"data": f"images in {self.path.absolute().name}"})
