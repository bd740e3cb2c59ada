"""The data module for your own tables: columns with names, a label, and standardisation in the model."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from torch import Tensor

from vaelab.checks import check_choice
from vaelab.data.array import Array
from vaelab.data.column_warnings import column_warnings
from vaelab.data.condition import check_no_condition
from vaelab.data.label_codes import label_codes
from vaelab.data.readers.selection import Key, Selection
from vaelab.data.readers.source import Reading

log = logging.getLogger(__name__)


class Table(Array):
    """Columns of numbers that reconstruct themselves, from a .csv, .tsv, .parquet, .npy or .npz file.

    Columns are chosen by name, or by number from 0 if the file has no names. A number may be negative: -1 is the last
    column. One warning names columns that spoil a density: constants, an index, categories that are coded as whole
    numbers, and columns that are far out of scale.

    Args:
        path: the file.
        columns: the columns of x, in this order; None takes all except `drop` and `label`.
        drop: columns to leave out.
        label: a column of text or numbers that colours the pictures. The model does not see it.
        standardize: True if the model standardises the columns with the training split's mean and standard deviation.
            Densities stay in the units of the file. None standardises if the likelihood scores real numbers.
        val_size, test_size, batch_size, eval_batch_size, seed: as for `Array`.
        header, missing, decimal: as for `Array`.
        support: the data that the likelihood scores: `real`, `unit_interval`, `binary` or `count`.
        condition: must be None.

    Raises:
        ValueError: as for `Array`; or a key names a column that does not exist, a column of x holds text, no column is
            left, or the data cannot be standardised.
        FileNotFoundError: there is no such file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("id,length,width,kind\n7,1.4,0.2,rose\n9,4.7,1.4,lily\n8,5.1,1.5,lily\n4,1.3,0.3,rose\n")
    >>> data = Table(path, drop=["id"], label="kind", val_size=1, test_size=1)
    >>> data.setup()
    >>> data.names, data.label_names, data.labels("test")
    (('length', 'width'), ('lily', 'rose'), ('kind', tensor([0])))
    """

    quiet = True

    def __init__(
        self,
        path: str | Path | None = None,
        columns: Sequence[str | int] | str | int | None = None,
        drop: Sequence[str | int] | str | int = (),
        label: str | int | None = None,
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
        condition: str | None = None,
    ) -> None:
        check_no_condition(condition, "tables of your own")
        if not isinstance(path, str | Path) or not str(path):
            raise ValueError(f"data.path must name a file for data=table, but is {path}; set it to {KINDS}")
        super().__init__(
            path,
            val_size,
            test_size,
            batch_size,
            eval_batch_size,
            seed,
            header,
            missing,
            decimal=decimal,
            support=support,
        )
        self.columns = None if columns is None else _keys("data.columns", columns)
        self.drop = _keys("data.drop", drop)
        self.label = None if label is None else _key("data.label", label)
        self.standardize = _resolved(standardize, support)
        self.reading = replace(self.reading, selection=Selection(self.columns, self.drop, self.label))

    def setup(self, stage: str | None = None) -> None:
        """Reads the file and draws the splits, once. Logs what was read, and one warning about the columns."""
        if hasattr(self, "test"):
            return
        super().setup(stage)
        if len(self.x_shape) != 1:
            raise ValueError(
                f"data=table reads rows of numbers, but a row of {self.path} has the shape {self.x_shape}; use data=array"
            )
        if self.standardize and len(self.train) < 2:
            raise ValueError(
                "at least 2 rows must be left to train on, because the columns are standardised with their mean and "
                f"standard deviation, but {self.path} leaves {len(self.train)}; use a smaller data.val_size and "
                "data.test_size, or data.standardize=false"
            )
        self._codes = None
        if self.label_of_rows is not None:
            self._codes, self.label_names = label_codes(self.label_of_rows)
        log.info("%s", self.read_report)
        if self.warnings:
            log.warning("check the columns of %s: %s", for_terminal(self.path.name), "; ".join(self.warnings))
