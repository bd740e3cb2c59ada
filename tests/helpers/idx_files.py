"""Small IDX image files for the tests, whole or damaged."""

import gzip
import struct
from pathlib import Path

import torch
from torch import Tensor

IMAGES = 0x00000803
LABELS = 0x00000801
TRAIN = "train-images-idx3-ubyte"
TEST = "t10k-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


def random_images(n: int, rows: int, columns: int, seed: int = 0) -> Tensor:
    """-> (n, rows, columns), uint8, each grey as likely as any other."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, rows, columns), generator=generator, dtype=torch.uint8)


def coded_images(n: int, rows: int, columns: int) -> Tensor:
    """-> (n, rows, columns), uint8, black or white: image i spells i + 1 in bits, which every support preserves."""
    bits = torch.arange(1, n + 1).unsqueeze(-1) >> torch.arange(rows * columns) & 1
    return (255 * bits).to(torch.uint8).view(n, rows, columns)


def idx_bytes(images: Tensor, magic: int = IMAGES, declared: tuple[int, int, int] | None = None) -> bytes:
    """The content of an IDX file; `declared` puts another shape than that of `images` into its header."""
    return struct.pack(">4I", magic, *(declared or images.shape)) + images.numpy().tobytes()


def write_bytes(path: Path, content: bytes) -> Path:
    """Writes `content`, compressed if the name ends in .gz, always as the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def write_idx_images(
    path: Path,
    images: Tensor,
    magic: int = IMAGES,
    declared: tuple[int, int, int] | None = None,
    keep: int | None = None,
    tail: bytes = b"",
) -> Path:
    """Writes an IDX file of images, gzipped if the name ends in .gz, and returns its path.

    Args:
        path: the file; its folder is made where it is missing.
        images: (n, rows, columns), uint8.
        magic: the first four bytes.
        declared: the shape in the header, where it lies.
        keep: how many bytes of the uncompressed content are written; all unless given.
        tail: bytes after the last pixel.
    """
    return write_bytes(path, idx_bytes(images, magic, declared)[:keep] + tail)


def write_small_mnist(
    folder: Path, train: int = 30, test: int = 11, rows: int = 5, columns: int = 7, seed: int = 0, gz: bool = False
) -> tuple[Tensor, Tensor]:
    """Writes random training and test images under MNIST's names, and returns both, uint8."""
    suffix = ".gz" if gz else ""
    train_images = random_images(train, rows, columns, seed)
    test_images = random_images(test, rows, columns, seed + 1)
    write_idx_images(folder / f"{TRAIN}{suffix}", train_images)
    write_idx_images(folder / f"{TEST}{suffix}", test_images)
    return train_images, test_images


def write_idx_labels(path: Path, labels: Tensor, declared: int | None = None) -> Path:
    """Writes an IDX file of labels (n,), 0 to 255, gzipped if the name ends in .gz, and returns its path."""
    n = len(labels) if declared is None else declared
    return write_bytes(path, struct.pack(">2I", LABELS, n) + labels.to(torch.uint8).numpy().tobytes())
