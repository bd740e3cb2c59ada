"""Reads arrays in NumPy's format: .npy files, and the members of .npz files."""

import math
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from vaelab.data.bounded_reading import FLOAT, UnreadableFile, check_growth, read_up_to
from vaelab.data.readers import source
from vaelab.data.readers.selection import Chosen, Labelled, choose
from vaelab.data.readers.source import WIDEST, Reading, Shape, Source, rows_at_once
from vaelab.data.row_checks import Where, at_index

HEADER_BYTES = 10_000  # the longest header of a .npy file; NumPy refuses longer ones too


def read_npy(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the array of a .npy file."""
    if reading.selection is None:
        return Source(_npy(path, rows))
    with path.open("rb") as file:
        shape, _, dtype = read_header(path, file)
    chosen = choose(reading.selection, None, table_width(path, shape, dtype), path)
    return Source(chosen_columns(_npy(path, rows), chosen), where=moved(chosen), facts=chosen.facts)


def _npy(path: Path, rows: int | None) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        yield from read_array(path, file, rows)


def table_width(path: Path, shape: Shape, dtype: np.dtype) -> int:
    """The number of columns of a table in an array.

    Raises:
        UnreadableFile: the array is not a table of numbers.
    """
    _check_rows(path, shape, dtype)
    if len(shape) > 2:
        raise UnreadableFile(
            f"a table must be an array of rows and columns, but {path} holds an array of shape {shape}; use data=array"
        )
    if (width := math.prod(shape[1:])) > WIDEST:
        raise UnreadableFile(f"a table must have at most {WIDEST:,} columns, but {path} has {width:,}; use data=array")
    return width


def chosen_columns(arrays: Iterator[np.ndarray], chosen: Chosen) -> Iterator[np.ndarray | Labelled]:
    """The chosen columns of arrays (m, columns) or (m,)."""
    for array in arrays:
        table = array.reshape(len(array), -1)
        numbers = table if chosen.x == tuple(range(table.shape[1])) else table[:, chosen.x]
        yield numbers if chosen.label is None else Labelled(numbers, table[:, chosen.label])


def moved(chosen: Chosen) -> Where:
    """The place of a chosen number in the file, in words."""
    return lambda row, number: at_index(row, chosen.x[number])


def read_array(path: Path, file: BinaryIO, rows: int | None) -> Iterator[np.ndarray]:
    """Yields rows of an array in NumPy's format (numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    shape, by_columns, dtype = read_header(path, file)
    _check_rows(path, shape, dtype)
    if path.suffix.lower() == ".npz":
        check_growth(path, math.prod(shape) * max(dtype.itemsize, FLOAT), f"shape {shape} of {dtype}")
    row = shape[1:] or (1,)
    at_once = rows_at_once(rows, math.prod(row) * dtype.itemsize)
    if by_columns and len(shape) > 1:
        yield from _read_by_columns(path, file, shape, dtype, at_once)
        return
    done = 0
    while done < shape[0]:
        count = min(at_once, shape[0] - done)
        content = read_exactly(path, file, count * math.prod(row) * dtype.itemsize, shape, dtype)
        yield np.frombuffer(content, dtype).reshape(count, *row)
        done += count
    _check_end(path, file, shape, dtype)


def read_member(path: Path, name: str, rows: int | None) -> Iterator[np.ndarray]:
    """Yields rows of an array in a .npz file."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        yield from read_array(path, cast(BinaryIO, file), rows)


def read_header(path: Path, file: BinaryIO) -> tuple[Shape, bool, np.dtype]:
    """The shape of an array, True if it is stored by columns, and its type."""
    version = np.lib.format.read_magic(file)
    field = file.read(2 if version == (1, 0) else 4)
    if (length := int.from_bytes(field, "little")) > HEADER_BYTES:  # NumPy would allocate memory before it checks
        raise UnreadableFile(
            f"{path} must have a header of at most {HEADER_BYTES:,} bytes, but declares {length:,}; write it again"
        )
    file.seek(-len(field), 1)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _check_rows(path: Path, shape: Shape, dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        raise UnreadableFile(f"{path} must hold plain numbers, but holds {dtype}; save integers or floats")
    if not shape:
        raise UnreadableFile(f"{path} must hold rows of numbers, but holds a single number; save an array of n rows")
    if min(shape) < 0 or not math.prod(shape[1:]):
        raise UnreadableFile(f"{path} must hold at least one number per row, but has shape {shape}; use another file")


def read_exactly(path: Path, file: BinaryIO, size: int, shape: Shape, dtype: np.dtype) -> bytearray:
    """The next bytes of an array.

    Raises:
        UnreadableFile: the file holds fewer.
    """
    content = read_up_to(file, size)
    if len(content) < size:
        raise UnreadableFile(f"{path} declares {_size(shape, dtype)}, but holds less; fetch it or write it again")
    return content


def _check_end(path: Path, file: BinaryIO, shape: Shape, dtype: np.dtype) -> None:
    if file.read(1):
        raise UnreadableFile(f"{path} declares {_size(shape, dtype)}, but holds more; save one array per file")


def _size(shape: Shape, dtype: np.dtype) -> str:
    return f"shape {shape} of {dtype}, {math.prod(shape) * dtype.itemsize} bytes"


def _read_by_columns(path: Path, file: BinaryIO, shape: Shape, dtype: np.dtype, at_once: int) -> Iterator[np.ndarray]:
    """Yields rows of an array in Fortran's order. Its rows are scattered, so they are read from a copy on disk."""
    with tempfile.TemporaryFile() as copy:
        left = math.prod(shape) * dtype.itemsize
        while left:
            left -= copy.write(read_exactly(path, file, min(left, source.CHUNK_BYTES), shape, dtype))
        _check_end(path, file, shape, dtype)
        copy.flush()
        if not shape[0]:
            return
        mapped = np.memmap(copy, dtype, "r", shape=shape, order="F")
        for start in range(0, shape[0], at_once):
            yield np.array(mapped[start : start + at_once], order="C")
