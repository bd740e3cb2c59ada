"""The IDX format of MNIST and its relatives: a big-endian header, then one byte per pixel or label, raw or gzipped.

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

IMAGES = 0x00000803
LABELS = 0x00000801
CHUNK = 1 << 20
SMALL, GROWTH = 1 << 26, 200  # bytes that any file may grow to, and times its own size


class UnreadableFile(ValueError):
    """A file that is not what it should be: one sentence with the file, the cause and the cure."""


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
        UnreadableFile: the file is no IDX image file, or it holds less or more than its header says.
    """
    return torch.cat(list(stream_images(path)))


def stream_images(path: Path, rows: int | None = None) -> Iterator[Tensor]:
    """An IDX file of images -> (m, rows, columns), uint8, at most `rows` images or about a MiB at a time.

    Raises:
        UnreadableFile: as `read_images`; what is wrong at the end of the file is found there.
    """
    with _opened(path) as file:
        n, height, width = _read_header(file, path, IMAGES, "images", 16)
        what = f"{n} images of {height}x{width} pixels"
        if not n * height * width:
            raise UnreadableFile(f"{path} promises {what}, so there is nothing in it; put images in its place")
        if path.suffix == ".gz":
            check_growth(path, n * height * width, what)
        at_once = min(rows or n, max(1, CHUNK // (height * width)))
        for done in range(0, n, at_once):
            count = min(at_once, n - done)
            pixels = _read_promised(file, path, done, count, n, height * width, what)
            yield torch.frombuffer(pixels, dtype=torch.uint8).view(count, height, width)


def read_labels(path: Path) -> Tensor:
    """An IDX file of labels -> (n,), int64.

    Raises:
        UnreadableFile: the file is no IDX label file, or it holds less or more than its header says.
    """
    with _opened(path) as file:
        (n,) = _read_header(file, path, LABELS, "labels", 8)
        labels = _read_promised(file, path, 0, n, n, 1, f"{n} labels")
    return torch.tensor(list(labels))


def check_growth(path: Path, promised: int, what: str) -> None:
    """Raises `UnreadableFile` where a compressed file would fill the memory with what it hardly holds."""
    if promised > max(SMALL, GROWTH * (size := path.stat().st_size)):
        raise UnreadableFile(
            f"{path} promises {what}, {promised} bytes, above {GROWTH} times its own {size}, as no real data do; fetch "
            "it again, or write it without compression"
        )


def read_up_to(file: BinaryIO, limit: int) -> bytearray:
    """Up to `limit` bytes, a chunk at a time: a header's promise alone allocates nothing."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(CHUNK, limit - len(content)))):
        content += chunk
    return content


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(f"{path} is no whole gzip file ({error}); fetch it again") from error


def _read_header(file: BinaryIO, path: Path, wanted: int, kind: str, size: int) -> tuple[int, ...]:
    """The sizes after the magic number."""
    header = file.read(size)
    if len(header) < size:
        raise UnreadableFile(f"{path} ends inside its header, after {len(header)} of {size} bytes; fetch it again")
    magic, *shape = struct.unpack(f">{size // 4}I", header)
    if magic != wanted:
        raise UnreadableFile(
            f"{path} starts with 0x{magic:08x} where an IDX file of {kind} starts with 0x{wanted:08x}; it is another "
            f"kind of file, so put the {kind} in its place"
        )
    return tuple(shape)


def _read_promised(file: BinaryIO, path: Path, done: int, count: int, n: int, size: int, what: str) -> bytearray:
    """The bytes of items `done` to `done + count` of n, each of `size` bytes; the last of them must end the file."""
    content = read_up_to(file, count * size)
    short = len(content) < count * size
    if short or (done + count == n and file.read(1)):
        held = f"only {done * size + len(content)}" if short else "more"
        raise UnreadableFile(f"{path} promises {what}, {n * size} bytes, but holds {held}; fetch it again")
    return content
