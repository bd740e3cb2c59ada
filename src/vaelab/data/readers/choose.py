"""Chooses the reader of a file by its suffix, its name or its first bytes."""

from collections.abc import Callable
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.idx_format import IMAGES
from vaelab.data.readers.csv import read_csv
from vaelab.data.readers.idx import read_idx
from vaelab.data.readers.image_file import SUFFIXES
from vaelab.data.readers.image_folder import read_folder
from vaelab.data.readers.npy import read_npy
from vaelab.data.readers.npz import read_npz
from vaelab.data.readers.parquet import read_parquet
from vaelab.data.readers.source import Reading, Source

KINDS = ".npy, .npz, .csv, .tsv, .parquet, an IDX file of images (raw or .gz), or a folder of images"


def reader_of(path: Path) -> Callable[[Path, int | None, Reading], Source]:
    """The reader of a file, chosen by its suffix, or else by its name and its first bytes."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; use the path of a file: {KINDS}")
    if path.is_dir():
        return read_folder
    if not path.is_file():
        raise UnreadableFile(f"{path} must be an ordinary file, but is not; use one of these: {KINDS}")
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    if suffix == ".gz" and Path(path.stem).suffix.lower() in READERS:
        raise UnreadableFile(f"{path} must not be compressed, because only IDX files may end in .gz; unpack it first")
    if suffix in ("", ".gz") or "ubyte" in path.name or _first_bytes(path) == IMAGES.to_bytes(4, "big"):
        return read_idx
    if suffix in SUFFIXES:
        raise UnreadableFile(
            f"the data must be rows or a folder of images, but {path} is a single image; use the folder that it is in"
        )
    raise UnreadableFile(f"{path} is not a kind of file that vaelab can read; use {KINDS}")


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
