"""The base class of all data modules: rows prepared as in training, names, and facts about the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Generator, Tensor, std_mean

from vaelab.checks import SPLITS, check_choice
from vaelab.data.readers.source import Reading
from vaelab.data.row_checks import Where, at_index, check_rows, plain, shape_rows
from vaelab.data.served_splits import ServedSplits, pair
from vaelab.precision import double
from vaelab.supports import DISCRETE

CONSTANT = 1e-7  # numbers whose spread is smaller than this, relative to their size, differ by rounding alone


class DataModule(ServedSplits):
    """Serves (x, target) batches, or (x, target, condition) if the model is conditional, and describes the data.

    A subclass sets `x_shape` and `target_shape`, in `setup` at the latest. `setup` also sets `train` and, if the data
    have them, `val` and `test`. Each of these is x (n, *x_shape) if x reconstructs itself, or else the pair of x and
    the target (n, *target_shape). Everything else has a default. If your files hold x in another form than the
    encoder's input, override `prepare`.

    If a subclass serves conditions, its constructor takes `condition`, and `setup` also sets `conditions`.

    Attributes:
        x_shape: the shape of one x, the encoder's input.
        target_shape: the shape of one target, which the decoder is scored on.
        support: the values that a target can take; see `vaelab.families.Family`.
        levels: how many values a dimension of the target takes, for bits per dimension; None if it is continuous.
            If `describe()["measure"]` is `mass`, log p is a log-probability. If it is `density`, the k dimensions were
            dequantised to [0, 1), and E[log p] − k·log(levels) is a lower bound on a log-probability.
        model_names: the names of a trained model's x, in its order; set when the data of a run are loaded.
        reading: how files of rows are read if there is a choice.
        reads_columns: True if x holds the columns of a file. Then a file that you give to a trained model must have
            these columns too, and tables of results repeat their names.
        logs_read_report: True if `setup` itself logs `read_report`, as the readers of files do.
        standardize: True if the model standardises x and the target, with `standardization`. The data module itself
            serves numbers in the data's own units.
        label_names: the names of the classes, in the order of their codes, if `labels` returns codes; else None.
        condition: the kind of condition: `label`, or a list of columns; None if there is none.
        condition_names: the names of the numbers in a condition, such as its classes; None if they have no names.
        model_condition_names: these names for a trained model, in its order; set when the data of a run are loaded.
        model_columns: `column_kinds` and `column_categories` of a trained model; set when the data of a run are loaded.
    """

    x_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    support: str = "real"
    levels: int | None = None
    model_names: tuple[str, ...] | None = None
    reading: Reading = Reading()
    reads_columns: bool = False
    logs_read_report: bool = False
    standardize: bool = False
    label_names: tuple[str, ...] | None = None
    condition: str | Sequence[str] | None = None
    condition_names: tuple[str, ...] | None = None
    model_condition_names: tuple[str, ...] | None = None
    model_columns: Mapping[str, Any] | None = None

    def setup(self, stage: str | None = None) -> None:
        """Reads or draws the splits. Lightning calls it, and so does the evaluation of a model."""

    def mean(self) -> Tensor:
        """Mean of the training targets, (*target_shape)."""
        x, target = pair(self.train)
        return double(x if target is None else target).mean(0).float()  # in float32, the mean of many 1e9 is off by 192

    def standardization(self, which: str) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of the training split, each of the shape of one x or one target.

        The standard deviation of a constant is replaced by 1.

        Args:
            which: `x` or `target`.

        Raises:
            ValueError: `which` is neither.
        """
        check_choice("which", which, ("x", "target"))
        x, target = pair(self.train)
        values = x if which == "x" or target is None else target
        std, mean = std_mean(values.double(), 0, correction=0)
        return mean.float(), std.float().where(std > CONSTANT * mean.abs(), 1)

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """Prepares rows from a file as in training -> x, the encoder's input, (n, *x_shape) float32.

        This needs neither `setup` nor the training data.

        Args:
            rows: (n, *anything) of any real type, with as many numbers per row as `x_shape` has.
            x_shape: the shape of one x of the trained model.
            generator: the generator of drawn pixels, by default torch's global one.
            where: (row, number in the row), both from 0 -> its place in words, for the errors.

        Raises:
            ValueError: a row has another length, or a number is NaN, infinite, outside the support, or a whole number
                of 2^53 or more, which may not be exact.
        """
        x = plain(shape_rows(rows, x_shape, self.x_names), where).float()
        return check_rows(x, self.support, "the data", "use rows like those that the model was trained on", where)

    @property
    def names_in_files(self) -> tuple[str, ...] | None:
        """The names that the columns of a file for a trained model must have; None if they have no names."""
        return self.model_names

    def with_conditions(self, rows: Tensor, where: Where = at_index) -> tuple[Tensor, Tensor | None]:
        """Takes the rows of a file apart: those of x, for `prepare`, and their conditions (n, c), or None.

        Args:
            rows: (n, columns), as `reading_for` reads them.
            where: (row, number in the row), both from 0 -> its place in words, for the errors.
        """
        return rows, None

    def reading_for(self, x_shape: Sequence[int] | None = None) -> Reading:
        """How a file for a trained model is read.

        Args:
            x_shape: the shape of one x of the trained model, if there is one.
        """
        return self.reading

    def entropy(self) -> float | None:
        """The entropy of the data's generator, nats per target; None if it is unknown or not finite."""
        return None

    def log_prob(self, target: Tensor) -> Tensor | None:
        """The generator's own log-density of targets (n, *target_shape) -> (n,), nats; None if there is none.

        Its expectation over the generator's own draws is −`entropy()`.
        """
        return None

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """The name of a label, and its values for a split, (n,), in the order of `batches`; None if there is none.

        Labels colour the figures. A model gets them only as a condition.
        """
        check_choice("split", split, SPLITS)
        return None

    def factors(self, split: str) -> dict[str, Tensor] | None:
        """What a split's examples were made from, if that is known: name -> values (n,), in the order of `batches`.

        Each factor takes a few values: whole numbers (int64) for classes without an order, or floats, which have one.
        `vaelab evaluate` then measures how the latents represent the factors.
        """
        check_choice("split", split, SPLITS)
        return None

    @property
    def read_report(self) -> str:
        """One line that says what was read or drawn, and how. Empty if there is nothing to say, and before `setup`.

        A run shows it at its start, unless `setup` has logged it.
        """
        return ""

    @property
    def column_kinds(self) -> Sequence[str] | None:
        """The kind of each column of the target: `real`, `count`, `category` or `binary`; None without kinds."""
        return None

    @property
    def column_categories(self) -> Sequence[Sequence[str]] | None:
        """The names of each column's categories, in the order of their codes; empty for columns of numbers."""
        return None

    @property
    def columns_report(self) -> str:
        """One line that says what the columns hold, if the model depends on it. Empty otherwise, and before `setup`."""
        return ""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the target's dimensions; None if they have no names."""
        return None

    @property
    def x_names(self) -> tuple[str, ...] | None:
        """The names of the dimensions of x; None if they have no names."""
        return None

    def surface(self, n: int) -> tuple[Tensor, Tensor] | None:
        """x on an n × n grid in the plane (n·n, *x_shape), and the true function there (n, n); None by default."""
        return None

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """Facts that give a number measured on these data its meaning. Compare numbers only if all of them are equal.

        measure         `density`, `mass`, or `mixed` for a product of both: the meaning of exp(log p)
        per             the kind of one example
        data            the name of the data
        splits          how the scored examples were chosen
        binarisation    how grey pixels became binary
        dequantisation  how discrete values became real
        condition       the kind of condition, or its columns, if there is one
        columns         what each column holds, if the likelihood depends on it
        val_checksum    CRC-32 of the validation examples as they are served, after `setup`
        test_checksum   CRC-32 of the test examples as they are served, after `setup`

        Settings that affect only the training examples, such as their number, are left out.

        Args:
            x_shape: the shape of one x, if `setup` has not run.
        """
        shape = getattr(self, "x_shape", x_shape)
        return {
            "measure": "mass" if self.support in DISCRETE else "density",
            "per": "row" if shape is None else f"row of {math.prod(shape)} numbers",
            "data": type(self).__name__,
            "splits": "given by the data",
            "binarisation": "none",
            "dequantisation": "none",
            **({"condition": str(self.condition)} if self.condition else {}),
            **{f"{split}_checksum": self.checksum(split) for split in ("val", "test") if hasattr(self, split)},
        }
