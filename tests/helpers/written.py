"""Reads what the verbs have written."""

from pathlib import Path

import numpy as np
from PIL import Image


def columns(path: Path) -> dict[str, np.ndarray]:
    """The content of a table: name -> array."""
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".csv":
        header = path.read_text().splitlines()[0].replace('"', "").split(",")
        return dict(zip(header, np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2).T, strict=True))
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: column.to_numpy() for name, column in zip(table.column_names, table.columns, strict=True)}


def is_picture(path: Path) -> bool:
    """True if an image has more than 50 colours."""
    with Image.open(path) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
        return colours is not None and len(colours) > 50
