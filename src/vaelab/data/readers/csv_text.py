"""Reads the text of a .csv file: encoding, separator, lines, and the kinds of cells."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.source import WIDEST

LONGEST = 1 << 24  # the most characters in a line
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # the first bytes of .xlsx and .ods, and of .xls
SAID = re.compile(r'"?sep=(.)"?\s*')  # a first line that tells a spreadsheet the separator
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "vertical bars"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
MARKS = """
    na n/a n.a. #n/a #na <na> nan -nan +nan null none nil missing . .. ... … ? - -- --- – —
    -1.#ind 1.#ind -1.#qnan 1.#qnan #div/0! #value! #ref! #name? #num! #null!
"""
MISSING = {"", "#n/a n/a", *MARKS.split()}  # in small letters: marks of pandas and spreadsheets, and what people type


@dataclass(frozen=True)
class Record:
    """The cells of a line, or of several lines if a quoted cell spans them."""

    line: int  # the line where it starts, counted from 1 like in an editor
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        """True if the line holds only spaces."""
        return len(self.cells) < 2 and not "".join(self.cells).strip()


def is_missing(cell: str) -> bool:
    """True if a cell marks a missing number."""
    return cell.strip().lower() in MISSING


def pointed(cell: str, decimal: str) -> str:
    """A cell with a decimal point, if the file writes numbers with a decimal comma. Points and commas are swapped."""
    swapped = decimal == "comma" and re.search(r"\d", cell)
    return cell.translate({ord(","): ".", ord("."): ","}) if swapped else cell


def is_number(cell: str) -> bool:
    """True if a cell is a number. Unlike in Python, it cannot have underscores."""
    return bool(NUMBER.fullmatch(cell.strip()))


def is_unclear(cell: str) -> bool:
    """True if a cell starts like a number but is not one, such as 1,5 or 3 cm."""
    return bool(re.match(r"\W*\d", cell)) and not is_number(cell) and not is_missing(cell)


def is_word(cell: str) -> bool:
    """True if a cell is neither a number, nor missing, nor unclear."""
    return not (is_number(cell) or is_missing(cell) or is_unclear(cell))


def encoding_of(path: Path) -> str:
    """The encoding of a file: UTF-8, or UTF-16 if the first bytes are its mark.

    Raises:
        UnreadableFile: the file has another encoding, or is a spreadsheet under another name.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start in SPREADSHEETS:
        raise UnreadableFile(
            f"{path} must be text, but is a spreadsheet or an archive; open it, and save it as CSV UTF-8"
        )
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and not start.startswith(b"\xff\xfe\0\0"):
        return "utf-16"
    if b"\0" in start:
        raise UnreadableFile(f"{path} must be text in UTF-8, but starts with zero bytes; save it as CSV UTF-8")
    return "utf-8-sig"


def separator_of(path: Path, encoding: str, decimal: str = "point") -> str:
    """The separator of cells: a tab, a semicolon, a comma or a bar, as a line `sep=;` or else the first row shows.

    A decimal comma cannot be a separator.

    Raises:
        UnreadableFile: the first line names another separator.
    """
    for line in _lines(path, encoding):
        if said := SAID.fullmatch(line):
            if said[1] not in SEPARATORS:
                raise UnreadableFile(
                    f"cells must be separated by commas, semicolons, tabs or |, but the first line of {path} says "
                    f"{line.strip()}; save it with one of them"
                )
            return said[1]
        if line.strip() and not line.startswith("#"):
            bare = re.sub(r'"[^"]*"', "", line)
            if decimal == "comma":
                return next((each for each in "\t;|" if each in bare.strip("\r\n")), ";")
            if bare.count(",") >= WIDEST:
                return ","
            return next((separator for separator in SEPARATORS if separator in bare.strip("\r\n")), ",")
    return ","


def records(path: Path, encoding: str, separator: str) -> Iterator[Record]:
    """All lines of the file, split into cells. A first line that names the separator is skipped."""
    reader = csv.reader(_lines(path, encoding), delimiter=separator)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        if line > 1 or not SAID.fullmatch(separator.join(cells)):
            yield Record(line, cells)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    try:
        with path.open(encoding=encoding, newline="") as file:
            while line := file.readline(LONGEST):
                if len(line) == LONGEST:
                    raise UnreadableFile(
                        f"a line must have fewer than {LONGEST:,} characters, but one in {path} is longer; write it as "
                        ".npy"
                    )
                yield line
    except UnicodeError as error:
        raise UnreadableFile(f"{path} must be text in UTF-8, but is not ({error}); save it as CSV UTF-8") from error
