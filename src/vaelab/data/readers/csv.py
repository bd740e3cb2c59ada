"""Reads tables of numbers from text: .csv and .tsv.

Arrow reads most files, and is fast. Our own reader handles the rest, a line at a time, and its errors name line and
column.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers import source
from vaelab.data.readers.categories import Categories
from vaelab.data.readers.csv_kinds import FLAGS, label_kind, to_labels, with_kinds
from vaelab.data.readers.csv_layout import Layout, find_layout
from vaelab.data.readers.csv_text import MISSING, SEPARATORS, Record, is_missing, is_number, pointed
from vaelab.data.readers.selection import Labelled, kind_assignment
from vaelab.data.readers.source import Reading, Source, rows_at_once, split
from vaelab.data.row_checks import LARGEST_WHOLE, WHOLE_BOUND
from vaelab.data.wording import counted
from vaelab.escapes import short

FORMS = sorted({form for mark in MISSING for form in (mark, mark.upper(), mark.capitalize())} | {"NaN", "-NaN", "<NA>"})


def read_csv(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads numbers separated by commas, semicolons, tabs or |, with or without a line of names."""
    layout = find_layout(path, reading)
    layout = with_kinds(layout, reading.selection, reading.categories)
    return Source(
        _arrays(layout, rows, reading.categories),
        layout.names,
        lambda row, column: _where(layout, row, column),
        facts=[*layout.facts],
        cautions=[*layout.cautions],
    )


def _where(layout: Layout, row: int, column: int) -> str:
    """The line and column of a number, in words, counted from 1."""
    record = next(islice(layout.rows(), row, None))
    return _place(layout, record, layout.cells[column + layout.counted])


def _place(layout: Layout, record: Record, cell: int) -> str:
    """The place of a cell, in words. `cell` counts all cells from 0."""
    if layout.width == 1:
        return f"line {record.line}"
    name = layout.headers[cell] if layout.headers and cell >= layout.counted else ""
    return f"line {record.line}, column {cell + 1}" + (f" ({name})" if name else "")


def _arrays(layout: Layout, rows: int | None, categories: Categories | None) -> Iterator[np.ndarray | Labelled]:
    whole = not layout.texts and not layout.flags and _holds_integers(layout, layout.cells)
    done, records = 0, enumerate(layout.rows())
    for table, label in _tables(layout, categories):
        _check_whole(layout, table, done, records)
        if layout.counted:
            _check_count(layout, table[:, : layout.counted], done)
            table = table[:, layout.counted :]
        done += len(table)
        missing = np.isnan(table)
        if whole:
            table = np.where(missing, 0, table).astype(np.int64)
        yield from split(np.ma.array(table, mask=missing) if missing.any() else table, rows, label)


def _check_count(layout: Layout, columns: np.ndarray, done: int) -> None:
    wrong = np.argwhere(columns != np.arange(done, done + len(columns))[:, None])
    if len(wrong):
        record = next(islice(layout.rows(), done + int(wrong[0, 0]), None))
        raise UnreadableFile(
            f"every column must have a name, but column {wrong[0, 1] + 1} of {layout.path} has none, and it stops "
            f"counting the rows in line {record.line}; name it, or remove it"
        )


def _check_whole(layout: Layout, table: np.ndarray, done: int, records: Iterator[tuple[int, Record]]) -> None:
    """Refuses whole numbers that a float64 may not hold exactly. Only the text shows if a number is whole."""
    large = (np.abs(table) > LARGEST_WHOLE) & ~np.isnan(table).any(-1, keepdims=True)
    if not large.any():
        return
    for index, record in records:  # continues after the last record of the previous table
        for column in np.flatnonzero(large[index - done]) if index >= done else ():
            cell = record.cells[layout.cells[column]].strip()
            if re.fullmatch(r"[+-]?\d+", cell, re.ASCII):
                raise UnreadableFile(
                    f"every whole number must {WHOLE_BOUND}, but {layout.path} holds {short(cell, 40)} in "
                    f"{_place(layout, record, layout.cells[column])}; correct it, or remove that row or column"
                )
        if index == done + len(table) - 1:
            return


def _holds_integers(layout: Layout, cells: Sequence[int]) -> bool:
    """True if all numbers are whole. This reads the file once, up to the first number that is not."""
    try:
        for _ in _batches(layout, dict.fromkeys(cells, "int64")):
            pass
    except ValueError:
        return False
    return True


