"""Rows of numbers from files of many kinds, a bounded chunk at a time.

A reader below yields arrays (m, *row); `read_chunks` turns them into tensors, and a library's error into a sentence.
"""

import csv
import errno
import math
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import check_whole
from vaelab.data.idx import IMAGES, UnreadableFile, check_growth, read_up_to, stream_images

Array = np.ndarray
Shape = tuple[int, ...]

CHUNK_BYTES = 1 << 24  # of one chunk, unless a single row is larger
WIDEST = 1 << 16  # numbers in a line of a .csv; each takes its reader a column of its own
HEADER_BYTES = 10_000  # of a .npy file; NumPy refuses longer ones too
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
KINDS = ".npy, .npz, .csv, .parquet, an IDX file of images (raw or .gz), or a folder of images"


def read_chunks(path: str | Path, rows: int | None = None) -> Iterator[Tensor]:
    """The rows of a file, in order, as tensors (m, *row) of at most 16 MiB each: a file of any length fits the memory.

    .npy      (n, *row); (n,) is read as n rows of one number
    .npz      its one array, or the one called `x`
    .csv      comma-separated numbers, with or without a header; a first line 0,1,2,… is one
    .parquet  numbers, or lists of numbers of one length; columns side by side, in order
    IDX       images, raw or .gz: (n, rows, columns)
    folder    .png, .jpg, .jpeg and .bmp files in the order of their names, as 8-bit grey: (n, rows, columns)

    Integers and bools stay what they are; floats become float32; empty cells become NaN. The first chunk is read at
    once, so that most faults show at the call.

    Args:
        path: the file or folder.
        rows: at most this many rows per chunk; as many as fit into 16 MiB unless given.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: the file is empty, torn, of no known kind, or holds something other than rows of numbers of one
            length; or `rows` is no positive whole number.
        OSError: the system does not let it be read.
    """
    path = Path(path).expanduser()
    if rows is not None:
        check_whole("rows", rows, 1)
    chunks = _tensors(path, _reader(path)(path, rows))
    first = next(chunks, None)
    if first is None:
        raise UnreadableFile(f"{path} holds no rows; give a file with at least one")
    return chain([first], chunks)


def _reader(path: Path) -> Callable[[Path, int | None], Iterator[Array]]:
    """What reads a file of this kind; found by its name, and without one by its first bytes."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file: {KINDS}")
    if path.is_dir():
        return _read_folder
    if not path.is_file():
        raise UnreadableFile(f"{path} is no plain file; give the path of one: {KINDS}")
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix == ".gz" and Path(path.stem).suffix.lower() in READERS:
        raise UnreadableFile(f"{path} is compressed, and of .gz files only IDX files are read; unpack it first")
    if suffix in ("", ".gz") or "ubyte" in path.name or _first_bytes(path) == IMAGES.to_bytes(4, "big"):
        return _read_idx
    if suffix in PICTURES:
        raise UnreadableFile(f"{path} is a single image, where rows are asked for; give the folder that it lies in")
    raise UnreadableFile(f"{path} is of no known kind; give {KINDS}")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _tensors(path: Path, arrays: Iterator[Array]) -> Iterator[Tensor]:
    """Each array as a tensor of numbers, and each library's own error as a sentence."""
    try:
        for array in arrays:
            if len(array):
                yield _to_tensor(path, array)
    except UnreadableFile:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # which a wrong place in it gives
            raise  # the system's own words, such as permission denied
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableFile(
            f"{path} cannot be read as {path.suffix or 'IDX'} ({reason}); check that it is whole and of that kind"
        ) from error


