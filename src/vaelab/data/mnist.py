"""The data modules for MNIST, for Fashion-MNIST, and for other images in the IDX format."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_choice, check_flag, check_seed, check_whole
from vaelab.data.checksum import crc32
from vaelab.data.condition import check_condition, names_of, one_hot_conditions
from vaelab.data.download import FASHION_MNIST, PUBLISHED, Published, cache, download
from vaelab.data.download import MNIST as MNIST_FILES
from vaelab.data.drawn_images import DrawnImages
from vaelab.data.idx_folder import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, find, identify
from vaelab.data.idx_format import read_images, read_labels
from vaelab.data.pixels import levels_of
from vaelab.data.row_checks import SUPPORTS, check_support
from vaelab.escapes import for_terminal


class MNIST(DrawnImages):
    """Images that reconstruct themselves, with pixels that the likelihood can score.

    `draw_pixels` turns grey values into pixels. Training pixels are drawn afresh each time they are served. Validation
    and test pixels are drawn once, from `seed`, so you can compare scores across epochs, runs and models.

    Args:
        root: the folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, raw or .gz, and if there are
            labels, `train-labels-idx1-ubyte` and `t10k-labels-idx1-ubyte`. IDX files with other names are found too, if
            the name holds the word train or test (or t10k). None downloads the published files, once, to the user's
            cache.
        val_size: the number of validation images, taken from the end of the training images.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False also draws the training pixels only once, from `seed` (fixed binarisation).
        seed: the seed of all pixels that are drawn once.
        mirrors: the addresses to download from, tried in turn; None uses those of `published`.
        support: the data that the likelihood scores: `binary`, `unit_interval`, `levels` or `real`.
        condition: `label` serves the label of each image too, one-hot; None serves only images.

    Raises:
        ValueError: the support or the condition is unknown, `val_size` leaves no images to train on, a file is not an
            IDX file, or the labels do not match the images.
        FileNotFoundError: `root` does not hold the files.
        OSError: the download failed.

    Attributes:
        published: the files that are downloaded, with their hashes.
        classes: the names of the labels 0, 1, …; None if the labels are their own names.
    """

    published: Published = MNIST_FILES
    classes: tuple[str, ...] | None = None

    def __init__(
        self,
        root: str | Path | None = None,
        val_size: int = 10_000,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        resample: bool = True,
        seed: int = 0,
        mirrors: Sequence[str] | None = None,
        support: str = "binary",
        condition: str | None = None,
    ) -> None:
        super().__init__()
        mirrors = self.published.mirrors if mirrors is None else mirrors
        if isinstance(mirrors, str) or not mirrors or not all(isinstance(mirror, str) for mirror in mirrors):
            raise ValueError(f"data.mirrors must be a list of addresses, but is {mirrors}; use [https://…]")
        if not isinstance(root, str | Path | None):
            name = self.published.name
            raise ValueError(f"data.root must be the path of a folder, but is {root}; leave it out to download {name}")
        self.root = None if root is None else Path(root).expanduser()
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.resample = check_flag("data.resample", resample)
        self.seed = check_seed("data.seed", seed)
        self.mirrors = mirrors
        self.support = check_support(support, SUPPORTS, "images")
        self.levels = levels_of(support)
        self.condition = check_condition(condition)

    def prepare_data(self) -> None:
        """Downloads the published files if `root` is None and they are not in the cache."""
        if self.root is None:
            download(self.published, self._folder, self.mirrors)
        elif not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root must be a folder of IDX files, but {self.root} is not a folder; set it to one, or leave it "
                f"out to download {self.published.name}"
            )

    @property
    def _folder(self) -> Path:
        return self.root or cache(self.published)

    def setup(self, stage: str | None = None) -> None:
        """Reads the files and draws the pixels of the validation and test splits, once."""
        if hasattr(self, "test"):
            return
        path, test_path = find(self._folder, TRAIN_IMAGES), find(self._folder, TEST_IMAGES)
        images = read_images(path).unsqueeze(1)  # (n, 1, rows, columns)
        test = read_images(test_path).unsqueeze(1)
        self._check_images(path, images, test)
        self.serve(images[: -self.val_size], images[-self.val_size :], test)
        self.label_names = self._names_of_labels()
        if self.condition is not None:
            self._set_conditions()
        self._identity = len(images), len(test), crc32([test])
        self._report = self._reported(path, test_path)

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
            raise FileNotFoundError(f"condition=label needs the labels of all images: {error}") from error
        known = torch.cat([labels["train"], labels["val"]]).unique()
        self.condition_names = self.model_condition_names or tuple(names_of(known, self.label_names))
        self.conditions = one_hot_conditions(labels, self.label_names, self.condition_names, str(self._folder))

    def _names_of_labels(self) -> tuple[str, ...] | None:
        """The names of the classes, if there are labels and each has a name."""
        if self.classes is None:
            return None
        try:
            largest = max(int(self._labels(split).max()) for split in SPLITS)
        except FileNotFoundError:
            return None
        return self.classes if largest < len(self.classes) else None

    def _reported(self, train: Path, test: Path) -> str:
        """A line about the images that were read, with the names of the files if these are not MNIST's own."""
        n_train, n_test, _ = self._identity
        files, said = [train, test], [f"{n_train:,} training images", f"{n_test:,} test images"]
        if [file.name.removesuffix(".gz") for file in files] == [TRAIN_IMAGES, TEST_IMAGES]:
            _, height, width = self.x_shape
            what = f"read {self._name()}: {said[0]} and {said[1]} of {height}x{width} pixels"
        else:
            what = "read " + " and ".join(f"{count} from {file.name}" for count, file in zip(said, files, strict=True))
        turned = "; EMNIST stores images with rows and columns swapped, and they were read as stored" * (
            "emnist" in train.name.lower()
        )
        return for_terminal(f"{what}; the last {self.val_size:,} training images validate{turned}")

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        return getattr(self, "_report", "")

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
        """See `DataModule.describe`. `data` is MNIST, or else the folder's name and the test pixels' CRC-32."""
        return {
            **super().describe(x_shape),
            "data": self._name(),
            "splits": f"the last {self.val_size} training images validate, and the test images test",
        }

    def _name(self) -> str:
        if not hasattr(self, "_identity"):
            try:
                self._identity = identify(self._folder)
            except (OSError, ValueError):  # without files, nothing more is known
                return self.published.name if self.root is None else f"images in {self.root.resolve().name}"
        if (name := {each.identity: each.name for each in PUBLISHED}.get(self._identity)) is not None:
            return name
        n_train, n_test, crc = self._identity
        return f"{n_train} + {n_test} images in {self._folder.resolve().name} (test images' CRC-32 {crc:08x})"


class FashionMNIST(MNIST):
    """Fashion-MNIST: 70,000 grey images of clothes, 28x28 pixels, in ten classes (Xiao et al. 2017).

    It has the same files and arguments as `MNIST`, and more detail in its grey values (arxiv.org/abs/1708.07747).
    """

    published = FASHION_MNIST
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
