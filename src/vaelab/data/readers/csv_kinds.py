"""Looks at the columns of a .csv file: which of them hold text, and what its labels are."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Literal

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.csv_layout import Layout
from vaelab.data.readers.csv_text import is_missing, is_number, pointed
from vaelab.data.readers.selection import LONGEST, Selection
from vaelab.data.readers.text_columns import text_refused
from vaelab.escapes import short

LOOKED_AT = 100  # rows at the start of the file that show if a column holds text
COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")

LabelKind = Literal["whole", "real", "text"]


def check_numbers(layout: Layout, selection: Selection) -> None:
    """Refuses columns of x in which no cell at the start of the file is a number.

    Raises:
        UnreadableFile: there is such a column. The error names all of them.
    """
    examples = _text_columns(layout)
    if not examples:
        return
    commas = [(cell, found) for cell, found in examples.items() if COMMA.fullmatch(found)]
    if layout.decimal == "point" and commas:
        cell, found = commas[0]
        raise UnreadableFile(
            f"numbers must have a decimal point, but {layout.path} holds {found} in {_title(layout, cell)}; set "
            "data.decimal=comma if the comma is its decimal mark (--data decimal=comma in a vaelab command)"
        )
    keys = [layout.headers[cell] if layout.headers else cell for cell in examples]
    named = {str(key): f"'{short(found, 30)}'" for key, found in zip(keys, examples.values(), strict=True)}
    raise text_refused(layout.path, named, keys, selection)


def _title(layout: Layout, cell: int) -> str:
    return layout.headers[cell] if layout.headers else f"column {cell}"


def _text_columns(layout: Layout) -> dict[int, str]:
    """The columns of x without a number at the start of the file: cell -> the first that is not missing."""
    without = dict.fromkeys(layout.cells, "")
    for record in islice(layout.rows(), LOOKED_AT):
        for cell in list(without):
            text = record.cells[cell].strip() if cell < len(record.cells) else ""
            if is_number(pointed(text, layout.decimal)):
                del without[cell]
            elif not without[cell] and not is_missing(text):
                without[cell] = text
        if not without:
            break
    return {cell: text for cell, text in without.items() if text}


def label_kind(layout: Layout, cell: int) -> LabelKind:
    """What the labels of a file are. This reads the file once, up to the first label that is text."""
    kind: LabelKind = "whole"
    for record in layout.rows():
        text = record.cells[cell].strip() if cell < len(record.cells) else ""
        if is_missing(text):
            kind = "real"
        elif not is_number(plain := pointed(text, layout.decimal)):
            return "text"
        elif not re.fullmatch(r"[+-]?\d{1,15}", plain):
            kind = "real"
    return kind


def to_labels(cells: Sequence[str | None], kind: LabelKind, layout: Layout) -> np.ndarray:
    """The labels of some rows: whole numbers, numbers with NaN for a missing one, or text with "" for a missing one."""
    texts = ["" if cell is None or is_missing(cell) else short(cell.strip(), LONGEST) for cell in cells]
    if kind == "text":
        return np.array(texts, dtype=str)
    numbers = [float(pointed(text, layout.decimal)) if text else np.nan for text in texts]
    return np.array(numbers, dtype=np.int64 if kind == "whole" else np.float64)
