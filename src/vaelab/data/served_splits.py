"""The splits of a data set, served in batches."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from lightning.pytorch import LightningDataModule
from torch import Tensor

from vaelab.checks import SPLITS, check_choice, check_whole
from vaelab.data.batches import Batches, Split, moved_if_it_fits
from vaelab.data.checksum import crc32


class ServedSplits(LightningDataModule):
    """Holds the training, validation and test examples, and serves them in batches.

    Attributes:
        train: the training examples: x (n, *x_shape) if x reconstructs itself, or else the pair of x and the target
            (n, *target_shape).
        val: the validation examples, if there are any.
        test: the test examples, if there are any.
        batch_size: examples per training batch.
        eval_batch_size: examples per validation and test batch.
        redraw: applied to each training batch of x when it is drawn, for example a fresh binarisation; None leaves x
            unchanged.
        conditions: the conditions of each split, (n, *condition_shape) in the order of `batches`; empty if there are
            none.
    """

    train: Tensor | tuple[Tensor, Tensor]
    val: Tensor | tuple[Tensor, Tensor]
    test: Tensor | tuple[Tensor, Tensor]
    batch_size: int = 100
    eval_batch_size: int = 1_000
    redraw: Callable[[Tensor], Tensor] | None = None
    conditions: Mapping[str, Tensor] = MappingProxyType({})

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """The shape of one condition; None if there is none, or before `setup`."""
        return tuple(self.conditions["train"].shape[1:]) if self.conditions else None

    def train_dataloader(self) -> Batches:
        """Shuffled training batches, with x drawn afresh by `redraw`. Each process of a run gets its share of the rows.

        With `trainer.overfit_batches`, the order and the draws of `redraw` are the same in every pass.
        """
        share = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        fixed = bool(getattr(self.trainer, "overfit_batches", 0))
        x, target, condition = self._on_device("train")
        return Batches(x, target, self.batch_size, not fixed, self.redraw, share, fixed, condition)

    def val_dataloader(self) -> Batches | list[Batches]:
        """Validation batches in a fixed order, or an empty list if there is no `val`."""
        if not hasattr(self, "val"):
            return []
        x, target, condition = self._on_device("val")
        size = self.val_batch_size(getattr(self.trainer, "overfit_batches", 0))
        return Batches(x, target, size, condition=condition)

    def val_batch_size(self, overfit: float = 0) -> int:
        """Examples per validation batch, given `trainer.overfit_batches`."""
        if 0 < overfit < 1:  # this fraction of a single large batch would be less than one batch
            return max(1, min(self.eval_batch_size, int(len(self.examples("val")[0]) * overfit)))
        return self.eval_batch_size

    def test_dataloader(self) -> Batches:
        """Test batches in a fixed order."""
        x, target, condition = self._on_device("test")
        return Batches(x, target, self.eval_batch_size, condition=condition)

    def _on_device(self, split: str) -> Split:
        """The tensors that a split is served from, on the trainer's GPU if there is room."""
        held = self._served(split)
        device = self.trainer.strategy.root_device if self.trainer else None
        return held if device is None or device.type != "cuda" else moved_if_it_fits(held, device)

    def _served(self, split: str) -> Split:
        """x, target and condition of a split, as the training loop gets them; None for each that does not exist."""
        return *pair(getattr(self, split)), self.conditions.get(split)

    def batches(self, split: str, batch_size: int | None = None) -> Batches:
        """Batches of a split for evaluation, the same in every pass and every run.

        Each is (x, target), or (x, target, condition) if the model is conditional.

        Args:
            split: `train`, `val` or `test`.
            batch_size: examples per batch, by default `eval_batch_size`.

        Raises:
            ValueError: the split is unknown or not set up, or the batch size is not a whole number of at least 1.
        """
        size = check_whole("batch_size", batch_size if batch_size is not None else self.eval_batch_size, 1)
        return Batches(*self.examples(split), size, condition=self.conditions.get(split))

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x (n, *x_shape) and targets (n, *target_shape) of a split; None for the targets if they are x.

        Raises:
            ValueError: the split is unknown, or not set up.
        """
        check_choice("split", split, SPLITS)
        if not hasattr(self, split):
            raise ValueError(f"the data must be set up before you use split={split}, but are not; call setup() first")
        return pair(getattr(self, split))

    def size_of(self, split: str) -> int:
        """The number of examples in a split, after `setup`."""
        return len(pair(getattr(self, check_choice("split", split, SPLITS)))[0])

    def fingerprint(self) -> int:
        """A checksum (CRC-32) of all numbers in the splits."""
        splits = filter(partial(hasattr, self), SPLITS)
        return crc32(tensor for split in splits for tensor in self._served(split))

    def checksum(self, split: str) -> str:
        """CRC-32 of the examples of a split, as 8 hexadecimal digits: x, target and any condition, as they are served.

        Raises:
            ValueError: the split is unknown, or not set up.
        """
        return f"{crc32([*self.examples(split), self.conditions.get(split)]):08x}"


def pair(held: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """x and the target; None for the target if it is x."""
    return (held, None) if isinstance(held, Tensor) else held
