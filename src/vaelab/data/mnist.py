"""MNIST, and any other image set in the IDX format."""

from collections.abc import Sequence
from pathlib import Path

import pooch
import torch
from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor

from vaelab.checks import check_flag, check_seed, check_whole
from vaelab.data.batches import Batches
from vaelab.data.download import MIRRORS, download_mnist
from vaelab.data.idx import find, read_images

SUPPORTS = ("binary", "unit_interval", "real")


class MNIST(LightningDataModule):
    """Images that reconstruct themselves, with pixels to fit the likelihood's support.

        binary         Bernoulli(grey / 255) draws: dynamic binarisation
        unit_interval  grey / 255
        real           (grey + U[0, 1)) / 256: dequantised, so that E_u[log p] − k·log 256 bounds a log-probability

    Training pixels are drawn afresh each time they are served; validation and test pixels are drawn once, from `seed`,
    so that scores compare across epochs, runs and models.

    Args:
        root: folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, raw or .gz; None downloads MNIST,
            once, to the user's cache.
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
            raise ValueError(f"data.mirrors={mirrors} does not fit, because it must be a list of addresses")
        if not isinstance(root, str | Path | None):
            raise ValueError(f"data.root={root} does not fit, because it must be the path of a folder")
        self.root = None if root is None else Path(root).expanduser()
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.resample = check_flag("data.resample", resample)
        self.seed = check_seed("data.seed", seed)
        self.mirrors = mirrors
        self.support = support

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
        path = find(self._folder, "train-images-idx3-ubyte")
        images = read_images(path).unsqueeze(1)  # (n, 1, rows, columns)
        test = read_images(find(self._folder, "t10k-images-idx3-ubyte")).unsqueeze(1)
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
        generators = [torch.Generator().manual_seed(3 * self.seed + split) for split in range(3)]
        self.train = images[: -self.val_size]
        if not self.resample:
            self.train = self._prepare(self.train, generators[0])
        self.val = self._prepare(images[-self.val_size :], generators[1])
        self.test = self._prepare(test, generators[2])

    def _prepare(self, grey: Tensor, generator: Generator | None = None) -> Tensor:
        """uint8 -> float32 of the same shape, as the support asks."""
        if self.support == "binary":
            return torch.bernoulli(grey / 255, generator=generator)
        if self.support == "unit_interval":
            return grey / 255
        # In steps of 2^-16, so that no sum rounds up into the next grey level: float32 holds each exactly.
        steps = torch.randint(2**16, grey.shape, generator=generator, device=grey.device)
        return (grey + steps / 2**16) / 256

    def train_dataloader(self) -> Batches:
        """Shuffled (x, x) batches, their pixels drawn afresh."""
        return Batches(
            self.train, None, self.batch_size, shuffle=True, prepare=self._prepare if self.resample else None
        )

    def val_dataloader(self) -> Batches:
        """(x, x) batches in a fixed order."""
        return Batches(self.val, None, self.eval_batch_size)

    def test_dataloader(self) -> Batches:
        """(x, x) batches in a fixed order."""
        return Batches(self.test, None, self.eval_batch_size)
