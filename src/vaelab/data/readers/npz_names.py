"""Reads the names of columns from a .npz file."""

import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.columns import check_names
from vaelab.data.readers import source
from vaelab.data.readers.npy import read_exactly, read_header
from vaelab.data.readers.source import WIDEST


def column_names(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    """Reads the array `names`, which must be a list of words. An array of objects is never unpickled."""
    with archive.open("names.npy") as member:
        file = cast(BinaryIO, member)
        shape, _, dtype = read_header(path, file)
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
        names = np.frombuffer(read_exactly(path, file, size, shape, dtype), dtype)
    try:
        words = np.char.decode(names, "utf-8") if dtype.kind == "S" else names
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"the array names in {path} must be in UTF-8, but is not ({error}); save it as np.array(names, dtype=str)"
        ) from error
    return check_names(words.tolist(), str(path))
