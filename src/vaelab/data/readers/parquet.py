"""Reads tables from Apache Parquet files."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile, check_growth
from vaelab.data.columns import check_names
from vaelab.data.readers.categories import Categories, spelled
from vaelab.data.readers.selection import LONGEST, Labelled, Selection, choose
from vaelab.data.readers.source import Reading, Source, rows_at_once
from vaelab.data.readers.text_columns import text_refused
from vaelab.data.row_checks import LARGEST_WHOLE, WHOLE_BOUND
from vaelab.data.wording import counted, listed
from vaelab.escapes import short

ONE_LENGTH = "use lists of one length"


def read_parquet(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads columns of numbers, or of lists of one length, side by side in order, without pandas' index."""
    from pyarrow import parquet

    selection = reading.selection
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        schema = file.schema_arrow
        asked = set(map(str, selection.named)) if selection else set()
        marked = _marked(schema.metadata)
        index = [name for name in schema.names if _is_index(name, marked) and name not in asked]
        columns = [name for name in schema.names if name not in index]
        if not columns:
            raise UnreadableFile(
                f"{path} must hold at least one column besides the index of a table, but holds none; use another file"
            )
        check_names(columns, str(path))
        columns, label, facts = (columns, None, []) if selection is None else _chosen(path, columns, schema, reading)
        coded = _Coded.of(path, columns, schema, reading.categories)
        n = file.metadata.num_rows
        check_growth(path, 8 * n * len(columns), f"{n} rows of {len(columns)} columns")
        first = next(file.iter_batches(1, columns=columns), None)
        names = None if first is None else _names(path, columns, first, selection, coded)
    found = Source(_arrays(path, rows, columns, label, coded), names, facts=facts)
    if index:
        (found.facts if selection else found.cautions).append(
            f"left out {counted(len(index), 'column')} that pandas marks as an index ({listed(index)})"
        )
    if names:
        found.where = lambda row, number: f"row {row} (counting from 0), column {names[number]}"
    return found


def _chosen(path: Path, columns: list[str], schema: Any, reading: Reading) -> tuple[list[str], str | None, list[str]]:
    """The columns of x, and the column of the label. A trained model may name a number of a list, such as a_0."""
    from pyarrow import types

    selection, categories = reading.selection or Selection(), reading.categories
    wanted = selection.model
    if wanted is not None:
        stems = {*wanted, *(re.sub(r"_\d+$", "", name) for name in wanted if name not in columns)}
        selection = replace(selection, model=tuple(name for name in columns if name in stems) or wanted)
    x, label, facts = choose(selection, columns, len(columns), path)
    chosen = [columns[index] for index in x]
    kinds = {name: schema.field(name).type for name in chosen}
    texts = {
        name: "categories" if types.is_dictionary(kind) else str(kind)
        for name, kind in kinds.items()
        if not _holds_numbers(kind)
        and not (_holds_text(kind) and categories is not None and categories.takes(name, is_text=True))
    }
    if texts:
        raise text_refused(path, texts, [*texts], selection)
    return chosen, None if label is None else columns[label], facts


def _holds_numbers(kind: Any) -> bool:
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _holds_numbers(kind.value_type)
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _holds_text(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


class _Coded(NamedTuple):
    """The columns of a file that are read as categories."""

    path: Path
    columns: frozenset[str]
    categories: Categories

    @classmethod
    def of(cls, path: Path, columns: list[str], schema: Any, categories: Categories | None) -> "_Coded | None":
        from pyarrow import types

        kinds = {name: schema.field(name).type for name in columns}
        flat = [name for name, kind in kinds.items() if not types.is_nested(kind)]
        taken = [name for name in flat if categories and categories.takes(name, _holds_text(kinds[name]))]
        return cls(path, frozenset(taken), categories) if categories and taken else None

    def codes(self, name: str, column: Any, done: int) -> np.ndarray:
        """The codes of a batch that starts at row `done`, (m, 1)."""
        import pyarrow
        from pyarrow import types

        column = column.dictionary_decode() if types.is_dictionary(column.type) else column
        if _holds_numbers(column.type):
            texts = ["" if value is None or value != value else spelled(value) for value in column.to_pylist()]
        else:
            texts = [text or "" for text in column.cast(pyarrow.large_string()).to_pylist()]
        at = f"(counting from 0), column {name}"
        return self.categories.codes(name, texts, self.path, lambda row: f"in row {done + row} {at}").reshape(-1, 1)


def _marked(metadata: Any) -> list[Any]:
    """pandas' notes on the index of a table: the names of columns, or a description of an index that is not stored."""
    try:
        marked = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError, RecursionError):  # no notes, or notes of another program
        return []
    return marked if isinstance(marked, list) else []


