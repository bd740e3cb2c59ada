"""Checks the rows of a file and turns them into tensors. Knows the place of each number, and reports what was read."""

import errno
import logging
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.categories import Categories
from vaelab.data.readers.selection import Labelled
from vaelab.data.readers.source import Source
from vaelab.data.row_checks import LARGEST, LARGEST_WHOLE, WHOLE_BOUND, Where
from vaelab.data.wording import counted, listed
from vaelab.escapes import for_terminal

log = logging.getLogger(__name__)


class Rows:
    """The rows of a file, and a report on what was read. It is logged once all rows are read, unless `quiet`.

    Attributes:
        pieces: the rows as tensors (m, *row), each with the labels of its rows, (m,), or None; you can iterate over
            them only once.
        names: the names of the numbers in a row; None if the file has no names.
        categories: the categories of columns that hold text, complete once all pieces are read; None if text is
            refused.
    """

    def __init__(
        self, path: Path, source: Source, drops: bool, quiet: bool = False, categories: Categories | None = None
    ) -> None:
        self.path, self._quiet, self.categories = path, quiet, categories
        self.names = source.names
        self._source, self._drops = source, drops
        self._rows = 0  # how many rows were kept
        self._dropped = array("q")  # the indices of the rows that were dropped
        self._shape: tuple[int, ...] = ()
        pieces = self._taken()
        first = next(pieces, None)
        if first is None:
            why = " without a missing value" if self._dropped else ""
            raise UnreadableFile(f"{path} must hold at least one row{why}, but holds none; use another file")
        self.pieces = chain([first], pieces)

    @property
    def chunks(self) -> Iterator[Tensor]:
        """The rows without labels, as tensors (m, *row)."""
        return (rows for rows, _ in self.pieces)

    @property
    def facts(self) -> list[str]:
        """How the file was read. It is complete once all chunks are read."""
        return self._source.facts

    @property
    def declared(self) -> int | None:
        """The number of rows in the file, known before they are read; None if it is not."""
        return self._source.declared

    def where(self, row: int, number: int = 0) -> str:
        """The place of a number in the file, in words. `row` counts only the rows that were kept, from 0."""
        for dropped in self._dropped:
            if dropped > row:
                break
            row += 1
        return for_terminal(self._source.where(row, number))

    def placed(self, first: int, order: Sequence[int] | None = None) -> Where:
        """`where` for a chunk that starts at row `first`, after its columns were reordered."""
        return lambda row, number: self.where(first + row, number if order is None else order[number])

    @property
    def report(self) -> str:
        """One line that says what was read, and how. It is complete once all chunks are read."""
        what = "x".join(map(str, self._shape)) + (" number" if math.prod(self._shape) == 1 else " numbers")
        if self.names:
            what = f"{counted(len(self.names), 'column')} ({listed(self.names)})"
        elif self._source.thing != "row":
            what = f"{'x'.join(map(str, self._shape))} pixels"
        said = f"read {counted(self._rows, self._source.thing)} of {what} from {self.path.absolute().name}"
        return for_terminal("; ".join([said, *self._source.facts, *self.cautions]))

    @property
    def cautions(self) -> list[str]:
        """What was assumed or left out, for the user to check. It is complete once all chunks are read."""
        if not self._dropped:
            return self._source.cautions
        places = [self._source.where(row, 0).split(", column")[0] for row in islice(self._dropped, 5)]
        lost = f"left out {counted(len(self._dropped), 'row')} with a missing value"
        return [*self._source.cautions, f"{lost} ({_some(places, self._dropped)})"]

    def _taken(self) -> Iterator[tuple[Tensor, np.ndarray | None]]:
        with in_a_sentence(self.path):
            for piece in self._source.arrays:
                numbers, label = piece if isinstance(piece, Labelled) else (piece, None)
                if not len(numbers):
                    continue
                self._check_shape(numbers)
                start = self._rows + len(self._dropped)
                if self.categories is not None:
                    numbers = self.categories.finished(numbers, self.names, self.path, self._place_from(start))
                numbers, kept = self._without_missing(numbers, start)
                self._check_size(numbers)
                if len(numbers):
                    self._rows += len(numbers)
                    yield _to_tensor(numbers), label if label is None or kept is None else label[kept]
        if self._rows and not self._quiet:
            log.log(logging.WARNING if self.cautions else logging.INFO, "%s", self.report)

    def _place_from(self, start: int) -> Callable[[int], str]:
        return lambda row: self._source.where(start + row, 0).split(", column")[0]

    def _check_shape(self, numbers: np.ndarray) -> None:
        if numbers.dtype.kind not in "biuf":
            raise UnreadableFile(
                f"{self.path} must hold plain numbers, but holds {numbers.dtype}; save integers or floats"
            )
        self._shape = numbers.shape[1:]
        if not math.prod(self._shape):
            raise UnreadableFile(
                f"{self.path} must hold at least one number per row, but has shape {numbers.shape}; use another file"
            )
        if self.names and self._shape != (len(self.names),):
            raise UnreadableFile(
                f"{self.path} must have one name per number of a row, but has {len(self.names)} names for rows of "
                f"shape {self._shape}; correct or remove the names"
            )

    def _without_missing(self, numbers: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows without a missing value, and a mark for each row that is kept; None if all are.

        Unless such rows are dropped, an error says where the first number is missing.
        """
        missing = np.ma.getmaskarray(numbers) if isinstance(numbers, np.ma.MaskedArray) else None
        numbers = np.ma.getdata(numbers)
        if numbers.dtype.kind == "f" and np.isnan(numbers.min()):
            missing = np.isnan(numbers) if missing is None else missing | np.isnan(numbers)
        if missing is None:
            return numbers, None
        missing = missing.reshape(len(numbers), -1)
        bad: np.ndarray = np.any(missing, -1)
        if bad.any() and not self._drops:
            row = int(bad.argmax())
            place = self._source.where(start + row, int(missing[row].argmax()))
            raise UnreadableFile(
                f"{self.path} must hold a number in every place, but holds none in {place}; fill it in, or set "
                "data.missing=drop to leave out such rows (--data missing=drop in a vaelab command)"
            )
        self._dropped.extend((np.flatnonzero(bad) + start).tolist())
        return numbers[~bad], ~bad

    def _check_size(self, numbers: np.ndarray) -> None:
        """Refuses numbers that float32 cannot hold, and whole numbers that would change."""
        kind = numbers.dtype.kind
        limit = LARGEST if kind == "f" else LARGEST_WHOLE
        if not len(numbers) or kind == "b" or (numbers.min().item() >= -limit and numbers.max().item() <= limit):
            return
        flat = numbers.reshape(len(numbers), -1)
        row, number = (int(index[0]) for index in np.nonzero(np.abs(flat.astype(np.longdouble)) > limit))
        bound = "be finite and fit into float32 (3.4e38)" if kind == "f" else WHOLE_BOUND
        raise UnreadableFile(
            f"every number must {bound}, but {self.path} holds {flat[row, number]} in "
            f"{self.where(self._rows + row, number)}; correct it, or remove that row or column"
        )


def _some(places: list[str], every: array) -> str:
    more = len(every) - len(places)
    return ", ".join(places) + (f" and {more:,} more" if more else "")


@contextmanager
def in_a_sentence(path: Path) -> Iterator[None]:
    """Turns the error of any library into one sentence."""
    try:
        yield
    except UnreadableFile:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EINVAL,
        ):  # a truncated file can send a reader to an invalid position
            raise  # keep the system's own words, such as permission denied
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableFile(
            f"{path} cannot be read as {path.suffix or 'IDX'} ({reason}); check that it is complete and of that kind"
        ) from error


def _to_tensor(numbers: np.ndarray) -> Tensor:
    """(m, *row) of any numeric type -> a tensor in a type that torch can compute with."""
    kind = numbers.dtype.kind
    if kind == "f":
        numbers = numbers.astype(np.float32)
    elif kind == "u" and numbers.dtype.itemsize > 1:
        numbers = numbers.astype(np.int64)
    else:
        numbers = numbers.astype(numbers.dtype.newbyteorder("="), copy=not numbers.flags.writeable)
    return torch.from_numpy(np.ascontiguousarray(numbers))
