"""Looks at the columns of a .csv file: which of them hold text, and what its labels are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.categories import Categories
from vaelab.data.readers.csv_layout import Layout
from vaelab.data.readers.csv_text import is_missing, is_number, pointed
from vaelab.data.readers.selection import LONGEST, Selection
from vaelab.data.readers.text_columns import text_refused
from vaelab.escapes import short

LOOKED_AT = 100  # rows at the start of the file that show if a column holds text
FLAGS = {"true", "false"}
FORMS_OF_NUMBERS = (  # how numbers may be written that are refused, what they must have, and the cure
    (
        re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d*|[+-]?\d{1,3}(,\d{3}){2,}"),
        "no separators of thousands",
        "remove these commas from the file",
    ),
    (
        re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?"),
        "a decimal point",
        "set data.decimal=comma if the comma is its decimal mark (--data decimal=comma in a vaelab command), or remove "
        "the commas if they separate thousands",
    ),
)

LabelKind = Literal["whole", "real", "text"]


def with_kinds(layout: Layout, selection: Selection | None, categories: Categories | None) -> Layout:
    """The layout, with the columns that hold text or true and false, as the start of the file shows.

    Raises:
        UnreadableFile: columns of x hold text that is not read as categories. The error names all of them.
    """
    words = _text_columns(layout)
    takes = [] if categories is None or layout.headers is None else layout.cells[layout.counted :]
    texts = frozenset(cell for cell in takes if categories.takes(layout.title(cell), _is_text(words.get(cell))))  # type: ignore[union-attr]
    flags = frozenset(cell for cell, found in words.items() if cell not in texts and not _is_text(found))
    examples = {cell: found[0] for cell, found in words.items() if cell not in texts and cell not in flags}
    if examples and selection is not None:
        raise _refused(layout, selection, examples)
    return replace(layout, texts=texts, flags=flags)


def _is_text(words: Sequence[str] | None) -> bool:
    return bool(words) and not {word.lower() for word in words or ()} <= FLAGS


def _refused(layout: Layout, selection: Selection, examples: Mapping[int, str]) -> UnreadableFile:
    """The error about columns of x that hold text: cell -> the first of it."""
    if layout.decimal == "point":
        for pattern, kind, cure in FORMS_OF_NUMBERS:
            for cell, found in examples.items():
                if pattern.fullmatch(found):
                    where = f"{layout.path} holds {short(found, 40)} in {layout.title(cell)}"
                    return UnreadableFile(f"numbers must have {kind}, but {where}; {cure}")
    keys = [layout.headers[cell] if layout.headers else cell for cell in examples]
    named = {str(key): f"'{short(found, 30)}'" for key, found in zip(keys, examples.values(), strict=True)}
    return text_refused(layout.path, named, keys, selection)


def _text_columns(layout: Layout) -> dict[int, list[str]]:
    """The columns of x without a number at the start of the file: cell -> those that are not missing."""
    without: dict[int, list[str]] = {cell: [] for cell in layout.cells}
    for record in islice(layout.rows(), LOOKED_AT):
        for cell in list(without):
            text = record.cells[cell].strip() if cell < len(record.cells) else ""
            if is_number(pointed(text, layout.decimal)):
                del without[cell]
            elif not is_missing(text):
                without[cell].append(text)
        if not without:
            break
    return {cell: texts for cell, texts in without.items() if texts}


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
