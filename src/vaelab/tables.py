"""Writes tables of results a chunk at a time: .npz, .csv and .parquet."""

import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from vaelab.whole_files import replacing

Chunk = Mapping[str, np.ndarray]

AT_ONCE = 1 << 24  # how many bytes are collected before a .csv or .parquet writer is called


def check_table_path(path: str | Path, *others: str) -> Path:
    """Checks that a path can name a table, or a file with one of the endings `others`, such as `.png`.

    Raises:
        ValueError: the extension is unknown.
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: the path is a folder.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in (known := [*WRITERS, *others]):
        raise ValueError(f"{path} must end in one of {', '.join(known)}")
    return check_place(path)


def check_place(path: Path) -> Path:
    """Returns a path unchanged if a file can be written there.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: the path is a folder.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written, because the folder {path.parent} does not exist; make it first"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} cannot be written, because it is a folder; use the name of a file")
    return path


def write_table(path: str | Path, chunks: Iterable[Chunk]) -> int:
    """Writes chunks of rows as one table. Returns the number of rows.

    .npz              an array for each name, with the rows of all chunks
    .csv, .parquet    a column for each name with one number or text per row; for other names, columns name_0, name_1, …
                      of the flattened dimensions. A .csv holds bools as 0 and 1.

    The table appears under its name only when it is complete. If writing fails, an older file is unchanged.

    Args:
        path: the file, which may exist.
        chunks: names -> arrays (m, *shape). All chunks have the names, types and shapes of the first one, but m may
            differ. They are written as they arrive.

    Raises:
        ValueError: the extension is unknown, there are no rows, or the chunks do not fit each other.
        OSError: the folder does not exist, or the file cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/scores.csv", [{"kl": np.array([0.5, 2.0])}, {"kl": np.array([1.5])}])
    3
    """
    path = check_table_path(path)
    with replacing(path) as file:
        rows = WRITERS[path.suffix.lower()](file, path.parent, _checked(chunks))
        if not rows:
            raise ValueError(f"{path} was not written, because there are no rows; pass at least one")
    return rows


def _checked(chunks: Iterable[Chunk]) -> Iterator[dict[str, np.ndarray]]:
    """Yields the chunks after checking them: names, types and shapes as in the first, and arrays of equal length."""
    first: dict[str, tuple[str, tuple[int, ...]]] = {}
    for chunk in chunks:
        arrays = {name: np.asarray(array) for name, array in chunk.items()}
        if not arrays or min(array.ndim for array in arrays.values()) < 1:
            raise ValueError(f"a chunk must have rows, but {list(arrays)} has none; pass arrays with one entry per row")
        if len({len(array) for array in arrays.values()}) > 1:
            sizes = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
            raise ValueError(f"all arrays of a chunk must have the same number of rows, but have {sizes}")
        kinds = {name: (_kind(array), array.shape[1:]) for name, array in arrays.items()}
        first = first or kinds
        if kinds != first:
            raise ValueError(f"all chunks must have the same names, types and shapes, but {kinds} follows {first}")
        if len(next(iter(arrays.values()))):
            yield arrays


def _kind(array: np.ndarray) -> str:
    """The type of an array. Text may be of any length."""
    return "text" if array.dtype.kind == "U" else str(array.dtype)


def _write_npz(whole: BinaryIO, folder: Path, chunks: Iterator[dict[str, np.ndarray]]) -> int:
    """Writes each array to a raw file first, because the number of rows must be in its header.

    The raw files have no name, so they disappear with the process.
    """
    rows = 0
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        longest: dict[str, np.ndarray] = {}  # name -> the array with the longest text so far
        for arrays in chunks:
            for name, array in arrays.items():
                if name not in files:
                    raw = stack.enter_context(tempfile.TemporaryFile(dir=folder))
                    files[name], longest[name] = cast(BinaryIO, raw), array
                if array.dtype.itemsize > longest[name].dtype.itemsize:
                    wider = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile(dir=folder)))
                    _copy_text(files[name], longest[name].dtype, wider, array.dtype)
                    files[name], longest[name] = wider, array
                files[name].write(np.ascontiguousarray(array, longest[name].dtype).data)
            rows += len(next(iter(arrays.values())))
        with zipfile.ZipFile(whole, "w") as archive:
            for name, file in files.items():
                # ZipInfo has a fixed date, so the same results give the same bytes.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    _write_npy_header(cast(BinaryIO, member), longest[name], rows)
                    file.seek(0)
                    shutil.copyfileobj(file, member, 1 << 20)
    return rows


def _copy_text(file: BinaryIO, dtype: np.dtype, wider: BinaryIO, longer: np.dtype) -> None:
    """Copies a raw file of text of one type to one of a longer type."""
    file.seek(0)
    while content := file.read(dtype.itemsize << 12):
        wider.write(np.frombuffer(content, dtype).astype(longer).data)


def _write_npy_header(file: BinaryIO, like: np.ndarray, rows: int) -> None:
    descr = np.lib.format.dtype_to_descr(like.dtype)
    shape = (rows, *like.shape[1:])
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _write_csv(whole: BinaryIO, folder: Path, chunks: Iterator[dict[str, np.ndarray]]) -> int:
    from pyarrow import csv

    whole_numbers = ({name: _bools_as_digits(array) for name, array in chunk.items()} for chunk in chunks)
    return _write_arrow(whole_numbers, lambda schema: csv.CSVWriter(whole, schema))


def _bools_as_digits(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint8) if array.dtype == bool else array


def _write_parquet(whole: BinaryIO, folder: Path, chunks: Iterator[dict[str, np.ndarray]]) -> int:
    from pyarrow import parquet

    return _write_arrow(chunks, lambda schema: parquet.ParquetWriter(whole, schema))


def _write_arrow(chunks: Iterator[dict[str, np.ndarray]], open_writer: Callable[[Any], Any]) -> int:
    import pyarrow

    rows = 0
    with ExitStack() as stack:
        writer = None
        for chunk in _gathered(chunks):
            table = pyarrow.table(_columns(chunk))
            writer = writer or stack.enter_context(open_writer(table.schema))
            writer.write_table(table)
            rows += len(table)
    return rows


def _gathered(chunks: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """Joins small chunks, because a .parquet file with many small groups of rows is slow to read."""
    held: list[dict[str, np.ndarray]] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += sum(array.nbytes for array in chunk.values())
        if size >= AT_ONCE:
            yield _joined(held)
            held, size = [], 0
    if held:
        yield _joined(held)


def _joined(chunks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _columns(chunk: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """name -> (m,), or name_0, name_1, … -> (m,) from (m, *shape)."""
    columns: dict[str, np.ndarray] = {}
    for name, array in chunk.items():
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        names = [name] if array.ndim == 1 else [f"{name}_{index}" for index in range(flat.shape[1])]
        if clash := columns.keys() & set(names):
            raise ValueError(
                f"columns must have different names, but two would be called {min(clash)}; rename an array"
            )
        columns |= {column: np.ascontiguousarray(flat[:, index]) for index, column in enumerate(names)}
    return columns


WRITERS: dict[str, Callable[[BinaryIO, Path, Iterator[dict[str, np.ndarray]]], int]] = {
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
