"""The base class of images without given splits: they are split at random."""

from collections.abc import Sequence

from torch import Tensor

from vaelab.checks import SPLITS, check_choice, check_flag, check_seed, check_whole
from vaelab.data.checksum import crc32
from vaelab.data.condition import check_condition, one_hot_conditions
from vaelab.data.drawn_images import DrawnImages
from vaelab.data.pixels import levels_of
from vaelab.data.random_split import check_size, random_split
from vaelab.data.row_checks import SUPPORTS, check_support
from vaelab.data.wording import counted, listed


class SplitImages(DrawnImages):
    """Images that are split at random. An image's split depends only on the number of images, the sizes and `seed`.

    Args:
        val_size: the number of validation images, or their fraction of all images.
        test_size: the number of test images, or their fraction of all images.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False also draws the training pixels only once, from `seed`.
        seed: the seed of the splits, and of all pixels that are drawn once.
        support: the data that the likelihood scores: `binary`, `unit_interval`, `levels` or `real`.
        condition: `label` serves the label of each image too, one-hot; None serves only images.

    Attributes:
        parts: the indices of the images in each split, ascending.
    """

    parts: dict[str, Tensor]

    def __init__(
        self,
        val_size: int | float,
        test_size: int | float,
        batch_size: int,
        eval_batch_size: int,
        resample: bool,
        seed: int,
        support: str,
        condition: str | None,
    ) -> None:
        super().__init__()
        self.val_size = check_size("data.val_size", val_size, "image")
        self.test_size = check_size("data.test_size", test_size, "image")
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.resample = check_flag("data.resample", resample)
        self.seed = check_seed("data.seed", seed)
        self.support = check_support(support, SUPPORTS, "images")
        self.levels = levels_of(support, self.greys)
        self.condition = check_condition(condition)

    def split(self, images: Tensor, source: str, labels: Tensor | None = None, names: Sequence[str] = ()) -> None:
        """Splits images (n, channels, rows, columns), and their labels (n,), codes of `names`.

        Raises:
            ValueError: no images are left to train on, or the condition needs labels and there are none.
        """
        parts = random_split(len(images), self.val_size, self.test_size, self.seed, source, "image")
        self._identity = f"{counted(len(images), 'image')} (CRC-32 {crc32([images]):08x})"
        self._counts = tuple(map(len, parts))
        self.parts = dict(zip(SPLITS, parts, strict=True))
        self.label_names = tuple(names) if labels is not None else None
        self._codes = None if labels is None else {name: labels[part] for name, part in self.parts.items()}
        self.serve(*(images[part] for part in parts))
        if self.condition is not None:
            self._set_conditions(source)

    def _set_conditions(self, source: str) -> None:
        """Sets the label of every image as a one-hot condition."""
        if self._codes is None or self.label_names is None:
            raise ValueError(
                f"condition=label needs a label for each image, but {source} has none; put the images of each class "
                "into a sub-folder of its own, or leave the condition out"
            )
        self.condition_names = self.model_condition_names or self.label_names
        self.conditions = one_hot_conditions(self._codes, self.label_names, self.condition_names, source)

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """The codes of a split's labels, ("label", int64 (n,)), in the order of `batches`; None if there are none.

        Raises:
            ValueError: the split is unknown, or not set up.
        """
        self.examples(check_choice("split", split, SPLITS))
        return None if self._codes is None else ("label", self._codes[split])

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. `data` is the number of images and their CRC-32, after `setup`."""
        sizes = f"drawn by seed {self.seed} with val_size {self.val_size} and test_size {self.test_size}"
        if hasattr(self, "_counts"):
            _, val, test = self._counts
            sizes = f"{val} images to validate and {test} to test, drawn by seed {self.seed}"
        return {**super().describe(x_shape), "data": getattr(self, "_identity", "images"), "splits": sizes}

    def shares(self) -> str:
        """The splits and the labels in words, for `read_report`."""
        train, val, test = self._counts
        kinds = f"; labels: {listed(self.label_names)}" if self.label_names else ""
        return f"{train:,} to train, {val:,} to validate, {test:,} to test{kinds}"
