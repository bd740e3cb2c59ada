"""Reads the IDX format of MNIST: a big-endian header, then one byte per pixel or label, raw or gzipped.

0x00000803, number of images, rows, columns (four bytes each), then images·rows·columns bytes
0x00000801, number of labels (four bytes), then one byte per label
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from vaelab.data.bounded_reading import CHUNK, UnreadableFile, check_growth, read_up_to

IMAGES = 0x00000803
LABELS = 0x00000801


def read_images(path: Path) -> Tensor:
    """An IDX file of images -> (n, rows, columns), uint8.

    This never allocates more than the file really holds, even if its header declares more.

    Raises:
        UnreadableFile: the file is not an IDX file of images, or it holds less or more than its header declares.
    """
    return torch.cat(list(stream_images(path)))


def stream_images(path: Path, rows: int | None = None) -> Iterator[Tensor]:
    """An IDX file of images -> (m, rows, columns), uint8, at most `rows` images or about a MiB at a time.

    Raises:
        UnreadableFile: as for `read_images`. An error at the end of the file is raised only when reading gets there.
    """
    with _opened(path) as file:
        n, height, width = _read_header(file, path, IMAGES, "images", 16)
        what = f"{n} images of {height}x{width} pixels"
        if not n * height * width:
            raise UnreadableFile(f"{path} must hold at least one pixel, but declares {what}; use a file of images")
        if _is_packed(path):
            check_growth(path, n * height * width, what)
        at_once = min(rows or n, max(1, CHUNK // (height * width)))
        for done in range(0, n, at_once):
            count = min(at_once, n - done)
            pixels = _read_declared(file, path, done, count, n, height * width, what)
            yield torch.frombuffer(pixels, dtype=torch.uint8).view(count, height, width)


def read_labels(path: Path) -> Tensor:
    """An IDX file of labels -> (n,), int64.

    Raises:
        UnreadableFile: the file is not an IDX file of labels, or it holds less or more than its header declares.
    """
    with _opened(path) as file:
        (n,) = _read_header(file, path, LABELS, "labels", 8)
        labels = _read_declared(file, path, 0, n, n, 1, f"{n} labels")
    return torch.tensor(list(labels))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with cast(BinaryIO, gzip.open(path)) if _is_packed(path) else path.open("rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(f"{path} must be a complete gzip file, but is not ({error}); fetch it again") from error


def _is_packed(path: Path) -> bool:
    """True if a file is gzipped, by its name or its first bytes: a browser may remove the .gz, or add .1 to it."""
    with path.open("rb") as file:
        return path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"


def _read_header(file: BinaryIO, path: Path, wanted: int, kind: str, size: int) -> tuple[int, ...]:
    """The sizes that follow the magic number in the header."""
    header = file.read(size)
    if len(header) < size:
        raise UnreadableFile(f"{path} must have a header of {size} bytes, but ends after {len(header)}; fetch it again")
    magic, *shape = struct.unpack(f">{size // 4}I", header)
    if magic != wanted:
        raise UnreadableFile(
            f"{path} must start with 0x{wanted:08x}, like all IDX files of {kind}, but starts with 0x{magic:08x}; "
            f"replace it with the {kind}"
        )
    return tuple(shape)


def _read_declared(file: BinaryIO, path: Path, done: int, count: int, n: int, size: int, what: str) -> bytearray:
    """Reads items `done` to `done + count` of n, each of `size` bytes. The file must end after the last one."""
    content = read_up_to(file, count * size)
    short = len(content) < count * size
    if short or (done + count == n and file.read(1)):
        held = f"only {done * size + len(content)}" if short else "more"
        raise UnreadableFile(f"{path} declares {what}, {n * size} bytes, but holds {held}; fetch it again")
    return content
