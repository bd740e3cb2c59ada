"""The data module for MNIST, and for other images in the IDX format."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pooch
import torch
from torch import Generator, Tensor

from vaelab.checks import SPLITS, check_choice, check_flag, check_seed, check_whole
from vaelab.data.checksum import crc32
from vaelab.data.condition import check_condition, one_hot
from vaelab.data.data_module import DataModule
from vaelab.data.download import MIRRORS, download_mnist
from vaelab.data.idx_folder import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, find, identify
from vaelab.data.idx_format import read_images, read_labels
from vaelab.data.pixels import LEVELS, draw_pixels, mean_pixels, prepare_pixels
from vaelab.data.row_checks import SUPPORTS, Where, at_index
from vaelab.escapes import for_terminal

log = logging.getLogger(__name__)

CANONICAL = (60_000, 10_000, 0xE4CA5F57)  # what `identify` returns for MNIST itself


class MNIST(DataModule):
    """Images that reconstruct themselves, with pixels that the likelihood can score.

    `draw_pixels` turns grey values into pixels. Training pixels are drawn afresh each time they are served. Validation
    and test pixels are drawn once, from `seed`, so you can compare scores across epochs, runs and models.

    Args:
        root: the folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, raw or .gz, and if there are
            labels, `train-labels-idx1-ubyte` and `t10k-labels-idx1-ubyte`. IDX files with other names are found too, if
            the name holds the word train or test (or t10k). None downloads MNIST, once, to the user's cache.
        val_size: the number of validation images, taken from the end of the training images.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False also draws the training pixels only once, from `seed` (fixed binarisation).
        seed: the seed of all pixels that are drawn once.
        mirrors: the addresses to download from, tried in turn.
        support: the data that the likelihood scores: `binary`, `unit_interval` or `real`.
        condition: `label` serves the label of each image too, one-hot; None serves only images.

    Raises:
        ValueError: the support or the condition is unknown, `val_size` leaves no images to train on, a file is not an
            IDX file, or the labels do not match the images.
        FileNotFoundError: `root` does not hold the files.
        OSError: the download failed.
    """

    logs_read_report = True

    def __init__(
        self,
        root: str | Path | None = None,
        val_size: int = 10_000,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        resample: bool = True,
        seed: int = 0,
        mirrors: Sequence[str] = MIRRORS,
        support: str = "binary",
        condition: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(mirrors, str) or not mirrors or not all(isinstance(mirror, str) for mirror in mirrors):
            raise ValueError(f"data.mirrors must be a list of addresses, but is {mirrors}; use [https://…]")
        if not isinstance(root, str | Path | None):
            raise ValueError(f"data.root must be the path of a folder, but is {root}; leave it out to download MNIST")
        self.root = None if root is None else Path(root).expanduser()
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.resample = check_flag("data.resample", resample)
        self.seed = check_seed("data.seed", seed)
        self.mirrors = mirrors
        self.support = check_choice("data.support", support, SUPPORTS)
        self.levels = LEVELS.get(support)
        self.condition = check_condition(condition)

    def prepare_data(self) -> None:
        """Downloads MNIST if `root` is None and MNIST is not in the cache."""
        if self.root is None:
            download_mnist(self._folder, self.mirrors)
        elif not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root must be a folder of IDX files, but {self.root} is not a folder; set it to one, or leave it "
                "out to download MNIST"
            )

    @property
    def _folder(self) -> Path:
        return self.root or Path(pooch.os_cache("vaelab")) / "mnist"

    def setup(self, stage: str | None = None) -> None:
        """Reads the files and draws the pixels of the validation and test splits, once."""
        if hasattr(self, "test"):
            return
        path, test_path = find(self._folder, TRAIN_IMAGES), find(self._folder, TEST_IMAGES)
        images = read_images(path).unsqueeze(1)  # (n, 1, rows, columns)
        test = read_images(test_path).unsqueeze(1)
        self._check_images(path, images, test)
        self.x_shape = self.target_shape = tuple(images.shape[1:])
        self.train_images = images[: -self.val_size]
        self.train = self.train_images if self.resample else self._fixed_train()
        self.redraw = self._pixels if self.resample else None
        self.val = self._pixels(images[-self.val_size :], self._generator(1))
        self.test = self._pixels(test, self._generator(2))
        if self.condition is not None:
            self._set_conditions()
        self._identity = len(images), len(test), crc32([test])
        self._report = self._reported(path, test_path)
        if self._report:
            log.info(self._report)

    def _check_images(self, path: Path, images: Tensor, test: Tensor) -> None:
        """Raises a ValueError if training and test images differ in size, or if no images are left to train on."""
        if images.shape[1:] != test.shape[1:]:
            raise ValueError(
                f"data.root={self._folder} must hold training and test images of one size, but has training images of "
                f"{tuple(images.shape[2:])} pixels and test images of {tuple(test.shape[2:])}; use two files of the "
                "same data set"
            )
        if self.val_size >= len(images):
            raise ValueError(
                f"data.val_size must be smaller than the number of training images, {len(images)} in {path}, but is "
                f"{self.val_size}; use a smaller one"
            )

    def _set_conditions(self) -> None:
        """Sets the label of every image as a one-hot condition. The classes come from a trained model or the file."""
        try:
            labels = {split: self._labels(split) for split in SPLITS}
        except FileNotFoundError as error:
            raise FileNotFoundError(f"condition=label needs the labels of all images, but {error}") from error
        known = torch.cat([labels["train"], labels["val"]]).unique().tolist()
        self.condition_names = self.model_condition_names or tuple(map(str, known))
        self.conditions = {
            split: one_hot(labels[split].tolist(), self.condition_names, f"the {split} split of {self._folder}")
            for split in SPLITS
        }

    def _reported(self, train: Path, test: Path) -> str:
        """A line about the files that were read; empty if they have MNIST's own names."""
        if train.name.removesuffix(".gz") == TRAIN_IMAGES and test.name.removesuffix(".gz") == TEST_IMAGES:
            return ""
        counts = f"{self._identity[0]:,} training images from {train.name} and {self._identity[1]:,} test images from"
        turned = "; EMNIST stores images with rows and columns swapped, and they were read as stored" * (
            "emnist" in train.name.lower()
        )
        return for_terminal(f"read {counts} {test.name}{turned}")

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        return getattr(self, "_report", "")

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x of a split (n, 1, rows, columns), and None. Training pixels are drawn as with `resample=False`."""
        if split != "train" or not self.resample or not hasattr(self, "train"):
            return super().examples(split)
        return self._fixed_train(), None

    def mean(self) -> Tensor:
        """The mean of the training pixels, (1, rows, columns)."""
        return mean_pixels(self.train_images, self.support)

    def _fixed_train(self) -> Tensor:
        """The training pixels drawn from `seed`. They are kept, because every evaluation needs them."""
        if not hasattr(self, "_fixed"):
            self._fixed = self._pixels(self.train_images, self._generator(0))
        return self._fixed

    def _generator(self, split: int) -> Generator:
        return torch.Generator().manual_seed(3 * self.seed + split)

    def _pixels(self, grey: Tensor, generator: Generator | None = None) -> Tensor:
        """uint8 -> float32 of the same shape, with values that suit the support."""
        return draw_pixels(grey, self.support, generator)

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Images from a file -> (n, *x_shape) float32, with pixels as in training; see `prepare_pixels`."""
        return prepare_pixels(rows, x_shape, self.support, generator, where)

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """The labels of a split, ("label", int64 (n,)), in the order of `batches`; None if there is no file of labels.

        Raises:
            ValueError: the split is unknown or not set up, the file is not an IDX file of labels, or the numbers of
                labels and images differ.
        """
        check_choice("split", split, SPLITS)
        try:
            return "label", self._labels(split)
        except FileNotFoundError:
            return None

    def _labels(self, split: str) -> Tensor:
        """The labels of a split, int64 (n,)."""
        path = find(self._folder, TEST_LABELS if split == "test" else TRAIN_LABELS)
        n_test, n_val = len(self.examples("test")[0]), len(self.examples("val")[0])
        n = n_test if split == "test" else len(self.train_images) + n_val
        labels = read_labels(path)
        if len(labels) != n:
            raise ValueError(
                f"{path} must hold a label for each of the {n} images, but holds {len(labels)}; use the labels of the "
                "same data set, or remove the file"
            )
        return {"train": labels[:-n_val], "val": labels[-n_val:], "test": labels}[split]

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. Unless it is MNIST, `data` is the folder's name and the test pixels' CRC-32."""
        shape = getattr(self, "x_shape", x_shape)
        drawn = "dynamic in training, validation and test drawn once" if self.resample else "fixed"
        return {
            **super().describe(x_shape),
            "per": f"image of {shape[-2]}x{shape[-1]} pixels" if shape and len(shape) > 1 else "image",
            "data": self._name(),
            "splits": f"the last {self.val_size} training images validate, and the test images test",
            "binarisation": f"{drawn} (seed {self.seed})" if self.support == "binary" else "none",
            "dequantisation": f"uniform, 256 levels (seed {self.seed})" if self.support == "real" else "none",
        }

    def _name(self) -> str:
        if not hasattr(self, "_identity"):
            try:
                self._identity = identify(self._folder)
            except (OSError, ValueError):  # without files, nothing more is known
                return "MNIST" if self.root is None else f"images in {self.root.resolve().name}"
        n_train, n_test, crc = self._identity
        if self._identity == CANONICAL:
            return "MNIST"
        return f"{n_train} + {n_test} images in {self._folder.resolve().name} (test images' CRC-32 {crc:08x})"
