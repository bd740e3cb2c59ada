"""What a reader returns, and the choices that it is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vaelab.checks import check_choice
from vaelab.data.row_checks import at_index

Shape = tuple[int, ...]

CHUNK_BYTES = 1 << 24  # of one chunk, unless a single row is larger
WIDEST = 1 << 16  # columns of a table; each takes its reader an array of its own
GREYS = {"white": 255, "black": 0}


@dataclass(frozen=True)
class Reading:
    """The choices in how a file is read.

    Args:
        header: whether the first line of a .csv holds names; None decides from the line itself.
        missing: what to do with a row with a missing number: `refuse` (an error names it) or `drop`.
        background: what lies behind transparent images: `white`, `black`, or a grey from 0 to 255.

    Raises:
        ValueError: a value makes no sense.
    """

    header: bool | None = None
    missing: str = "refuse"
    background: str | int = "white"

    def __post_init__(self) -> None:
        if self.header not in (None, True, False) or type(self.header) is int:
            raise ValueError(f"data.header must be true, false or null, but is {self.header!r}")
        check_choice("data.missing", self.missing, ("refuse", "drop"))
        if self.background not in GREYS and not (type(self.background) is int and 0 <= self.background <= 255):
            raise ValueError(
                f"data.background must be white, black or a grey from 0 to 255, but is {self.background!r}"
            )

    @property
    def grey(self) -> int:
        """The background as a grey level."""
        return GREYS[self.background] if isinstance(self.background, str) else self.background


@dataclass
class Source:
    """The rows of one file.

    Attributes:
        arrays: (m, *row) of any numeric type; a masked array if numbers are missing.
        names: of the numbers of a row; None if the file gives none.
        where: (row of the file, number in the row), both from 0 -> its place in words, as you would look it up.
        thing: what a row is.
        facts: how it was read; complete when all arrays are.
        cautions: what was assumed or left out, which you should check.
    """

    arrays: Iterator[np.ndarray]
    names: tuple[str, ...] | None = None
    where: Callable[[int, int], str] = at_index
    thing: str = "row"
    facts: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def rows_at_once(rows: int | None, row_bytes: int) -> int:
    """How many rows make a chunk."""
    fitting = max(1, CHUNK_BYTES // max(1, row_bytes))
    return min(rows or fitting, fitting)


def split(table: np.ndarray, rows: int | None) -> Iterator[np.ndarray]:
    """A table (m, *row) in chunks."""
    at_once = rows_at_once(rows, table[:1].nbytes)
    return (table[start : start + at_once] for start in range(0, len(table), at_once))
