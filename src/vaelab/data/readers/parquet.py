"""Reads tables from Apache Parquet files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile, check_growth
from vaelab.data.columns import check_names
from vaelab.data.readers.source import Reading, Source, rows_at_once
from vaelab.data.row_checks import LARGEST_WHOLE, WHOLE_BOUND
from vaelab.data.wording import counted, listed

ONE_LENGTH = "use lists of one length"


def read_parquet(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads columns of numbers, or of lists of one length, side by side in order, without pandas' index."""
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        every = file.schema_arrow.names
        index = [name for name in every if _is_index(name, _marked(file.schema_arrow.metadata))]
        columns = [name for name in every if name not in index]
        if not columns:
            raise UnreadableFile(
                f"{path} must hold at least one column besides the index of a table, but holds none; use another file"
            )
        check_names(columns, str(path))
        n = file.metadata.num_rows
        check_growth(path, 8 * n * len(columns), f"{n} rows of {len(columns)} columns")
        first = next(file.iter_batches(1, columns=columns), None)
        names = None if first is None else _names(path, columns, first)
    found = Source(_arrays(path, rows, columns), names)
    if index:
        found.cautions.append(
            f"left out {counted(len(index), 'column')} that pandas marks as an index ({listed(index)})"
        )
    if names:
        found.where = lambda row, number: f"row {row} (counting from 0), column {names[number]}"
    return found


def _marked(metadata: Any) -> list[Any]:
    """pandas' notes on the index of a table: the names of columns, or a description of an index that is not stored."""
    try:
        marked = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError, RecursionError):  # no notes, or notes of another program
        return []
    return marked if isinstance(marked, list) else []


def _is_index(name: str, marked: list[Any]) -> bool:
    return name in marked or bool(re.fullmatch(r"__index_level_\d+__", name))


def _names(path: Path, columns: list[str], row: Any) -> tuple[str, ...] | None:
    """A name for each number of a row: a list called a gives a_0, a_1, …; None if there is only a single list."""
    widths = [_unnest(path, name, column).shape[1] for name, column in zip(columns, row.columns, strict=True)]
    if len(columns) == 1 and widths != [1]:
        return None
    names = [
        name if width == 1 else f"{name}_{index}"
        for name, width in zip(columns, widths, strict=True)
        for index in range(width)
    ]
    return check_names(names, str(path))


def _arrays(path: Path, rows: int | None, columns: list[str]) -> Iterator[np.ndarray]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        first = next(_tables(path, file, columns, 1), None)
        if first is None:
            return
        n = file.metadata.num_rows
        check_growth(path, n * first.nbytes, f"{n} rows of {first.shape[1]} numbers")
        for table in _tables(path, file, columns, rows_at_once(rows, first.nbytes)):
            if table.shape[1] != first.shape[1]:
                raise UnreadableFile(
                    f"{path} holds lists of {first.shape[1]} and of {table.shape[1]} numbers; {ONE_LENGTH}"
                )
            yield table


def _tables(path: Path, file: Any, names: list[str], rows: int) -> Iterator[np.ndarray]:
    """Yields (at most `rows`, numbers per row) at a time. Null cells are masked."""
    done = 0
    for batch in file.iter_batches(rows, columns=names):
        columns = [_unnest(path, name, column) for name, column in zip(names, batch.columns, strict=True)]
        join = np.ma.concatenate if any(isinstance(each, np.ma.MaskedArray) for each in columns) else np.concatenate
        table = join(columns, axis=-1)
        if table.dtype.kind == "f":
            _check_whole(path, names, columns, table, done)
        done += len(table)
        yield table


def _check_whole(path: Path, names: list[str], columns: list[np.ndarray], table: np.ndarray, done: int) -> None:
    """Refuses whole numbers that a float64 may not hold exactly, if their column was joined with floats."""
    whole_rows = ~(np.isnan(np.ma.getdata(table)) | np.ma.getmaskarray(table)).any(-1, keepdims=True)
    for name, column in zip(names, columns, strict=True):
        numbers = np.ma.getdata(column)
        if numbers.dtype.kind not in "iu" or numbers.dtype.itemsize < 8:
            continue
        large = ((numbers > LARGEST_WHOLE) | (numbers < -LARGEST_WHOLE)) & whole_rows
        if large.any():
            row, number = np.argwhere(large)[0]
            raise UnreadableFile(
                f"every whole number must {WHOLE_BOUND}, but {path} holds {numbers[row, number]} in row {done + row} "
                f"(counting from 0), column {name}; correct it, or remove that row or column"
            )


def _unnest(path: Path, name: str, column: Any) -> np.ndarray:
    """A column of numbers, or of lists of numbers -> (m, numbers per row)."""
    from pyarrow import compute, types

    m = len(column)
    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        if column.null_count or len(compute.unique(compute.list_value_length(column))) > 1:
            raise UnreadableFile(f"{path} holds lists of unequal length in its column {name}; {ONE_LENGTH}")
        return _unnest(path, name, column.flatten()).reshape(m, -1) if m else np.empty((0, 1))
    if not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)):
        raise UnreadableFile(
            f"{path} must hold plain numbers, but holds {column.type} in its column {name}; remove that column"
        )
    if not column.null_count:
        return column.to_numpy(zero_copy_only=False).reshape(m, -1)
    numbers = column.fill_null(False if types.is_boolean(column.type) else 0).to_numpy(zero_copy_only=False)
    return np.ma.array(numbers, mask=column.is_null().to_numpy(zero_copy_only=False)).reshape(m, -1)