def _to_tensor(path: Path, array: Array) -> Tensor:
    """(m, *row) of any numeric type -> a tensor of a type that torch computes with."""
    _check_numbers(path, array.dtype)
    if not math.prod(array.shape[1:]):
        raise UnreadableFile(f"{path} holds rows of no numbers (shape {array.shape}); give rows of at least one")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32: infinite, which `prepare` refuses by its row
            array = array.astype(np.float32)
    elif array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.float32 if array.dtype.itemsize == 8 and array.max() >= 2**63 else np.int64)
    else:
        array = array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_numbers(path: Path, dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        raise UnreadableFile(f"{path} holds {dtype} where plain numbers are needed; save integers or floats")


def _rows_at_once(rows: int | None, row_bytes: int) -> int:
    fitting = max(1, CHUNK_BYTES // max(1, row_bytes))
    return min(rows or fitting, fitting)


# .npy and .npz


def _read_npy(path: Path, rows: int | None) -> Iterator[Array]:
    with path.open("rb") as file:
        yield from _read_array(path, file, rows)


def _read_npz(path: Path, rows: int | None) -> Iterator[Array]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if not names:
            raise UnreadableFile(f"{path} holds no array; give a file that np.savez wrote")
        if len(names) > 1 and "x" not in names:
            raise UnreadableFile(
                f"{path} holds the arrays {', '.join(names)}, and none is x; call the one to be read x"
            )
        with archive.open(f"{names[0] if len(names) == 1 else 'x'}.npy") as file:
            yield from _read_array(path, cast(BinaryIO, file), rows)


def _read_array(path: Path, file: BinaryIO, rows: int | None) -> Iterator[Array]:
    """An array in NumPy's format (numpy.org/doc/stable/reference/generated/numpy.lib.format.html), by rows."""
    shape, by_columns, dtype = _read_npy_header(path, file)
    if path.suffix.lower() == ".npz":
        check_growth(path, math.prod(shape) * dtype.itemsize, f"shape {shape} of {dtype}")
    row = shape[1:] or (1,)
    at_once = _rows_at_once(rows, math.prod(row) * dtype.itemsize)
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


def _read_npy_header(path: Path, file: BinaryIO) -> tuple[Shape, bool, np.dtype]:
    """Shape, whether it is stored by columns, and type."""
    version = np.lib.format.read_magic(file)
    field = file.read(2 if version == (1, 0) else 4)
    if (length := int.from_bytes(field, "little")) > HEADER_BYTES:  # NumPy would make room for it before it looks
        raise UnreadableFile(f"{path} promises a header of {length} bytes, which no array has; write it again")
    file.seek(-len(field), 1)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    _check_numbers(path, dtype)
    if not shape:
        raise UnreadableFile(f"{path} holds a single number, not rows of numbers; give an array of n rows")
    if min(shape) < 0 or not math.prod(shape[1:]):
        raise UnreadableFile(f"{path} holds rows of no numbers (shape {shape}); give rows of at least one")
    return shape, by_columns, dtype


def _read_exactly(path: Path, file: BinaryIO, size: int, shape: Shape, dtype: np.dtype) -> bytearray:
    content = read_up_to(file, size)
    if len(content) < size:
        raise UnreadableFile(f"{path} promises {_size(shape, dtype)}, but holds less; fetch or write it again")
    return content


def _check_end(path: Path, file: BinaryIO, shape: Shape, dtype: np.dtype) -> None:
    if file.read(1):
        raise UnreadableFile(f"{path} promises {_size(shape, dtype)}, but holds more; save one array per file")


def _size(shape: Shape, dtype: np.dtype) -> str:
    return f"shape {shape} of {dtype}, {math.prod(shape) * dtype.itemsize} bytes"


def _read_by_columns(path: Path, file: BinaryIO, shape: Shape, dtype: np.dtype, at_once: int) -> Iterator[Array]:
    """An array in Fortran's order: its rows lie scattered, so they are gathered from a copy on the disk."""
    with tempfile.TemporaryFile() as copy:
        left = math.prod(shape) * dtype.itemsize
        while left:
            left -= copy.write(_read_exactly(path, file, min(left, CHUNK_BYTES), shape, dtype))
        _check_end(path, file, shape, dtype)
        copy.flush()
        if not shape[0]:
            return
        mapped = np.memmap(copy, dtype, "r", shape=shape, order="F")
        for start in range(0, shape[0], at_once):
            yield np.array(mapped[start : start + at_once], order="C")


# .csv


def _read_csv(path: Path, rows: int | None) -> Iterator[Array]:
    skipped, width = _csv_layout(path)
    whole = _holds_integers(path, skipped, width)
    for batch in _csv_batches(path, skipped, width, whole):
        table = np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=-1)
        yield from _split(table, rows)


def _csv_layout(path: Path) -> tuple[int, int]:
    """How many lines come before the numbers, and how many numbers a line has."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for index, line in enumerate(iter(lambda: file.readline(CHUNK_BYTES), "")):
            if line.strip():
                if (width := line.count(",") + 1) > WIDEST:
                    raise UnreadableFile(
                        f"{path} holds {width:,} numbers in a line, above {WIDEST:,}; write it as .npy"
                    )
                cells = next(csv.reader([line]))
                numbered = len(cells) > 1 and cells == [str(column) for column in range(len(cells))]
                return index + (numbered or not all(map(_is_number, cells))), len(cells)
    raise UnreadableFile(f"{path} is empty; give a file with at least one row")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _holds_integers(path: Path, skipped: int, width: int) -> bool:
    """Whether all numbers are whole: a first pass over the file, which ends where one is not."""
    try:
        return all(not any(column.null_count for column in batch) for batch in _csv_batches(path, skipped, width, True))
    except ValueError:
        return False


def _csv_batches(path: Path, skipped: int, width: int, whole: bool) -> Iterator[Any]:
    import pyarrow
    from pyarrow import csv as arrow

    names = [str(index) for index in range(width)]
    kind = pyarrow.int64() if whole else pyarrow.float64()
    with arrow.open_csv(
        path,
        arrow.ReadOptions(block_size=CHUNK_BYTES // 2, skip_rows=skipped, column_names=names),
        convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(names, kind)),
    ) as reader:
        yield from reader


def _split(table: Array, rows: int | None) -> Iterator[Array]:
    at_once = _rows_at_once(rows, table[:1].nbytes)
    return (table[start : start + at_once] for start in range(0, len(table), at_once))


# .parquet


def _read_parquet(path: Path, rows: int | None) -> Iterator[Array]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        names = [name for name in file.schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]
        if not names:
            raise UnreadableFile(f"{path} holds no columns; give rows of at least one number")
        n = file.metadata.num_rows
        check_growth(path, 8 * n * len(names), f"{n} rows of {len(names)} columns")
        first = next(_parquet_tables(path, file, names, 1), None)
        if first is None:
            return
        check_growth(path, n * first.nbytes, f"{n} rows of {first.shape[1]} numbers")
        for table in _parquet_tables(path, file, names, _rows_at_once(rows, first.nbytes)):
            if table.shape[1] != first.shape[1]:
                raise UnreadableFile(
                    f"{path} holds lists of {first.shape[1]} and of {table.shape[1]} numbers; {ONE_LENGTH}"
                )
            yield table


def _parquet_tables(path: Path, file: Any, names: list[str], rows: int) -> Iterator[Array]:
    """(at most `rows`, numbers per row) at a time."""
    for batch in file.iter_batches(rows, columns=names):
        columns = [_unnest(path, name, column) for name, column in zip(names, batch.columns, strict=True)]
        yield np.concatenate(columns, axis=-1)


ONE_LENGTH = "give lists of one length"


def _unnest(path: Path, name: str, column: Any) -> Array:
    """A column of numbers, or of lists of numbers -> (m, numbers per row)."""
    from pyarrow import compute, types

    m = len(column)
    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        if column.null_count or len(compute.unique(compute.list_value_length(column))) > 1:
            raise UnreadableFile(f"{path} holds lists of unequal length in its column {name}; {ONE_LENGTH}")
        return _unnest(path, name, column.flatten()).reshape(m, -1) if m else np.empty((0, 1))
    if not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)):
        raise UnreadableFile(
            f"{path} holds {column.type} in its column {name} where plain numbers are needed; leave that column out"
        )
    numbers = column.to_numpy(zero_copy_only=False)
    # Bools with empty cells come as objects.
    return (numbers.astype(np.float32) if numbers.dtype == object else numbers).reshape(m, -1)


# Images


def _read_idx(path: Path, rows: int | None) -> Iterator[Array]:
    return (images.numpy() for images in stream_images(path, rows))


def _read_folder(path: Path, rows: int | None) -> Iterator[Array]:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith("."))
    if not files:
        raise UnreadableFile(f"{path} is a folder without images; put {', '.join(PICTURES)} files there")
    size = _read_picture(files[0]).shape
    at_once = _rows_at_once(rows, math.prod(size))
    for start in range(0, len(files), at_once):
        pictures = []
        for file in files[start : start + at_once]:
            pictures.append(_read_picture(file))
            if pictures[-1].shape != size:
                raise UnreadableFile(
                    f"{file} has {_pixels(pictures[-1].shape)} pixels and {files[0].name} {_pixels(size)}; give images "
                    "of one size"
                )
        yield np.stack(pictures)


def _read_picture(path: Path) -> Array:
    """(rows, columns), uint8 grey."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_growth` has a sentence for it
            picture = Image.open(path)
        with picture:
            check_growth(path, picture.width * picture.height, f"{picture.height}x{picture.width} pixels")
            if picture.mode[0] in "IF":
                raise UnreadableFile(f"{path} has pixels of more than 8 bits, which would be cut off; save it with 8")
            return np.asarray(picture.convert("L"))
    except UnreadableFile:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableFile(f"{path} cannot be read as an image ({reason}); mend or remove it") from error


def _pixels(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"


READERS: dict[str, Callable[[Path, int | None], Iterator[Array]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
