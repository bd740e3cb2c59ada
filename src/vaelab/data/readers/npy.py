"""Reads arrays from NumPy's files: .npy and .npz."""

import math
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from vaelab.data.bounded_reading import FLOAT, UnreadableFile, check_growth, read_up_to
from vaelab.data.columns import check_names
from vaelab.data.readers import source
from vaelab.data.readers.source import WIDEST, Reading, Shape, Source, rows_at_once

HEADER_BYTES = 10_000  # the longest header of a .npy file; NumPy refuses longer ones too


def read_npy(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the array of a .npy file."""
    return Source(_npy(path, rows))


def read_npz(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the only array of a .npz file, or the array `x`. An array `names` of words names the columns of `x`."""
    with zipfile.ZipFile(path) as archive:
        arrays = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if not arrays:
            raise UnreadableFile(f"{path} must hold an array, but holds none; write it with np.savez")
        if len(arrays) > 1 and "x" not in arrays:
            raise UnreadableFile(
                f"{path} must hold one array or an array called x, but holds {', '.join(arrays)}; name your data x"
            )
        names = _column_names(path, archive) if {"x", "names"} <= set(arrays) else None
    return Source(_npz(path, f"{arrays[0] if len(arrays) == 1 else 'x'}.npy", rows), names)


def _npy(path: Path, rows: int | None) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        yield from _read_array(path, file, rows)


def _npz(path: Path, member: str, rows: int | None) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        yield from _read_array(path, cast(BinaryIO, file), rows)


def _column_names(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    """Reads the array `names`, which must be a list of words. An array of objects is never unpickled."""
    with archive.open("names.npy") as member:
        file = cast(BinaryIO, member)
        shape, _, dtype = _read_header(path, file)
        if dtype.kind not in "US" or len(shape) != 1:
            raise UnreadableFile(
                f"the array names in {path} must be a list of words, but holds {dtype} in shape {shape}; save it as "
                "np.array(names, dtype=str), or remove it"
            )
        size = shape[0] * dtype.itemsize
        if shape[0] > WIDEST or size > source.CHUNK_BYTES:
            raise UnreadableFile(
                f"the array names in {path} must hold at most {WIDEST:,} words, but declares {shape[0]} of {dtype}; "
                "remove it"
            )
        names = np.frombuffer(_read_exactly(path, file, size, shape, dtype), dtype)
    try:
        words = np.char.decode(names, "utf-8") if dtype.kind == "S" else names
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"the array names in {path} must be in UTF-8, but is not ({error}); save it as np.array(names, dtype=str)"
        ) from error
    return check_names(words.tolist(), str(path))


def _read_array(path: Path, file: BinaryIO, rows: int | None) -> Iterator[np.ndarray]:
    """Yields rows of an array in NumPy's format (numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    shape, by_columns, dtype = _read_header(path, file)
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
        content = _read_exactly(path, file, count * math.prod(row) * dtype.itemsize, shape, dtype)
        yield np.frombuffer(content, dtype).reshape(count, *row)
        done += count
    _check_end(path, file, shape, dtype)


def _read_header(path: Path, file: BinaryIO) -> tuple[Shape, bool, np.dtype]:
    """The shape, True if the array is stored by columns, and the type."""
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


def _read_exactly(path: Path, file: BinaryIO, size: int, shape: Shape, dtype: np.dtype) -> bytearray:
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
            left -= copy.write(_read_exactly(path, file, min(left, source.CHUNK_BYTES), shape, dtype))
        _check_end(path, file, shape, dtype)
        copy.flush()
        if not shape[0]:
            return
        mapped = np.memmap(copy, dtype, "r", shape=shape, order="F")
        for start in range(0, shape[0], at_once):
            yield np.array(mapped[start : start + at_once], order="C")
