"""The data module for your own tables: columns with names, a label, and standardisation in the model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_choice, check_path
from vaelab.data.column_warnings import column_warnings
from vaelab.data.condition import LABEL, check_condition, one_hot_conditions
from vaelab.data.label_codes import label_codes
from vaelab.data.named_columns import NamedColumns
from vaelab.data.readers.choose import READERS
from vaelab.data.readers.selection import Selection
from vaelab.data.readers.source import Reading
from vaelab.data.table_keys import column_key, column_keys
from vaelab.escapes import for_terminal

log = logging.getLogger(__name__)

KINDS = ".csv, .tsv, .parquet, .npy or .npz"
MOST_CLASSES = 1_000  # of a condition
Keys = Sequence[str | int | float | bool] | str | int | float | bool


class Table(NamedColumns):
    r"""Columns of a .csv, .tsv, .parquet, .npy or .npz file that reconstruct themselves.

    Columns are chosen by name, or by number from 0 if the file has no names. A number may be negative: -1 is the last
    column. One warning names columns that spoil a density: constants, an index, categories that are coded as whole
    numbers, and columns that are far out of scale.

    If the likelihood is `mixed`, each column has a kind, and x holds the codes of its categories: see `columns_of_x`.

    Args:
        path: the file.
        columns: the columns of x, in this order; None takes all except `drop`, `label` and those of the condition.
        drop: columns to leave out.
        label: a column of text or numbers that colours the pictures. The model sees it only as a condition.
        standardize: True if the model standardises the columns of real numbers with the training split's mean and
            standard deviation. Densities stay in the units of the file. None standardises if the likelihood scores real
            numbers or counts.
        val_size, test_size, batch_size, eval_batch_size, seed: as for `Array`.
        header, missing, decimal: as for `Array`.
        support: the data that the likelihood scores: `real`, `unit_interval`, `binary`, `count` or `mixed`.
        condition: None, `label` (the label of each row is served as a one-hot vector), or a list of columns, which are
            then no part of x: numbers are served as they are, and categories as one-hot vectors.
        kinds: the kind of columns, by name: `real`, `count`, `category` or `binary`, such as {"age": "count"} or
            ["age:count"]. The kinds of others are found out.

    Raises:
        ValueError: as for `Array`; or a key names a column that does not exist, a column of x holds text that the
            likelihood cannot score, no column is left, or the data cannot be standardised.
        FileNotFoundError: there is no such file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("id,length,width,kind\n7,1.4,0.2,rose\n9,4.7,1.4,lily\n8,5.1,1.5,lily\n4,1.3,0.3,rose\n")
    >>> data = Table(path, drop=["id"], label="kind", val_size=1, test_size=1)
    >>> data.setup()
    >>> data.names, data.label_names, data.labels("test")
    (('length', 'width'), ('lily', 'rose'), ('kind', tensor([0])))
    """

    logs_read_report = False

    def __init__(
        self,
        path: str | Path | None = None,
        columns: Keys | None = None,
        drop: Keys = (),
        label: str | int | float | bool | None = None,
        standardize: bool | None = None,
        val_size: int | float = 0.1,
        test_size: int | float = 0.1,
        batch_size: int = 100,
        eval_batch_size: int = 1_000,
        seed: int = 0,
        header: bool | None = None,
        missing: str = "refuse",
        decimal: str = "point",
        support: str = "real",
        condition: str | Sequence[str] | None = None,
        kinds: Mapping[str, Literal["real", "count", "category", "binary"]] | Sequence[str] | None = None,
    ) -> None:
        if check_condition(condition, columns=True) == LABEL and label is None:
            raise ValueError(
                "data.label must name a column if condition=label, but is null; set it to the column of labels"
            )
        super().__init__(
            standardize,
            condition,
            kinds,
            path=check_path("data.path", path, "a file for data=table", f"set it to the path of one ({KINDS})"),
            val_size=val_size,
            test_size=test_size,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            seed=seed,
            header=header,
            missing=missing,
            decimal=decimal,
            support=support,
        )
        self.columns = None if columns is None else column_keys("data.columns", columns)
        self.drop = column_keys("data.drop", drop)
        self.label = None if label is None else column_key("data.label", label)
        self.reading = replace(self.reading, selection=Selection(self.columns, self.drop, self.label, self.given))

    def setup(self, stage: str | None = None) -> None:
        """Reads the file and draws the splits, once, and warns about columns that need your attention."""
        if hasattr(self, "test"):
            return
        super().setup(stage)
        if len(self.x_shape) != 1:
            raise ValueError(
                f"a table must have rows of columns, but a row of {self.path} has the shape {self.x_shape}; use "
                "data=array"
            )
        if self.standardize and len(self.train) < 2:
            raise ValueError(
                "at least 2 rows must be left to train on, because their mean and standard deviation standardise the "
                f"columns, but {self.path} leaves {len(self.train)}; use a smaller data.val_size and data.test_size, "
                "or data.standardize=false"
            )
        if self.condition == LABEL:
            self._set_conditions()

    def _set_conditions(self) -> None:
        """Sets the label of every row as a one-hot condition. The classes come from a trained model or the file."""
        found = {split: self.labels(split) for split in SPLITS}
        values = [each[1] for each in found.values() if each is not None]
        if not values:
            raise ValueError(f"condition=label needs the label of each row, but {self.path} has no column {self.label}")
        names = self.label_names or _numbered(torch.cat(values))
        if not 0 < len(names) <= MOST_CLASSES:
            kind = f"{len(names):,} classes" if names else "real numbers"
            raise ValueError(
                f"condition=label needs a label of at most {MOST_CLASSES:,} classes, but {self.label} in {self.path} "
                f"holds {kind}; use another column, or leave the condition out"
            )
        self.condition_names = self.model_condition_names or names
        labels = dict(zip(SPLITS, values, strict=True))
        self.conditions = one_hot_conditions(labels, self.label_names, self.condition_names, str(self.path))

    def _read(self) -> Tensor:
        if not self.path.exists():
            raise FileNotFoundError(f"{for_terminal(self.path)} does not exist; use the path of a table: {KINDS}")
        if self.path.is_dir() or self.path.suffix.lower() not in READERS:
            raise ValueError(
                f"data.path must name a table ({KINDS}), but is {self.path}; use data=array for other data"
            )
        rows = super()._read()
        labels = self.label_of_rows
        self._codes: Tensor | None = None
        if labels is not None:
            self._codes, self.label_names = label_codes(labels)
        found = column_warnings(rows, self.names, self.support, self.standardize, self.columns_of_x)
        if (found := [*self._cautions, *found]) and rows.dim() == 2:
            log.warning("%s", for_terminal(f"check {self.path.name}: {'; '.join(found)}"))
        return rows

    def reading_for(self, x_shape: Sequence[int] | None = None) -> Reading:
        """How a file is read: the selected columns, or those of a trained model, which may lack the label."""
        reading = super().reading_for(x_shape)
        selection = reading.selection
        if selection is None or (self.model_names is None and x_shape is None):
            return reading
        width = prod(x_shape) if x_shape else 0
        return replace(reading, selection=replace(selection, model=self.names_in_files, trained=True, width=width))

    def labels(self, split: str) -> tuple[str, Tensor] | None:
        """The name of the label column, and the label of each row of a split, (n,); None if there is no such column.

        The labels are codes of `label_names` if it is not None, or else numbers.
        """
        rows = self.split_rows[check_choice("split", split, SPLITS)] if hasattr(self, "split_rows") else None
        if rows is None or self._codes is None:
            return None
        return str(self.label) if isinstance(self.label, str) else "label", self._codes[rows]


def _numbered(labels: Tensor) -> tuple[str, ...]:
    """The different whole numbers among labels, as names of classes; empty for real numbers."""
    return () if labels.is_floating_point() else tuple(map(str, labels.unique().tolist()))
