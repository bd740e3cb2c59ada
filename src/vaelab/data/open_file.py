"""Reads rows of numbers from files of many kinds, a bounded chunk at a time.

A reader (`vaelab.data.readers`) yields arrays, and `vaelab.data.checked_rows` turns them into tensors.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from vaelab.checks import check_whole
from vaelab.data.checked_rows import Rows, in_a_sentence
from vaelab.data.readers.choose import reader_of
from vaelab.data.readers.source import Reading

AS_IT_COMES = Reading()


def read_chunks(path: str | Path, rows: int | None = None, reading: Reading = AS_IT_COMES) -> Iterator[Tensor]:
    """Reads the rows of a file in order, as tensors (m, *row) of at most 16 MiB. A file of any length fits in memory.

    .npy        (n, *row); (n,) is read as n rows of one number
    .npz        its only array, or the array `x`; an array `names` of words names the columns of x
    .csv, .tsv  numbers separated by commas, semicolons, tabs or |, with or without a line of names; 0,1,2,… are names
    .parquet    numbers, or lists of numbers of one length; columns side by side, in order
    IDX         images, raw or .gz: (n, rows, columns)
    folder      .png, .jpg, .jpeg, .bmp, .gif, .webp and .tif files, sub-folders included, in the order of their names,
                as 8-bit grey: (n, rows, columns), or with `channels=3` in colour: (n, rows, columns, 3)

    Integers and bools keep their type, and floats become float32. The first chunk is read immediately, so the call
    itself raises most errors.

    Args:
        path: the file or folder.
        rows: the most rows per chunk, by default as many as fit into 16 MiB.
        reading: how to read the file if there is a choice.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: the file is empty, truncated, of an unknown kind, or does not hold rows of numbers of one length; a
            number is missing, infinite, or too large for float32; `rows` is not a whole number of at least 1.
        OSError: the system does not allow reading it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = path.write_text("age,height\\n31,1.75\\n44,1.5\\n")
    >>> [chunk.tolist() for chunk in read_chunks(path)]
    [[[31.0, 1.75], [44.0, 1.5]]]
    """
    return open_rows(path, rows, reading).chunks


def open_rows(path: str | Path, rows: int | None = None, reading: Reading = AS_IT_COMES, quiet: bool = False) -> Rows:
    """Like `read_chunks`, but also gives labels, the names of the columns and a report on what was read.

    With `quiet`, the report is not logged.
    """
    path = Path(path).expanduser()
    if rows is not None:
        check_whole("rows", rows, 1)
    read = reader_of(path)
    with in_a_sentence(path):
        source = read(path, rows, reading)
    return Rows(path, source, reading.missing == "drop", quiet, reading.categories)
