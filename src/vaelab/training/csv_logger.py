"""The curves of a run as a table, `curves.csv`."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from vaelab.whole_files import write_whole

FILE = "curves.csv"
ROWS = 100  # points that are kept in memory, at most
STEP = "step"


class CSVLogger(Logger):
    """Writes the points of the curves to `curves.csv`: one row per point, one column per curve.

    A column is empty in the rows of points at which its curve has none. pandas reads the file as it is. Lightning's own
    `CSVLogger` would start an empty file when a run resumes.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> logger = CSVLogger(folder)
    >>> logger.log_metrics({"train/elbo": -2.5}, 49)
    >>> logger.log_metrics({"val/elbo": -2.0}, 99)
    >>> logger.save()
    >>> print((Path(folder) / "curves.csv").read_text(), end="")
    step,train/elbo,val/elbo
    49,-2.5,
    99,,-2.0

    Args:
        save_dir: the run's folder.

    Raises:
        OSError: the file cannot be written, or it is not a table of curves.
    """

    def __init__(self, save_dir: str | os.PathLike[str]) -> None:
        super().__init__()
        self._folder = Path(save_dir)
        self._columns: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._hparams: dict[str, Any] = {}
        self._written: int | None = None  # rows in the file; None before it is read

    @property
    def name(self) -> str:
        """Empty: the file lies in the run's own folder."""
        return ""

    @property
    def version(self) -> str:
        """Empty, like `name`."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keeps the config for `hparams.yaml`."""
        self._hparams.update(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds a row with one point of each curve."""
        self._rows.append({STEP: 0 if step is None else step, **metrics})
        if len(self._rows) >= ROWS:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Writes the rows to the file. If there is a new curve, it gets a column, and the file is written again."""
        if self._hparams and not (self._folder / "hparams.yaml").exists():
            save_hparams_to_yaml(self._folder / "hparams.yaml", self._hparams)
        if not self._rows:
            return
        path, before = self._folder / FILE, self.written
        new = [tag for tag in dict.fromkeys(key for row in self._rows for key in row) if tag not in self._columns]
        self._columns += new
        if new:
            write_whole(path, as_csv(self._columns, read_rows(path) + self._rows), self._folder)
        else:
            with path.open("ab") as file:
                file.write(as_csv(self._columns, self._rows, with_header=False))
        self._written, self._rows = before + len(self._rows), []

    @property
    def written(self) -> int:
        """The number of rows in the file, for a checkpoint."""
        if self._written is None:
            path = self._folder / FILE
            self._columns, self._written = header(path), len(read_rows(path))
        return self._written

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the rows to the file."""
        self.save()


def header(path: Path) -> list[str]:
    """The names of the columns in a file; empty if there is no file."""
    rows = _lines(path)
    return rows[0] if rows else []


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file, as text; empty if there is no file."""
    first, *rest = _lines(path) or [[]]
    return [dict(zip(first, row, strict=False)) for row in rest]


def _lines(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def as_csv(columns: list[str], rows: list[dict[str, Any]], with_header: bool = True) -> bytes:
    """Rows as the text of a .csv file, in UTF-8."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
    if with_header:
        writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def cut_rows(folder: Path, counts: Mapping[str, int]) -> None:
    """Cuts `curves.csv` back to the rows that a checkpoint recorded, and removes it if there were none."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        return  # no run creates a link
    if FILE not in counts:
        path.unlink()
        return
    columns, rows = header(path), read_rows(path)
    if len(rows) > counts[FILE]:
        write_whole(path, as_csv(columns, rows[: counts[FILE]]), folder)
