"""Finds out where the rows of a .csv file start, and what its columns are called."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.columns import check_names
from vaelab.data.readers.csv_header import find_header
from vaelab.data.readers.csv_text import (
    SEPARATORS,
    Record,
    encoding_of,
    is_missing,
    records,
    separator_of,
)
from vaelab.data.readers.selection import Selection, choose
from vaelab.data.readers.source import WIDEST, Reading
from vaelab.data.wording import counted

INDEX = re.compile(r"(Unnamed: 0(\.\d+)*)?")  # pandas' names for an index that was written once or several times


@dataclass(frozen=True)
class Layout:
    """The layout of a .csv file.

    Attributes:
        path, encoding, separator: arguments for Python's `open` and `csv`.
        decimal: the decimal mark, `point` or `comma`.
        first: the first row.
        headers: a name for each cell of a line; None without a header.
        counted: how many cells on the left must count the rows, as pandas writes them. They are then left out.
        cells: the cells of a line that are read as numbers, in this order; those that count come first.
        label: the cell of the label, if there is one.
        texts: the cells of `cells` that hold categories, as text.
        flags: the cells of `cells` that hold true and false.
        facts, cautions: as in a `Source`.
    """

    path: Path
    encoding: str
    separator: str
    decimal: str
    first: Record
    headers: tuple[str, ...] | None
    counted: int
    cells: tuple[int, ...]
    label: int | None
    facts: tuple[str, ...]
    cautions: tuple[str, ...]
    texts: frozenset[int] = frozenset()
    flags: frozenset[int] = frozenset()

    @property
    def width(self) -> int:
        """The number of cells in a line."""
        return len(self.first.cells)

    @property
    def mark(self) -> str:
        """The decimal mark of numbers."""
        return "," if self.decimal == "comma" else "."

    def title(self, cell: int) -> str:
        """What a column is called in messages, and in `Categories`."""
        return self.headers[cell] if self.headers else f"column {cell - self.counted}"

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns that are read as numbers; None without a header."""
        return None if self.headers is None else tuple(self.headers[cell] for cell in self.cells[self.counted :])

    def rows(self) -> Iterator[Record]:
        """All rows, unchecked. If there is a single column, a blank line between rows is a row with an empty cell."""
        blank: list[Record] = []
        for record in records(self.path, self.encoding, self.separator):
            if record.line < self.first.line:
                continue
            if record.is_blank:
                blank.append(record)
                continue
            if self.width == 1:
                yield from (Record(empty.line, [""]) for empty in blank)
            blank = []
            yield record


def find_layout(path: Path, reading: Reading) -> Layout:
    """Finds the layout from the first lines of a file.

    Raises:
        UnreadableFile: the file is empty or not text, the first line may be names or numbers, the names do not match
            the cells below, or a selected column does not exist.
    """
    encoding = encoding_of(path)
    separator = separator_of(path, encoding, reading.decimal)
    found = (record for record in records(path, encoding, separator) if not record.is_blank)
    comments, first = _comments(found)
    if first is None:
        raise UnreadableFile(f"{path} must hold at least one row, but is empty; use another file")
    if len(first.cells) > WIDEST:
        raise UnreadableFile(
            f"a line must hold at most {WIDEST:,} numbers, but {path} holds {len(first.cells):,}; write it as .npy"
        )
    below = list(islice(found, 2))
    line, names, cautions = find_header(path, comments, first, reading, _counts(below, 0))
    rows = below if line == first.line else [first, *below[:1]]
    if not rows:
        raise UnreadableFile(f"{path} must hold at least one row below its names, but holds none; use another file")
    indexed = _indexed(names or (), rows, reading.selection)
    unnamed = [_left_out(indexed, rows)] if indexed else []
    if names is not None:
        _check_width(path, names, rows[0])
        names = (*names[:indexed], *check_names(names[indexed:], str(path)))
    cells, label, chosen = _chosen(path, names, indexed, len(rows[0].cells), reading.selection)
    facts = [*_facts(line, separator, reading.decimal, len(comments)), *chosen]
    (facts if reading.selection else cautions).extend(unnamed)
    checked = 0 if reading.selection else indexed
    return Layout(
        path, encoding, separator, reading.decimal, rows[0], names, checked, cells, label, tuple(facts), tuple(cautions)
    )


def _facts(line: int | None, separator: str, decimal: str, comments: int) -> tuple[str, ...]:
    facts = [f"line {line} holds the names" if line else "it has no line with names"]
    if separator != ",":
        facts.append(f"its cells are separated by {SEPARATORS[separator]}")
    if decimal == "comma":
        facts.append("its numbers have a decimal comma")
    if comments:
        facts.append(f"skipped {counted(comments, 'comment line')} (#)")
    return tuple(facts)


def _left_out(indexed: int, rows: Sequence[Record]) -> str:
    what = (
        "its first column, which has no name" if indexed == 1 else f"its first {indexed} columns, which have no names"
    )
    if not all(_counts(rows, column) for column in range(indexed)):
        return f"left out {what}, like an index that pandas writes"
    return f"left out {what} and {'counts' if indexed == 1 else 'count'} the rows as pandas does"


def _chosen(
    path: Path, names: Sequence[str] | None, indexed: int, width: int, selection: Selection | None
) -> tuple[tuple[int, ...], int | None, list[str]]:
    """The cells of a line that are read as numbers, that of the label, and facts. Without a selection, all are read."""
    if selection is None:
        return tuple(range(width)), None, []
    x, label, facts = choose(selection, None if names is None else names[indexed:], width - indexed, path)
    return tuple(index + indexed for index in x), None if label is None else label + indexed, facts


def _comments(found: Iterator[Record]) -> tuple[list[Record], Record | None]:
    """The lines at the top that start with #, and the first line after them."""
    comments: list[Record] = []
    for record in found:
        if not record.cells[0].lstrip().startswith("#") or is_missing(record.cells[0]):
            return comments, record
        comments.append(record)
    return comments, None


def _indexed(names: Sequence[str], rows: Sequence[Record], selection: Selection | None) -> int:
    """The number of columns on the left that are the index of a pandas table. At least one column is not.

    An index counts the rows. If columns are selected, it may also hold something else, such as words.
    """
    found, asked = 0, selection.named if selection else set()
    while found < len(names) - 1 and INDEX.fullmatch(name := names[found].strip()) and name not in asked:
        if selection is None and not _counts(rows, found):
            break
        found += 1
    return found


def _counts(rows: Sequence[Record], column: int) -> bool:
    found = [record.cells[column].strip() if column < len(record.cells) else "" for record in rows]
    return bool(rows) and found == [str(index) for index in range(len(rows))]


def _check_width(path: Path, names: Sequence[str], row: Record) -> None:
    if len(names) != len(row.cells):
        raise UnreadableFile(
            f"every column must have one name, but {path} has {counted(len(names), 'name')}, and "
            f"{counted(len(row.cells), 'cell')} in line {row.line}; correct that line"
        )