def _is_index(name: str, marked: list[Any]) -> bool:
    return name in marked or bool(re.fullmatch(r"__index_level_\d+__", name))


def _names(
    path: Path, columns: list[str], row: Any, selection: Selection | None, coded: "_Coded | None"
) -> tuple[str, ...] | None:
    """A name for each number of a row: a list called a gives a_0, a_1, …; None if there is only a single list."""
    widths = [
        1 if coded and name in coded.columns else _unnest(path, name, column).shape[1]
        for name, column in zip(columns, row.columns, strict=True)
    ]
    if selection is None and len(columns) == 1 and widths != [1]:
        return None
    names = [
        name if width == 1 else f"{name}_{index}"
        for name, width in zip(columns, widths, strict=True)
        for index in range(width)
    ]
    return check_names(names, str(path))


def _arrays(
    path: Path, rows: int | None, columns: list[str], label: str | None, coded: "_Coded | None"
) -> Iterator[np.ndarray | Labelled]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        first, _ = next(_tables(path, file, columns, None, 1, coded), (None, None))
        if first is None:
            return
        n = file.metadata.num_rows
        check_growth(path, n * first.nbytes, f"{n} rows of {first.shape[1]} numbers")
        whole = label is not None and _is_whole(file, label)
        for table, labels in _tables(path, file, columns, label, rows_at_once(rows, first.nbytes), coded):
            if table.shape[1] != first.shape[1]:
                raise UnreadableFile(
                    f"{path} holds lists of {first.shape[1]} and of {table.shape[1]} numbers; {ONE_LENGTH}"
                )
            yield table if labels is None else Labelled(table, labels.astype(np.int64) if whole else labels)


def _tables(
    path: Path, file: Any, names: list[str], label: str | None, rows: int, coded: "_Coded | None"
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields (at most `rows`, numbers per row) at a time, and the labels if there are any. Null cells are masked."""
    done = 0
    for batch in file.iter_batches(rows, columns=[*names, *([label] if label else [])]):
        columns = [
            coded.codes(name, batch.column(name), done)
            if coded and name in coded.columns
            else _unnest(path, name, batch.column(name))
            for name in names
        ]
        join = np.ma.concatenate if any(isinstance(each, np.ma.MaskedArray) for each in columns) else np.concatenate
        table = join(columns, axis=-1)
        if table.dtype.kind == "f":
            _check_whole(path, names, columns, table, done)
        done += len(table)
        yield table, None if label is None else _labels(batch.column(label))


def _is_whole(file: Any, label: str) -> bool:
    """True if all labels are whole numbers, and none is missing."""
    from pyarrow import types

    whole = types.is_integer(file.schema_arrow.field(label).type)
    return whole and not any(batch.column(0).null_count for batch in file.iter_batches(columns=[label]))


def _labels(column: Any) -> np.ndarray:
    """The labels in a column: numbers with NaN for a missing one, or text with "" for a missing one."""
    import pyarrow
    from pyarrow import types

    column = column.dictionary_decode() if types.is_dictionary(column.type) else column
    if types.is_floating(column.type) or types.is_integer(column.type):
        return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False))
    return np.array(
        ["" if text is None else short(text.strip(), LONGEST) for text in column.cast(pyarrow.string()).to_pylist()],
        str,
    )


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
