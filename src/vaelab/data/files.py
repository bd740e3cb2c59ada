"""Rows of numbers from files of many kinds, a bounded chunk at a time.

A reader (`vaelab.data.readers`) yields arrays; `vaelab.data.file_rows` makes tensors of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from vaelab.checks import check_whole
from vaelab.data.bounded import UnreadableFile
from vaelab.data.file_rows import Rows, in_a_sentence
from vaelab.data.idx import IMAGES
from vaelab.data.readers.csv import read_csv
from vaelab.data.readers.idx import read_idx
from vaelab.data.readers.npy import read_npy, read_npz
from vaelab.data.readers.parquet import read_parquet
from vaelab.data.readers.pictures import PICTURES, read_folder
from vaelab.data.readers.source import Reading, Source

KINDS = ".npy, .npz, .csv, .tsv, .parquet, an IDX file of images (raw or .gz), or a folder of images"
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
        reading: what to do where there is a choice.

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
    read = _reader(path)
    with in_a_sentence(path):
        source = read(path, rows, reading)
    return Rows(path, source, reading.missing == "drop")


def _reader(path: Path) -> Callable[[Path, int | None, Reading], Source]:
    """The reader of a file, found by its suffix, or else by its name and its first bytes."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file: {KINDS}")
    if path.is_dir():
        return read_folder
    if not path.is_file():
        raise UnreadableFile(f"{path} is no plain file; give the path of one: {KINDS}")
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix == ".gz" and Path(path.stem).suffix.lower() in READERS:
        raise UnreadableFile(f"{path} is compressed, and of .gz files only IDX files are read; unpack it first")
    if suffix in ("", ".gz") or "ubyte" in path.name or _first_bytes(path) == IMAGES.to_bytes(4, "big"):
        return read_idx
    if suffix in PICTURES:
        raise UnreadableFile(
            f"{path} is a single image, but data must be rows or a folder of images; give the folder that it is in"
        )
    raise UnreadableFile(f"{path} is of no known kind; give {KINDS}")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


READERS: dict[str, Callable[[Path, int | None, Reading], Source]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
