"""Finds out if a .csv file starts with names."""

import re
from collections.abc import Sequence
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.csv_text import Record, is_number, is_unclear, is_word, pointed
from vaelab.data.readers.source import Reading
from vaelab.data.wording import listed

YEARS = range(1900, 2101)


def find_header(
    path: Path, comments: Sequence[Record], first: Record, reading: Reading, counting: bool
) -> tuple[int | None, tuple[str, ...] | None, list[str]]:
    """The number of the line with names, the names, and the assumptions that were made.

    Args:
        path: the file, for errors.
        comments: the lines at the top that start with #.
        first: the first line after them.
        reading: how the file is read; its `header` says if there are names, and None finds it out.
        counting: True if the first cells of the lines below count the rows.

    Raises:
        UnreadableFile: the first line may be names or numbers.
    """
    titles = _titles(comments, len(first.cells)) if reading.header is not False else None
    if titles and not any(map(is_word, first.cells)):
        return comments[-1].line, titles, []
    cells = [pointed(cell.strip(), reading.decimal) for cell in first.cells]
    names, assumed = _is_header(path, cells, reading.header, counting)
    if names:
        return first.line, tuple(first.cells), assumed
    return None, None, assumed


def _titles(comments: Sequence[Record], width: int) -> tuple[str, ...] | None:
    """The names in the last comment, which is where numpy.savetxt writes a header; None if there are no names."""
    if not comments or width < 2 or len(comments[-1].cells) != width:
        return None
    cells = (comments[-1].cells[0].lstrip().lstrip("#"), *comments[-1].cells[1:])
    return cells if any(map(is_word, cells)) else None


def _is_header(path: Path, cells: Sequence[str], header: bool | None, counting: bool) -> tuple[bool, list[str]]:
    """True if the cells are names, and the assumptions that were made.

    Words are names. Numbers and marks for missing numbers are a row. 0, 1, 2, … are names, because pandas writes them.
    Next to words, years are names too, and so are whole numbers that count the columns. `counting` is True if the first
    cells of the lines below count the rows.
    """
    if header is not None:
        return header, []
    numbers = [cell for cell in cells if is_number(cell)]
    words = any(map(is_word, cells))
    if (words and numbers and not _look_like_names(numbers)) or (not words and any(map(is_unclear, cells))):
        raise UnreadableFile(
            f"{path} must start with names or with numbers, but its first line could be either ({listed(cells)}); set "
            "data.header=true if it holds names, or data.header=false if it is a row (--data header=false in a vaelab "
            "command)"
        )
    columns = cells[1:] if cells[0] == "" else cells  # pandas writes its index without a name
    given = list(columns) == [str(column) for column in range(len(columns))]
    names = words or (given and (len(columns) > 1 or (len(cells) > 1 and counting)))
    if not (names and numbers) and not (len(numbers) == len(cells) and (given or _look_like_names(numbers))):
        return names, []
    taken, other = (
        ("names", "data.header=false reads it as a row") if names else ("a row", "data.header=true reads it as names")
    )
    return names, [f"its first line ({listed(cells)}) was read as {taken} ({other})"]


def _look_like_names(numbers: Sequence[str]) -> bool:
    """True if these are years in order, or 0, 1, 2, … or 1, 2, 3, … in any order."""
    if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers):
        return False
    found = [int(number) for number in numbers]
    if all(number in YEARS for number in found) and found == sorted(set(found)):
        return True
    return len(found) > 1 and sorted(found) in (list(range(len(found))), list(range(1, len(found) + 1)))