def _tables(layout: Layout, categories: Categories | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The numbers as float64, with NaN for a missing one, and the labels if there are any."""
    done = 0
    kind = None if layout.label is None else label_kind(layout, layout.label)
    if layout.width > 1:  # Arrow skips blank lines, but in a single column a blank line is a missing number
        kinds = {cell: _arrow_kind(layout, cell) for cell in layout.cells}
        try:
            for batch in _batches(layout, kinds | ({} if layout.label is None else {layout.label: "string"})):
                columns = [_column(layout, cell, batch.column(str(cell)), done, categories) for cell in layout.cells]
                done += len(batch)
                label = None if kind is None else to_labels(batch.column(str(layout.label)).to_pylist(), kind, layout)
                yield np.stack(columns, axis=-1), label
            return
        except ValueError:
            pass
    at_once = rows_at_once(None, 8 * layout.width)
    rest = islice(layout.rows(), done, None)
    while chunk := list(islice(rest, at_once)):
        numbers = np.array([_numbers(layout, record, categories) for record in chunk])
        yield numbers, None if kind is None else to_labels([_label(layout, each) for each in chunk], kind, layout)


def _batches(layout: Layout, kinds: Mapping[int, str]) -> Iterator[Any]:
    """Some cells of all lines, read by Arrow as these kinds."""
    import pyarrow
    from pyarrow import csv

    names = [str(index) for index in range(layout.width)]
    encoding = layout.encoding.removesuffix("-sig")
    block = source.CHUNK_BYTES // 2
    with csv.open_csv(
        layout.path,
        csv.ReadOptions(block_size=block, skip_rows=layout.first.line - 1, column_names=names, encoding=encoding),
        csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True),
        csv.ConvertOptions(
            column_types={str(cell): pyarrow.type_for_alias(kind) for cell, kind in kinds.items()},
            include_columns=[str(cell) for cell in kinds],
            null_values=FORMS,
            decimal_point=layout.mark,
        ),
    ) as reader:
        yield from reader


def _arrow_kind(layout: Layout, cell: int) -> str:
    return "string" if cell in layout.texts else "bool" if cell in layout.flags else "float64"


def _column(layout: Layout, cell: int, column: Any, done: int, categories: Categories | None) -> np.ndarray:
    """A column of a batch that starts at row `done`, (m,) float64, with NaN for a missing value."""
    if cell not in layout.texts or categories is None:
        return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False))
    texts = ["" if text is None or is_missing(text) else text for text in column.to_pylist()]
    place = layout.cells.index(cell) - layout.counted
    return categories.codes(
        layout.title(cell), texts, layout.path, lambda row: f"in {_where(layout, done + row, place)}"
    )


def _numbers(layout: Layout, record: Record, categories: Categories | None) -> list[float]:
    """The numbers of a line, with NaN for a missing number.

    Raises:
        UnreadableFile: the line has more or fewer cells than the first, or a cell holds something else.
    """
    if len(record.cells) != layout.width:
        raise UnreadableFile(
            f"every line must have the same number of cells, but {layout.path} has "
            f"{counted(len(record.cells), 'cell')} in line {record.line} and {layout.width} in line "
            f"{layout.first.line} (separated by {SEPARATORS[layout.separator]}); correct that line"
        )
    return [_number(layout, record, cell, categories) for cell in layout.cells]


def _label(layout: Layout, record: Record) -> str:
    return record.cells[layout.label or 0]


def _number(layout: Layout, record: Record, cell: int, categories: Categories | None) -> float:
    text = record.cells[cell].strip()
    if cell in layout.texts and categories is not None:
        texts, place = ["" if is_missing(text) else text], f"in {_place(layout, record, cell)}"
        return float(categories.codes(layout.title(cell), texts, layout.path, lambda row: place)[0])
    if cell in layout.flags and text.lower() in FLAGS:
        return float(text.lower() == "true")
    if is_number(plain := pointed(text, layout.decimal)):
        return float(plain)
    if is_missing(text):
        return np.nan
    cure = f"write it with a decimal {layout.decimal} and without separators, or remove a column of words"
    if categories is not None:
        cure = f"correct it, or read the column as categories with {kind_assignment(layout.title(cell), 'category')}"
    raise UnreadableFile(
        f"every cell must hold a number such as -1234{layout.mark}5, but {layout.path} holds '{short(text, 40)}' in "
        f"{_place(layout, record, cell)}; {cure}"
    )
