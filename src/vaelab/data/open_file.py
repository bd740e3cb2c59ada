"""Rows of numbers from files of many kinds, a bounded chunk at a time.

A reader (`vaelab.data.readers`) yields arrays; `vaelab.data.checked_rows` makes tensors of them.
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
    """The rows of a file, in order, as tensors (m, *row) of at most 16 MiB each: a file of any length fits the memory.

    .npy        (n, *row); (n,) is read as n rows of one number
    .npz        its one array, or the one called `x`; words in an array called `names` name the columns of x
    .csv, .tsv  numbers separated by commas, semicolons or tabs, with or without a line of names; 0,1,2,… are names
    .parquet    numbers, or lists of numbers of one length; columns side by side, in order
    IDX         images, raw or .gz: (n, rows, columns)
    folder      .png, .jpg, .jpeg, .bmp, .gif, .webp and .tif files, also those in sub-folders, in the order of their
                names, as 8-bit grey: (n, rows, columns)

    Integers and bools stay what they are; floats become float32. The first chunk is read at once, so that the call
    itself raises most errors.

    Args:
        path: the file or folder.
        rows: at most this many rows per chunk; as many as fit into 16 MiB unless given.
        reading: how to read the file if there is a choice.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: the file is empty, torn, of no known kind, or holds something other than rows of numbers of one
            length; a number is missing, infinite, or too large for float32; `rows` is no positive whole number.
        OSError: the system does not allow reading it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = path.write_text("age,height\\n31,1.75\\n44,1.5\\n")
    >>> [chunk.tolist() for chunk in read_chunks(path)]
    [[[31.0, 1.75], [44.0, 1.5]]]
    """
    return open_rows(path, rows, reading).chunks


def open_rows(path: str | Path, rows: int | None = None, reading: Reading = AS_IT_COMES) -> Rows:
    """As `read_chunks`, with the names of the columns and the report of what was read."""
    path = Path(path).expanduser()
    if rows is not None:
        check_whole("rows", rows, 1)
    read = reader_of(path)
    with in_a_sentence(path):
        source = read(path, rows, reading)
    return Rows(path, source, reading.missing == "drop")
