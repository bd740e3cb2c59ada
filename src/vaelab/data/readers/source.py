"""The choices that a reader gets, and the rows that it returns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vaelab.checks import check_choice
from vaelab.data.readers.selection import Labelled, Selection
from vaelab.data.row_checks import at_index

Shape = tuple[int, ...]

CHUNK_BYTES = 1 << 24  # the size of one chunk, unless a single row is larger
WIDEST = 1 << 16  # the most columns of a table; a reader needs a separate array for each
GREYS = {"white": 255, "black": 0}


@dataclass(frozen=True)
class Reading:
    """Choices about how to read a file.

    Args:
        header: True if the first line of a .csv holds names, False if it is a row; None decides from the line itself.
        missing: what to do if a number is missing: `refuse` the file with an error, or `drop` the row.
        background: the colour behind transparent images: `white`, `black`, or a grey from 0 to 255.
        decimal: the decimal mark in a .csv: `point` or `comma`.
        selection: the columns of a table that are read; None reads all of them, and they must be numbers.

    Raises:
        ValueError: a choice is unknown.
    """

    header: bool | None = None
    missing: str = "refuse"
    background: str | int = "white"
    decimal: str = "point"
    selection: Selection | None = None

    def __post_init__(self) -> None:
        if self.header not in (None, True, False) or type(self.header) is int:
            raise ValueError(f"data.header must be true, false or null, but is {self.header!r}; use one of these")
        check_choice("data.missing", self.missing, ("refuse", "drop"))
        check_choice("data.decimal", self.decimal, ("point", "comma"))
        if self.background not in GREYS and not (type(self.background) is int and 0 <= self.background <= 255):
            raise ValueError(
                f"data.background must be white, black or a grey from 0 to 255, but is {self.background!r}; use one of "
                "these"
            )

    @property
    def grey(self) -> int:
        """The background as a grey level."""
        return GREYS[self.background] if isinstance(self.background, str) else self.background


@dataclass
class Source:
    """The rows of one file.

    Attributes:
        arrays: arrays (m, *row) of any numeric type; masked arrays if numbers are missing. If a label is read, each
            comes with the labels of its rows.
        names: the names of the numbers in a row; None if the file has no names.
        where: (row of the file, number in the row), both from 0 -> the place in words, as you would look it up.
        thing: what a row is, such as "image".
        facts: how the file was read; complete once all arrays are read.
        cautions: what was assumed or left out, for the user to check.
    """

    arrays: Iterator[np.ndarray] | Iterator[np.ndarray | Labelled]
    names: tuple[str, ...] | None = None
    where: Callable[[int, int], str] = at_index
    thing: str = "row"
    facts: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def rows_at_once(rows: int | None, row_bytes: int) -> int:
    """The number of rows in a chunk."""
    fitting = max(1, CHUNK_BYTES // max(1, row_bytes))
    return min(rows or fitting, fitting)


def split(table: np.ndarray, rows: int | None, label: np.ndarray | None = None) -> Iterator[np.ndarray | Labelled]:
    """Splits a table (m, *row), and the label of each row if there is one, into chunks."""
    at_once = rows_at_once(rows, table[:1].nbytes)
    parts = (slice(start, start + at_once) for start in range(0, len(table), at_once))
    return (table[part] if label is None else Labelled(table[part], label[part]) for part in parts)
