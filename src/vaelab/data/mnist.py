"""MNIST, and any other image set in the IDX format."""

import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import pooch
import torch
from torch import Generator, Tensor

from vaelab.checks import SPLITS, check_choice, check_flag, check_seed, check_whole
from vaelab.data.download import MIRRORS, download_mnist
from vaelab.data.idx import read_images, read_labels, stream_images
from vaelab.data.idx_folder import find
from vaelab.data.module import DataModule
from vaelab.data.rows import SUPPORTS, Where, at_index, check_grey, check_rows, plain, shape_rows
from vaelab.escapes import for_terminal

TRAIN_IMAGES, TEST_IMAGES = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
TRAIN_LABELS, TEST_LABELS = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
log = logging.getLogger(__name__)

CANONICAL = (60_000, 10_000, 0xE4CA5F57)  # MNIST as `_identify` sees it


class MNIST(DataModule):
    """Images that reconstruct themselves, with pixels to fit the likelihood's support.

        binary         Bernoulli(grey / 255) draws: dynamic binarisation
        unit_interval  grey / 255
        real           (grey + U[0, 1)) / 256: dequantised, so that E_u[log p] − k·log 256 bounds a log-probability

    Training pixels are drawn afresh each time they are served; validation and test pixels are drawn once, from `seed`,
    so that scores compare across epochs, runs and models.

    Args:
        root: folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, raw or .gz, and if there are labels
            `train-labels-idx1-ubyte` and `t10k-labels-idx1-ubyte`. IDX files of another name are found too, if it holds
            the word train or test (or t10k). None downloads MNIST, once, to the user's cache.
        val_size: how many of the last training images are the validation split.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False draws the training pixels once too, from `seed` (fixed binarisation).
        seed: decides the pixels that are drawn once.
        mirrors: where to download from, tried in turn.
        support: what the likelihood scores: `binary`, `unit_interval` or `real`.

    Raises:
        ValueError: an unknown support, a split that leaves no images, or a file that is no IDX file.
        FileNotFoundError: `root` does not hold the files.
        OSError: the download failed.
    """

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
    ) -> None:
        super().__init__()
        if support not in SUPPORTS:
            raise ValueError(f"data.support={support} is not known; the model gives one of {', '.join(SUPPORTS)}")
        if isinstance(mirrors, str) or not mirrors or not all(isinstance(mirror, str) for mirror in mirrors):
            raise ValueError(f"data.mirrors must be a list of addresses, but is {mirrors}")
        if not isinstance(root, str | Path | None):
            raise ValueError(f"data.root must be the path of a folder, but is {root}")
        self.root = None if root is None else Path(root).expanduser()
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.resample = check_flag("data.resample", resample)
        self.seed = check_seed("data.seed", seed)
        self.mirrors = mirrors
        self.support = support
        self.levels = {"binary": 2, "real": 256}.get(support)

    def prepare_data(self) -> None:
        """Downloads MNIST where no `root` is given and the cache does not hold it."""
        if self.root is None:
            download_mnist(self._folder, self.mirrors)
        elif not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root={self.root} is no folder; point data.root at a folder of IDX files, or leave it out to "
                "download MNIST"
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
        if images.shape[1:] != test.shape[1:]:
            raise ValueError(
                f"data.root={self._folder} mixes training images of {tuple(images.shape[2:])} pixels with test images "
                f"of {tuple(test.shape[2:])}; put two files of one set there"
            )
        if self.val_size >= len(images):
            raise ValueError(
                f"data.val_size={self.val_size} leaves nothing to train on, because {path} holds {len(images)} images; "
                "use a smaller data.val_size"
            )
        self.x_shape = self.target_shape = tuple(images.shape[1:])
        self.train_images = images[: -self.val_size]
        self.train = self.train_images if self.resample else self._fixed_train()
        self.redraw = self._pixels if self.resample else None
        self.val = self._pixels(images[-self.val_size :], self._generator(1))
        self.test = self._pixels(test, self._generator(2))
        self._identity = len(images), len(test), zlib.crc32(test.numpy().tobytes())
        self._report = self._reported(path, test_path)
        if self._report:
            log.info(self._report)

    def _reported(self, train: Path, test: Path) -> str:
        """Which files were read, if their names are not MNIST's own."""
        if train.name.removesuffix(".gz") == TRAIN_IMAGES and test.name.removesuffix(".gz") == TEST_IMAGES:
            return ""
        counts = f"{self._identity[0]:,} training images from {train.name} and {self._identity[1]:,} test images from"
        turned = "; EMNIST files hold rows and columns exchanged, and were read as they are" * (
            "emnist" in train.name.lower()
        )
        return for_terminal(f"read {counts} {test.name}{turned}")

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        return getattr(self, "_report", "")

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x of a split (n, 1, rows, columns), and None; training pixels as `resample=False` draws them."""
        if split != "train" or not self.resample or not hasattr(self, "train"):
            return super().examples(split)
        return self._fixed_train(), None

    def mean(self) -> Tensor:
        """Mean of the training pixels, (1, rows, columns)."""
        if self.support == "real":
            return (self.train_images.mean(0, dtype=torch.float32) + 0.5) / 256
        return self.train_images.mean(0, dtype=torch.float32) / 255

    def _fixed_train(self) -> Tensor:
        """Training pixels drawn from `seed`; kept, since every evaluation asks for them."""
        if not hasattr(self, "_fixed"):
            self._fixed = self._pixels(self.train_images, self._generator(0))
        return self._fixed

    def _generator(self, split: int) -> Generator:
        return torch.Generator().manual_seed(3 * self.seed + split)

    def _pixels(self, grey: Tensor, generator: Generator | None = None) -> Tensor:
        """uint8 -> float32 of the same shape, as the support asks."""
        if self.support == "binary":
            # P(u < grey) = grey / 255 for u uniform on 0..254: exact, and half of the time of torch.bernoulli
            u = torch.randint(255, grey.shape, dtype=torch.uint8, generator=generator, device=grey.device)
            return (u < grey).float()
        if self.support == "unit_interval":
            return grey / 255
        # In steps of 2^-16, so that no sum rounds up into the next grey level: float32 holds each exactly.
        steps = torch.randint(2**16, grey.shape, generator=generator, device=grey.device)
        return (grey + steps / 2**16) / 256

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Images as a file holds them -> (n, *x_shape) float32, with pixels as in training; see `DataModule.prepare`.

        Integers are grey, 0 to 255: they are binarised, scaled or dequantised, with `generator` where that draws.
        Floats and bools are pixels prepared already. So are integers of 0 and 1 alone where the support is binary,
        because a .csv does not tell 1 from 1.0.

        Raises:
            ValueError: as `DataModule.prepare`; grey outside 0 to 255; or floats that are evidently grey.
        """
        rows = plain(shape_rows(rows, x_shape), where)
        if rows.is_floating_point() or rows.dtype == torch.bool:
            return self._check_prepared(rows.float(), where)
        black_and_white = self.support == "binary" and bool(((rows == 0) | (rows == 1)).all())
        return rows.float() if black_and_white else self._pixels(check_grey(rows, where), generator)

    def _check_prepared(self, x: Tensor, where: Where) -> Tensor:
        cure = "give grey pixels as integers from 0 to 255 (uint8), or floats that are prepared already"
        check_rows(x, self.support, "the data", cure, where)
        if len(x) and x.max() > 1 and bool((x == x.round()).all()):
            raise ValueError(
                f"the data holds whole numbers up to {x.max():g} as floats, but grey as float lies in [0, 1) "
                f"for this model; {cure}"
            )
        return x

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """The labels of a split, ("label", int64 (n,)), in the order of `batches`; None where their file is not there.

        Raises:
            ValueError: the split is not known or not set up, the file is no IDX label file, or it holds more or fewer
                labels than there are images.
        """
        check_choice("split", split, SPLITS)
        try:
            path = find(self._folder, TEST_LABELS if split == "test" else TRAIN_LABELS)
        except FileNotFoundError:
            return None
        n_test, n_val = len(self.examples("test")[0]), len(self.examples("val")[0])
        n = n_test if split == "test" else len(self.train_images) + n_val
        labels = read_labels(path)
        if len(labels) != n:
            raise ValueError(
                f"{path} holds {len(labels)} labels for {n} images; put the labels of the same set there, or leave "
                "them out"
            )
        return "label", {"train": labels[:-n_val], "val": labels[-n_val:], "test": labels}[split]

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. A set other than MNIST has its folder's name and the CRC-32 of its test pixels."""
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
                self._identity = _identify(self._folder)
            except (OSError, ValueError):  # no files, and so no more to say
                return "MNIST" if self.root is None else f"images in {self.root.resolve().name}"
        n_train, n_test, crc = self._identity
        if self._identity == CANONICAL:
            return "MNIST"
        return f"{n_train} + {n_test} images in {self._folder.resolve().name} (test images' CRC-32 {crc:08x})"


def _identify(folder: Path) -> tuple[int, int, int]:
    """Number of training images, number of test images, CRC-32 of the pixels of the latter."""
    n_train = sum(len(images) for images in stream_images(find(folder, TRAIN_IMAGES)))
    n_test, crc = 0, 0
    for images in stream_images(find(folder, TEST_IMAGES)):
        n_test, crc = n_test + len(images), zlib.crc32(images.numpy().tobytes(), crc)
    return n_train, n_test, crc
