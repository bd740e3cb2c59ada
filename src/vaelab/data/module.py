"""What vaelab asks of data beyond Lightning: fixed batches, prepared rows, names, and what is known of the data."""

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor

from vaelab.checks import SPLITS, check_choice, check_whole
from vaelab.data.batches import Batches
from vaelab.data.readers.source import Reading
from vaelab.data.rows import Where, at_index, check_rows, plain, shape_rows


class DataModule(LightningDataModule):
    """Serves (x, target) batches, and answers what the evaluation of a model asks about its data.

    A subclass sets `x_shape` and `target_shape`, in `setup` at the latest. `setup` also sets `train` and, if the data
    have them, `val` and `test`. Each is (n, *x_shape) if x reconstructs itself, or else the pair of x and the target,
    (n, *target_shape). Everything else has a default. If x is not what the likelihood scores, and is not in `support`,
    override `prepare`.

    Attributes:
        x_shape: shape of one x, what the encoder sees.
        target_shape: shape of one target, what the decoder is scored on.
        support: where the target's numbers lie, `binary`, `unit_interval` or `real`.
        batch_size: examples per training batch.
        eval_batch_size: examples per validation and test batch.
        redraw: applied to each training batch of x as it is drawn, such as a fresh binarisation; None leaves x alone.
        levels: how many discrete values a dimension of the target takes, for bits per dimension; None where continuous.
            Where `describe()["measure"]` is `mass`, log p is their log-probability. Where it is `density`, the k values
            were dequantised to [0, 1), and E[log p] − k·log(levels) is a lower bound on their log-probability.
        model_names: the names of x that a trained model knows, in its order; set when the data of a run are loaded.
        reading: how files of rows are read where there is a choice.
        reads_columns: whether x are the columns of a file. Then a file that a trained model is given must have them
            too, and tables of results repeat their names.
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

    def setup(self, stage: str | None = None) -> None:
        """Reads or draws the splits; called by Lightning, and before a model is evaluated."""

    def train_dataloader(self) -> Batches:
        """Shuffled (x, target) batches; x passes through `redraw`. Each process of a run gets its rows of each.

        With `trainer.overfit_batches` they come in one order, and `redraw` draws the same each time.
        """
        share = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        fixed = bool(getattr(self.trainer, "overfit_batches", 0))
        return Batches(*self._on_device("train"), self.batch_size, not fixed, self.redraw, share, fixed)

    def val_dataloader(self) -> Batches | list[Batches]:
        """(x, target) batches in a fixed order; an empty list if there is no `val`."""
        if not hasattr(self, "val"):
            return []
        return Batches(*self._on_device("val"), self.val_batch_size(getattr(self.trainer, "overfit_batches", 0)))

    def val_batch_size(self, overfit: float = 0) -> int:
        """Examples per validation batch, given `trainer.overfit_batches`."""
        if 0 < overfit < 1:  # that fraction of a single large batch would be no batch
            return max(1, min(self.eval_batch_size, int(len(self.examples("val")[0]) * overfit)))
        return self.eval_batch_size

    def test_dataloader(self) -> Batches:
        """(x, target) batches in a fixed order."""
        return Batches(*self._on_device("test"), self.eval_batch_size)

    def _on_device(self, split: str) -> tuple[Tensor, Tensor | None]:
        """What a split serves from, on the trainer's GPU where half of its free memory holds it: no batch is copied."""
        held = _pair(getattr(self, split))
        device = self.trainer.strategy.root_device if self.trainer else None
        if device is None or device.type != "cuda":
            return held
        size = sum(tensor.nbytes for tensor in held if tensor is not None)
        if size > torch.cuda.mem_get_info(device)[0] / 2:
            return held
        x, target = held
        return x.to(device), None if target is None else target.to(device)

    def batches(self, split: str, batch_size: int | None = None) -> Batches:
        """(x, target) batches of a split, the same in every pass and every run: what evaluation sees.

        Args:
            split: `train`, `val` or `test`.
            batch_size: examples per batch; `eval_batch_size` unless given.

        Raises:
            ValueError: the split is not known or not set up, or the batch size is no positive whole number.
        """
        size = check_whole("batch_size", batch_size if batch_size is not None else self.eval_batch_size, 1)
        return Batches(*self.examples(split), size)

    def examples(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All x (n, *x_shape) and targets (n, *target_shape) of a split, as `batches` serves them; None where it is x.

        Raises:
            ValueError: the split is not known, or not set up.
        """
        check_choice("split", split, SPLITS)
        if not hasattr(self, split):
            raise ValueError(f"split={split} is not there yet, because the data is not set up; call setup() first")
        return _pair(getattr(self, split))

    def mean(self) -> Tensor:
        """Mean of the training targets, (*target_shape)."""
        x, target = _pair(self.train)
        return (x if target is None else target).mean(0)

    def fingerprint(self) -> int:
        """A checksum of every number that the splits are served from (CRC-32)."""
        splits = filter(partial(hasattr, self), SPLITS)
        return _crc(tensor for split in splits for tensor in _pair(getattr(self, split)))

    def checksum(self, split: str) -> str:
        """CRC-32 of the examples of a split as they are served, x and target, as 8 hexadecimal digits.

        Raises:
            ValueError: the split is not known, or not set up.
        """
        return f"{_crc(self.examples(split)):08x}"

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Rows as a file holds them -> x as the encoder sees it, (n, *x_shape) float32, prepared as in training.

        Needs neither `setup` nor the training data.

        Args:
            rows: (n, *anything) of any real type, with as many numbers per row as `x_shape` has.
            x_shape: shape of one x of the trained model.
            generator: of what preparing draws; torch's global one unless given.
            where: (row, number in the row), both from 0 -> its place in words, for the errors.

        Raises:
            ValueError: rows of another length, NaN, an infinite number, one outside the support, or a whole number of
                2^53 or more, which may not be exact.
        """
        x = plain(shape_rows(rows, x_shape, self.x_names), where).float()
        return check_rows(x, self.support, "the data", "give rows like those that the model was trained on", where)

    def entropy(self) -> float | None:
        """Entropy of the data's generator, nats per target; None where it is unknown or not finite."""
        return None

    def log_prob(self, target: Tensor) -> Tensor | None:
        """The generator's own log-density of targets (n, *target_shape) -> (n,), nats; None where there is none.

        Its mean over targets that the generator draws is −`entropy()`.
        """
        return None

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """Name of a label, and its value for each example of a split (n,), in the order of `batches`; None without.

        A label colours figures; no model sees it.
        """
        check_choice("split", split, SPLITS)
        return None

    @property
    def read_report(self) -> str:
        """One line that says what was read from files, and how; empty for data that are generated or not set up."""
        return ""

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the target's dimensions; None where they have none."""
        return None

    @property
    def x_names(self) -> tuple[str, ...] | None:
        """Names of the dimensions of x; None where they have none."""
        return None

    def surface(self, n: int) -> tuple[Tensor, Tensor] | None:
        """x on an n by n grid of the plane (n·n, *x_shape), and the true function there (n, n); None without one."""
        return None

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """What a number measured on this data means; numbers compare only if all of this is equal.

        measure         `density` or `mass`: what exp(log p) is
        per             what one example is
        data            which data
        splits          how the examples that are scored were chosen
        binarisation    how grey pixels became binary
        dequantisation  how discrete values became real
        val_checksum    CRC-32 of the validation examples as they are served; once the data are set up
        test_checksum   the same of the test examples

        What only the training examples depend on, such as their number, is left out.

        Args:
            x_shape: shape of one x, for data that is not set up.
        """
        shape = getattr(self, "x_shape", x_shape)
        return {
            "measure": "mass" if self.support == "binary" else "density",
            "per": "row" if shape is None else f"row of {math.prod(shape)} numbers",
            "data": type(self).__name__,
            "splits": "given by the data",
            "binarisation": "none",
            "dequantisation": "none",
            **{f"{split}_checksum": self.checksum(split) for split in ("val", "test") if hasattr(self, split)},
        }


def _crc(tensors: Iterable[Tensor | None]) -> int:
    """CRC-32 of the bytes of tensors, one after the other."""
    found = 0
    for tensor in tensors:
        if tensor is not None:
            found = zlib.crc32(tensor.contiguous().numpy().data, found)
    return found


def _pair(held: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    return (held, None) if isinstance(held, Tensor) else held
