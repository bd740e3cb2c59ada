"""The data module for your own files: rows of numbers, or images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_path, check_seed, check_whole
from vaelab.data.checksum import crc32
from vaelab.data.columns import order_columns
from vaelab.data.condition import check_no_condition
from vaelab.data.data_module import DataModule
from vaelab.data.open_file import open_rows
from vaelab.data.random_split import check_size, random_split
from vaelab.data.readers.choose import KINDS
from vaelab.data.readers.source import Reading
from vaelab.data.row_checks import ROW_SUPPORTS, Where, check_rows, check_support


class Array(DataModule):
    """Rows of numbers that reconstruct themselves, from any file or folder that `read_chunks` reads.

    The numbers are used as they are, as float32. Nothing is scaled, so densities are per unit of the file. The rows are
    split at random. The split of a row depends only on the number of rows, the sizes and `seed`.

    Args:
        path: the file. An array (n, *row) has n rows, so x has shape *row; (n,) has n rows of one number.
        val_size: the number of validation rows, or their fraction of all rows.
        test_size: the number of test rows, or their fraction of all rows.
        batch_size: rows per training batch.
        eval_batch_size: rows per validation and test batch.
        seed: the seed of the splits.
        header: True if the first line of a .csv holds names, False if it is a row; None decides from the line itself.
        missing: what to do if a number is missing: `refuse` the file, or `drop` the row.
        background: the colour behind transparent images: `white`, `black`, or a grey from 0 to 255.
        decimal: the decimal mark in a .csv: `point` or `comma`.
        support: the data that the likelihood scores: `binary` allows only 0 and 1, `unit_interval` numbers from 0 to 1,
            `count` and `category` whole numbers from 0.
        condition: must be None, because these data have no labels.

    Raises:
        ValueError: there is no path, a value is out of range, the file holds no rows of numbers, the splits leave
            nothing to train on, a number is missing, not finite or outside the support, or the columns are not those
            of `model_names`.
        FileNotFoundError: there is no such file.
    """

    reads_columns = logs_read_report = True
    supports: tuple[str, ...] = ROW_SUPPORTS

    def __init__(
        self,
        path: str | Path | None = None,
        val_size: int | float = 0.1,
        test_size: int | float = 0.1,
        batch_size: int = 100,
        eval_batch_size: int = 1_000,
        seed: int = 0,
        header: bool | None = None,
        missing: str = "refuse",
        background: str | int = "white",
        decimal: str = "point",
        support: str = "real",
        condition: str | None = None,
    ) -> None:
        super().__init__()
        check_no_condition(condition, "rows and images of your own")
        self.path = check_path("data.path", path, "a file or a folder for data=array", f"set it to {KINDS}")
        self.val_size = check_size("data.val_size", val_size, "row")
        self.test_size = check_size("data.test_size", test_size, "row")
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.seed = check_seed("data.seed", seed)
        self.header, self.missing, self.background, self.decimal = header, missing, background, decimal
        self.reading = Reading(header, missing, background, decimal=decimal)
        self.support = check_support(support, self.supports, "rows of numbers")
        self.levels = 2 if support == "binary" else None
        self.standardize = support == "count"  # the encoder works badly on large counts

    def setup(self, stage: str | None = None) -> None:
        """Reads the file and draws the splits, once."""
        if hasattr(self, "test"):
            return
        rows = self._read()
        parts = random_split(len(rows), self.val_size, self.test_size, self.seed, str(self.path), "row")
        self.x_shape = self.target_shape = tuple(rows.shape[1:])
        self.split_rows = dict(zip(SPLITS, parts, strict=True))
        self.train, self.val, self.test = (rows[part] for part in parts)
        self._splits = f"{len(self.val)} rows to validate and {len(self.test)} to test, drawn by seed {self.seed}"
        self._identity = f"{'x'.join(map(str, rows.shape))} numbers (CRC-32 {crc32([rows]):08x})"

    def _read(self) -> Tensor:
        """All rows, (n, *row) float32, with the columns in the order of `model_names` if that is known."""
        source = open_rows(self.path, reading=self.reading_for(), quiet=not self.logs_read_report)
        order = order_columns(source.names, self.names_in_files, str(self.path))
        self._names = source.names if order is None else self.names_in_files
        chunks: list[Tensor] = []
        labels: list[np.ndarray] = []
        first = 0
        for chunk, label in source.pieces:
            chunk = chunk if order is None else chunk[:, order]
            place = source.placed(first, order)
            chunks.append(self._checked(chunk.float(), place))
            labels += [] if label is None else [label]
            first += len(chunk)
        self._report, self._cautions, self._categories = source.report, source.cautions, source.categories
        self.label_of_rows = np.concatenate(labels) if labels else None
        return torch.cat(chunks)

    def _checked(self, rows: Tensor, place: Where) -> Tensor:
        """Rows of the file, (m, *row), if they suit the likelihood."""
        cure = "use a model for real numbers such as model=gaussian, or rescale the file"
        return check_rows(rows, self.support, str(self.path), cure, place)

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        return getattr(self, "_report", "")

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns, from the file or from the trained model; None if neither has names."""
        return getattr(self, "_names", None) or self.model_names

    @property
    def x_names(self) -> tuple[str, ...] | None:
        """Same as `names`, because x is the target."""
        return self.names

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. `data` is the shape and CRC-32 of the rows, or before `setup` the file's name."""
        return {
            **super().describe(x_shape),
            "data": getattr(self, "_identity", self.path.absolute().name),
            "splits": getattr(
                self,
                "_splits",
                f"drawn by seed {self.seed} with val_size {self.val_size} and test_size {self.test_size}",
            ),
        }
