"""The choices that a reader gets, and the rows that it returns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vaelab.checks import check_choice
from vaelab.data.readers.categories import Categories
from vaelab.data.readers.selection import Labelled, Selection
from vaelab.data.row_checks import at_index

Shape = tuple[int, ...]

CHUNK_BYTES = 1 << 24  # the size of one chunk, unless a single row is larger
WIDEST = 1 << 16  # the most columns of a table; a reader needs a separate array for each
GREYS = {"white": 255, "black": 0}
LARGEST_SIDE = 10_000  # the most pixels along a side that images may be resized to


@dataclass(frozen=True)
class Reading:
    """Choices about how to read a file.

    Args:
        header: True if the first line of a .csv holds names, False if it is a row; None decides from the line itself.
        missing: what to do if a number is missing: `refuse` the file with an error, or `drop` the row.
        background: the colour behind transparent images: `white`, `black`, or a grey from 0 to 255.
        decimal: the decimal mark in a .csv: `point` or `comma`.
        selection: the columns of a table that are read; None reads all of them, and they must be numbers.
        categories: reads the text in columns as codes of categories; None refuses text. Use it for one file.
        size: resize images in a folder to this many pixels, and crop what is outside: a number for both sides, or
            (rows, columns); None keeps their size.
        channels: 1 reads images in a folder as grey, and 3 as red, green and blue.

    Raises:
        ValueError: a choice is unknown.
    """

    header: bool | None = None
    missing: str = "refuse"
    background: str | int = "white"
    decimal: str = "point"
    selection: Selection | None = None
    categories: Categories | None = None
    size: int | tuple[int, int] | None = None
    channels: int = 1

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
        check_picture_size(self.size)
        if self.channels not in (1, 3) or type(self.channels) is not int:
            raise ValueError(
                f"data.channels must be 1 (grey) or 3 (colour), but is {self.channels!r}; use one of these"
            )

    @property
    def grey(self) -> int:
        """The background as a grey level."""
        return GREYS[self.background] if isinstance(self.background, str) else self.background


def check_picture_size(size: int | tuple[int, int] | None) -> None:
    """Raises a ValueError if the size that images are resized to is neither None nor one or two whole numbers."""
    sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
    if size is not None and not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(f"data.size must be a whole number from 1 to {LARGEST_SIDE:,} or null, but is {size!r}")


@dataclass
class Source:
    """The rows of one file.

    Attributes:
        arrays: arrays (m, *row) of any numeric type; masked arrays if numbers are missing. If a label is read, each
            comes with the labels of its rows.
        names: the names of the numbers in a row; None if the file has no names.
        where: (row of the file, number in the row), both from 0 -> the place in words, as you would look it up.
        thing: what a row is, such as "image".
        declared: the number of rows, if it is known before they are read.
        facts: how the file was read; complete once all arrays are read.
        cautions: what was assumed or left out, for the user to check.
    """

    arrays: Iterator[np.ndarray] | Iterator[np.ndarray | Labelled]
    names: tuple[str, ...] | None = None
    where: Callable[[int, int], str] = at_index
    thing: str = "row"
    declared: int | None = None
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
