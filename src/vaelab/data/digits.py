"""The data module for scikit-learn's handwritten digits, which need no download."""

import torch

from vaelab.data.split_images import SplitImages

GREYS = 17


class Digits(SplitImages):
    """1,797 handwritten digits of 8x8 pixels with 17 grey values, and their labels, from scikit-learn.

    Source: E. Alpaydin and C. Kaynak 1998, archive.ics.uci.edu/dataset/80.

    Args:
        val_size: the number of validation images, or their fraction of all images.
        test_size: the number of test images, or their fraction of all images.
        batch_size: images per training batch.
        eval_batch_size: images per validation and test batch.
        resample: False also draws the training pixels only once, from `seed`.
        seed: the seed of the splits, and of all pixels that are drawn once.
        support: the data that the likelihood scores: `binary`, `unit_interval`, `levels` or `real`.
        condition: `label` serves the label of each image too, one-hot; None serves only images.

    Raises:
        ValueError: a value is out of range, the splits leave nothing to train on, or scikit-learn is not installed.

    >>> data = Digits(val_size=297, test_size=500, support="real")
    >>> data.setup()
    >>> data.x_shape, len(data.train), data.levels
    ((1, 8, 8), 1000, 17)
    """

    greys = GREYS

    def __init__(
        self,
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

    def setup(self, stage: str | None = None) -> None:
        """Takes the digits from scikit-learn and draws the splits, once."""
        if hasattr(self, "test"):
            return
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ValueError(
                "data=digits needs scikit-learn, which is not installed; install it with: pip install 'vaelab[digits]'"
            ) from error
        digits = load_digits()
        images = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)  # (n, 1, 8, 8)
        self.split(images, "data=digits", torch.from_numpy(digits.target).long(), [str(digit) for digit in range(10)])
        self._identity = f"scikit-learn's digits, {self._identity}"

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        if not hasattr(self, "_counts"):
            return ""
        return f"took 1,797 digits of 8x8 pixels from scikit-learn: {self.shares()}"
