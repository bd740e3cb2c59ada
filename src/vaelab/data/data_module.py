"""The base of all data modules: batches, rows prepared as in training, names, and what is known about the data."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor

from vaelab.checks import SPLITS, check_choice, check_whole
from vaelab.data.batches import Batches, Split, moved_if_it_fits
from vaelab.data.checksum import crc32
from vaelab.data.readers.source import Reading
from vaelab.data.row_checks import Where, at_index, check_rows, plain, shape_rows


class DataModule(LightningDataModule):
    """Serves (x, target) batches, or (x, target, condition) if the model is conditional, and describes the data.

    A subclass sets `x_shape` and `target_shape`, in `setup` at the latest. `setup` also sets `train` and, if the data
    have them, `val` and `test`. Each is (n, *x_shape) if x reconstructs itself, or else the pair of x and the target,
    (n, *target_shape). Everything else has a default. If files do not hold x as the encoder sees it, override
    `prepare`.

    If a subclass serves conditions, its constructor takes `condition`, and `setup` sets `conditions` too.

    Attributes:
        x_shape: shape of one x, what the encoder sees.
        target_shape: shape of one target, what the decoder is scored on.
        support: which values a target can take: `binary`, `unit_interval` or `real`.
        batch_size: examples per training batch.
        eval_batch_size: examples per validation and test batch.
        redraw: applied to each training batch of x as it is drawn, such as a fresh binarisation; None leaves x alone.
        levels: how many values a dimension of the target takes, for bits per dimension; None if it is continuous.
            If `describe()["measure"]` is `mass`, log p is a log-probability. If it is `density`, the k dimensions were
            dequantised to [0, 1), and E[log p] − k·log(levels) is a lower bound on a log-probability.
        model_names: the names of x that a trained model knows, in its order; set when the data of a run are loaded.
        reading: how files of rows are read if there is a choice.
        reads_columns: whether x are the columns of a file. Then a file that you give to a trained model must have them
            too, and tables of results repeat their names.
        condition: which condition is served, such as `label`; None if the model sees none.
        conditions: the conditions of each split, (n, *condition_shape) in the order of `batches`; empty without one.
        condition_names: the names of the numbers of a condition, such as its classes; None if they have none.
        model_condition_names: those that a trained model knows, in its order; set when the data of a run are loaded.
    """

    x_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    train: Tensor | tuple[Tensor, Tensor]
    val: Tensor | tuple[Tensor, Tensor]
    test: Tensor | tuple[Tensor, Tensor]
    support: str = "real"
    batch_size: int = 100
    eval_batch_size: int = 1_000
    redraw: Callable[[Tensor], Tensor] | None = None
    levels: int | None = None
    model_names: tuple[str, ...] | None = None
    reading: Reading = Reading()
    reads_columns: bool = False
    condition: str | None = None
    conditions: Mapping[str, Tensor] = MappingProxyType({})
    condition_names: tuple[str, ...] | None = None
    model_condition_names: tuple[str, ...] | None = None

    @property
    def condition_shape(self) -> tuple[int, ...] | None:
        """Shape of one condition; None if there is none, or if the data are not set up."""
        return tuple(self.conditions["train"].shape[1:]) if self.conditions else None

    def setup(self, stage: str | None = None) -> None:
        """Reads or draws the splits; called by Lightning, and before a model is evaluated."""

    def train_dataloader(self) -> Batches:
        """Shuffled training batches; `redraw` draws x afresh. Each process of a run gets its rows of each batch.

        With `trainer.overfit_batches` they come in one order, and `redraw` draws the same each time.
        """
        share = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        fixed = bool(getattr(self.trainer, "overfit_batches", 0))
        x, target, condition = self._on_device("train")
        return Batches(x, target, self.batch_size, not fixed, self.redraw, share, fixed, condition)

    def val_dataloader(self) -> Batches | list[Batches]:
        """Validation batches in a fixed order; an empty list if there is no `val`."""
        if not hasattr(self, "val"):
            return []
        x, target, condition = self._on_device("val")
        size = self.val_batch_size(getattr(self.trainer, "overfit_batches", 0))
        return Batches(x, target, size, condition=condition)

    def val_batch_size(self, overfit: float = 0) -> int:
        """Examples per validation batch, given `trainer.overfit_batches`."""
        if 0 < overfit < 1:  # that fraction of a single large batch would be no batch
            return max(1, min(self.eval_batch_size, int(len(self.examples("val")[0]) * overfit)))
        return self.eval_batch_size

    def test_dataloader(self) -> Batches:
        """Test batches in a fixed order."""
        x, target, condition = self._on_device("test")
        return Batches(x, target, self.eval_batch_size, condition=condition)

    def _on_device(self, split: str) -> Split:
        """What a split is served from, on the trainer's GPU if there is room."""
        held = self._served(split)
        device = self.trainer.strategy.root_device if self.trainer else None
        return held if device is None or device.type != "cuda" else moved_if_it_fits(held, device)

    def _served(self, split: str) -> Split:
        """x, target and condition of a split as the training loop is served them; None for what there is not."""
        return *_pair(getattr(self, split)), self.conditions.get(split)

    def batches(self, split: str, batch_size: int | None = None) -> Batches:
        """Batches of a split for evaluation, the same in every pass and every run.

        Each is (x, target), or (x, target, condition) if the model is conditional.

        Args:
            split: `train`, `val` or `test`.
            batch_size: examples per batch; `eval_batch_size` unless given.

        Raises:
            ValueError: the split is not known or not set up, or the batch size is no positive whole number.
        """
        size = check_whole("batch_size", batch_size if batch_size is not None else self.eval_batch_size, 1)
        return Batches(*self.examples(split), size, condition=self.conditions.get(split))

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x (n, *x_shape) and targets (n, *target_shape) of a split; None if the target is x.

        Raises:
            ValueError: the split is not known, or not set up.
        """
        check_choice("split", split, SPLITS)
        if not hasattr(self, split):
            raise ValueError(f"split={split} is not there, because the data are not set up; call setup() first")
        return _pair(getattr(self, split))

    def mean(self) -> Tensor:
        """Mean of the training targets, (*target_shape)."""
        x, target = _pair(self.train)
        return (x if target is None else target).mean(0)

    def fingerprint(self) -> int:
        """A checksum of every number that the splits are served from (CRC-32)."""
        splits = filter(partial(hasattr, self), SPLITS)
        return crc32(tensor for split in splits for tensor in self._served(split))

    def checksum(self, split: str) -> str:
        """CRC-32 of the examples of a split as they are served, as 8 hexadecimal digits: x, target and any condition.

        Raises:
            ValueError: the split is not known, or not set up.
        """
        return f"{crc32([*self.examples(split), self.conditions.get(split)]):08x}"

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Rows as a file holds them -> x as the encoder sees it, (n, *x_shape) float32, prepared as in training.

        It needs neither `setup` nor the training data.

        Args:
            rows: (n, *anything) of any real type, with as many numbers per row as `x_shape` has.
            x_shape: shape of one x of the trained model.
            generator: of the pixels that are drawn; torch's global one unless given.
            where: (row, number in the row), both from 0 -> its place in words, for the errors.

        Raises:
            ValueError: rows of another length, NaN, an infinite number, one outside the support, or a whole number of
                2^53 or more, which may not be exact.
        """
        x = plain(shape_rows(rows, x_shape, self.x_names), where).float()
        return check_rows(x, self.support, "the data", "give rows like those that the model was trained on", where)

    def entropy(self) -> float | None:
        """Entropy of the data's generator, nats per target; None if it is unknown or not finite."""
        return None

    def log_prob(self, target: Tensor) -> Tensor | None:
        """The generator's own log-density of targets (n, *target_shape) -> (n,), nats; None if there is none.

        Its mean over targets that the generator draws is −`entropy()`.
        """
        return None

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """Name of a label, and its value for each example of a split (n,), in the order of `batches`; None without.

        Figures are coloured by it. A model sees it only as a condition.
        """
        check_choice("split", split, SPLITS)
        return None

    @property
    def read_report(self) -> str:
        """One line that says what was read from files, and how; empty for data that are generated or not set up."""
        return ""

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the target's dimensions; None if they have none."""
        return None

    @property
    def x_names(self) -> tuple[str, ...] | None:
        """Names of the dimensions of x; None if they have none."""
        return None

    def surface(self, n: int) -> tuple[Tensor, Tensor] | None:
        """x on an n by n grid of the plane (n·n, *x_shape), and the true function there (n, n); or None."""
        return None

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """What a number that was measured on these data means; numbers compare only if all of this is equal.

        measure         `density` or `mass`: what exp(log p) is
        per             what one example is
        data            which data
        splits          how the examples that are scored were chosen
        binarisation    how grey pixels became binary
        dequantisation  how discrete values became real
        condition       what the model sees beside x, if anything
        val_checksum    CRC-32 of the validation examples as they are served; once the data are set up
        test_checksum   the same of the test examples

        Settings of the training examples alone, such as their number, are left out.

        Args:
            x_shape: shape of one x, for data that are not set up.
        """
        shape = getattr(self, "x_shape", x_shape)
        return {
            "measure": "mass" if self.support == "binary" else "density",
            "per": "row" if shape is None else f"row of {math.prod(shape)} numbers",
            "data": type(self).__name__,
            "splits": "given by the data",
            "binarisation": "none",
            "dequantisation": "none",
            **({"condition": self.condition} if self.condition else {}),
            **{f"{split}_checksum": self.checksum(split) for split in ("val", "test") if hasattr(self, split)},
        }


def _pair(held: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    return (held, None) if isinstance(held, Tensor) else held
