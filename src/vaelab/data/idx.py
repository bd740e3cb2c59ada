"""The IDX format of MNIST and its relatives: a big-endian header, then one byte per pixel, raw or gzipped.

0x00000803, number of images, rows, columns (four bytes each), then images·rows·columns bytes
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

IMAGES = 0x00000803
CHUNK = 1 << 20


def find(folder: Path, name: str) -> Path:
    """The file `name` or `name`.gz in `folder`, raw first.

    Raises:
        FileNotFoundError: neither is there.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"data.root={folder} holds neither {name} nor {name}.gz; point data.root at a folder of IDX files, or leave "
        "it out to download MNIST"
    )


def read_images(path: Path) -> Tensor:
    """An IDX file of images -> (n, rows, columns), uint8.

    Never allocates more than the file really holds, whatever its header says.

    Raises:
        ValueError: the file is no IDX image file, or it holds less or more than its header says.
    """
    try:
        with cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(16)
            if len(header) < 16:
                raise ValueError(f"{path} ends inside its header, after {len(header)} of 16 bytes; fetch it again")
            magic, *shape = struct.unpack(">4I", header)
            if magic != IMAGES:
                raise ValueError(
                    f"{path} starts with 0x{magic:08x} where an IDX file of images starts with 0x{IMAGES:08x}; it is "
                    "another kind of file, so put the images in its place"
                )
            n, rows, columns = shape
            size = n * rows * columns
            if not size:
                raise ValueError(f"{path} promises {n} images of {rows}x{columns} pixels, which is nothing to train on")
            pixels = _read(file, size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no whole gzip file ({error}); fetch it again") from error
    if len(pixels) != size:
        held = f"only {len(pixels)}" if len(pixels) < size else "more"
        raise ValueError(
            f"{path} promises {n} images of {rows}x{columns} pixels, {size} bytes, but holds {held}; fetch it again"
        )
    return torch.frombuffer(pixels, dtype=torch.uint8).view(n, rows, columns)


def _read(file: BinaryIO, limit: int) -> bytearray:
    """Up to `limit` bytes, a chunk at a time: a header's promise alone allocates nothing."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(CHUNK, limit - len(content)))):
        content += chunk
    return content
