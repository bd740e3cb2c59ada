"""Reads a table from a .npz file: the array `x` with a label beside it, or several arrays as columns side by side."""

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from vaelab.data.bounded_reading import FLOAT, UnreadableFile, check_growth
from vaelab.data.columns import check_names
from vaelab.data.readers.categories import Categories
from vaelab.data.readers.npy import chosen_columns, moved, read_exactly, read_header, read_member, table_width
from vaelab.data.readers.npz_names import column_names
from vaelab.data.readers.selection import Labelled, Selection, choose
from vaelab.data.readers.source import Reading, Shape, Source, rows_at_once
from vaelab.data.readers.text_columns import text_refused
from vaelab.data.row_checks import LARGEST_WHOLE, WHOLE_BOUND
from vaelab.data.wording import listed


class Member(NamedTuple):
    """The header of an array in a .npz file."""

    name: str
    shape: Shape
    dtype: np.dtype

    @property
    def is_numbers(self) -> bool:
        """True if the array holds plain numbers."""
        return self.dtype.kind in "biuf"

    @property
    def row_bytes(self) -> int:
        """The bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def columns(self) -> list[str]:
        """The names of its columns: its own name, or name_0, name_1, …"""
        width = math.prod(self.shape[1:])
        return [self.name] if len(self.shape) == 1 else [f"{self.name}_{index}" for index in range(width)]


def read_npz_table(
    path: Path, archive: zipfile.ZipFile, arrays: Sequence[str], rows: int | None, reading: Reading
) -> Source:
    """Reads the selected columns of `x`, or of the only array; without an `x`, of all arrays side by side."""
    members = {name: _member(path, archive, name) for name in arrays}
    selection = reading.selection or Selection()
    if "x" in members or len(members) == 1:
        names = column_names(path, archive) if {"x", "names"} <= set(members) else None
        return _read_x(path, members, names, rows, selection)
    return _read_side_by_side(path, members, rows, selection, reading.categories)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Member:
    with archive.open(f"{name}.npy") as file:
        shape, _, dtype = read_header(path, cast(BinaryIO, file))
    return Member(name, shape, dtype)


def _read_x(
    path: Path, members: Mapping[str, Member], names: Sequence[str] | None, rows: int | None, selection: Selection
) -> Source:
    x = members["x"] if "x" in members else next(iter(members.values()))
    width = table_width(path, x.shape, x.dtype)
    if names is not None and len(names) != width:
        raise UnreadableFile(
            f"{path} must have one name per number of a row, but has {len(names)} names for rows of {width} numbers; "
            "correct or remove the names"
        )
    label = _label_beside(path, members, x, names, selection)
    chosen = choose(selection if label is None else replace(selection, label=None), names, width, path)
    facts = [*chosen.facts, *([] if label is None else [f"the label is the array {label.name}"])]
    if label is None:
        arrays = chosen_columns(read_member(path, x.name, rows), chosen)
    else:
        _check_lengths(path, [x, label])
        at_once = rows_at_once(rows, x.row_bytes + label.row_bytes)
        numbers = cast(Iterator[np.ndarray], chosen_columns(read_member(path, x.name, at_once), chosen))
        arrays = map(Labelled, numbers, _labels(path, label, at_once))
    found = None if names is None else tuple(names[index] for index in chosen.x)
    return Source(arrays, found, where=moved(chosen), facts=facts)


def _label_beside(
    path: Path, members: Mapping[str, Member], x: Member, names: Sequence[str] | None, selection: Selection
) -> Member | None:
    """The array beside x that is the label; None if the label is a column of x, or if there is none."""
    beside = {name: each for name, each in members.items() if name not in (x.name, "names") and len(each.shape) == 1}
    key = selection.label
    if key is None or str(key) in (names or ()) or (type(key) is int and names is None):
        return None
    if str(key) not in beside and beside and not selection.trained:
        raise UnreadableFile(
            f"data.label must name an array beside x in {path} ({listed(list(beside))}), or a column of x, but is "
            f"{key}; use one of these"
        )
    return beside.get(str(key))


def _read_side_by_side(
    path: Path,
    members: Mapping[str, Member],
    rows: int | None,
    selection: Selection,
    categories: Categories | None,
) -> Source:
    for member in members.values():
        if member.is_numbers or len(member.shape) != 1:
            table_width(path, member.shape, member.dtype)
    _check_lengths(path, list(members.values()))
    names = check_names([name for member in members.values() for name in member.columns], str(path))
    place = [(member, index) for member in members.values() for index in range(len(member.columns))]
    chosen = choose(selection, names, len(names), path)
    texts = {names[index]: str(place[index][0].dtype) for index in chosen.x if not place[index][0].is_numbers}
    coded = {name for name in texts if categories is not None and categories.takes(name, is_text=True)}
    if texts := {name: kind for name, kind in texts.items() if name not in coded}:
        raise text_refused(path, texts, [*texts], selection)
    label = None if chosen.label is None else place[chosen.label]
    if label is not None and len(label[0].columns) > 1:
        raise UnreadableFile(
            f"data.label must be an array of one column, but {label[0].name} in {path} has several; use another"
        )
    used = {member.name: member for member, _ in (place[index] for index in chosen.x)}
    check_growth(path, sum(each.shape[0] * _grown(each) for each in used.values()), f"{len(used)} arrays")
    at_once = rows_at_once(rows, sum(max(1, each.row_bytes) for each in used.values()))
    columns = [(place[index][0].name, place[index][1]) for index in chosen.x]
    tables = _joined(path, used, columns, at_once, categories if coded else None)
    arrays = tables if label is None else map(Labelled, tables, _labels(path, label[0], at_once))
    return Source(arrays, tuple(names[index] for index in chosen.x), facts=chosen.facts)


def _grown(member: Member) -> int:
    return max(member.row_bytes, FLOAT * len(member.columns))


def _check_lengths(path: Path, members: Sequence[Member]) -> None:
    lengths = {member.name: member.shape[0] if member.shape else 0 for member in members}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length:,}" for name, length in list(lengths.items())[:10])
        raise UnreadableFile(
            f"all arrays of a table must have the same number of rows, but those in {path} have {found}; name the rows "
            "x and their columns names, or save arrays of one length"
        )


def _joined(
    path: Path,
    members: Mapping[str, Member],
    columns: Sequence[tuple[str, int]],
    rows: int,
    categories: Categories | None,
) -> Iterator[np.ndarray]:
    """Columns (name of the array, column in it) side by side -> (m, columns) at a time."""
    done = 0
    members_read = (
        read_member(path, name, rows)
        if member.is_numbers or categories is None
        else _codes(path, member, rows, categories)
        for name, member in members.items()
    )
    for arrays in zip(*members_read, strict=True):
        held = {name: array.reshape(len(array), -1) for name, array in zip(members, arrays, strict=True)}
        if len({array.dtype.kind for array in arrays}) > 1:
            for name, array in held.items():
                _check_whole(path, name, array, done)
        done += len(arrays[0])
        yield np.stack([held[name][:, column] for name, column in columns], axis=-1)


def _place(first: int, name: str, row: int) -> str:
    return f"in row {first + row} (counting from 0) of {name}"


def _codes(path: Path, member: Member, rows: int, categories: Categories) -> Iterator[np.ndarray]:
    """Yields the codes of an array of text, (m,)."""
    done = 0
    for texts in _labels(path, member, rows):
        yield categories.codes(member.name, texts.tolist(), path, partial(_place, done, member.name))
        done += len(texts)


def _check_whole(path: Path, name: str, array: np.ndarray, done: int) -> None:
    """Refuses whole numbers that a float64 may not hold exactly, because they are joined with floats."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return
    large = (array > LARGEST_WHOLE) | (array < -LARGEST_WHOLE)
    if large.any():
        row, column = np.argwhere(large)[0]
        raise UnreadableFile(
            f"every whole number must {WHOLE_BOUND}, but {path} holds {array[row, column]} in row {done + row} "
            f"(counting from 0) of {name}; correct it, or remove that row or array"
        )


def _labels(path: Path, member: Member, rows: int) -> Iterator[np.ndarray]:
    """Yields labels, (m,), numbers or text. An array of objects is never unpickled."""
    if member.is_numbers:
        yield from (array.reshape(-1) for array in read_member(path, member.name, rows))
        return
    if member.dtype.kind not in "US":
        raise UnreadableFile(
            f"labels must be numbers or text, but the array {member.name} in {path} holds {member.dtype}; save it as "
            f"{member.name}.astype(str)"
        )
    check_growth(path, member.shape[0] * member.dtype.itemsize, f"{member.shape[0]} labels of {member.dtype}")
    with zipfile.ZipFile(path) as archive, archive.open(f"{member.name}.npy") as opened:
        file = cast(BinaryIO, opened)
        read_header(path, file)
        for start in range(0, member.shape[0], rows):
            size = min(rows, member.shape[0] - start) * member.dtype.itemsize
            text = np.frombuffer(read_exactly(path, file, size, member.shape, member.dtype), member.dtype)
            yield np.char.strip(np.char.decode(text, "utf-8") if member.dtype.kind == "S" else text)
