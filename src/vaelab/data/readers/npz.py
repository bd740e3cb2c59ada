"""Reads arrays from NumPy's .npz files."""

import zipfile
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.npy import read_member
from vaelab.data.readers.npz_names import column_names
from vaelab.data.readers.npz_table import read_npz_table
from vaelab.data.readers.source import Reading, Source


def read_npz(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the only array of a .npz file, or the array `x`. An array `names` of words names the columns of `x`.

    If columns are selected, several arrays without an `x` are read as columns side by side.
    """
    with zipfile.ZipFile(path) as archive:
        arrays = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if not arrays:
            raise UnreadableFile(f"{path} must hold an array, but holds none; write it with np.savez")
        if reading.selection is not None:
            return read_npz_table(path, archive, arrays, rows, reading)
        if len(arrays) > 1 and "x" not in arrays:
            raise UnreadableFile(
                f"{path} must hold one array or an array called x, but holds {', '.join(arrays)}; name your data x"
            )
        names = column_names(path, archive) if {"x", "names"} <= set(arrays) else None
    return Source(read_member(path, arrays[0] if len(arrays) == 1 else "x", rows), names)
