"""Finds the IDX files in a folder, under MNIST's names or under other names that people give them."""

import gzip
import re
import zlib
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.idx_format import IMAGES, LABELS, stream_images
from vaelab.data.wording import listed

TRAIN_IMAGES, TEST_IMAGES = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
TRAIN_LABELS, TEST_LABELS = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"
SPLITS = {"train": {"train", "training"}, "t10k": {"t10k", "test", "testing"}}  # MNIST's word: all words that count
MAGIC = {"images": IMAGES, "labels": LABELS}


def find(folder: Path, name: str) -> Path:
    """Finds `name` or else `name`.gz in `folder`, or else the one IDX file with a name of the same meaning.

    Args:
        folder: the folder to search.
        name: MNIST's name, such as `train-images-idx3-ubyte`. Its first two words are the split and the kind.

    Raises:
        FileNotFoundError: the folder has no such file.
        UnreadableFile: the folder has several such files.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    split, kind = name.split("-")[:2]
    there = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    found = [path for path in there if SPLITS[split] & _words(path.name) and _magic(path) == MAGIC[kind]]
    found = [path for path in found if path.with_suffix("") not in found or path.suffix != ".gz"]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnreadableFile(
            f"data.root={folder} must hold one file of {split} {kind}, but holds "
            f"{listed([path.name for path in found])}; give each data set its own folder"
        )
    raise FileNotFoundError(
        f"data.root={folder} must hold {name}, {name}.gz or another IDX file of {kind} with "
        f"{' or '.join(sorted(SPLITS[split]))} in its name, but {_what_is_there(there, name)}; set data.root to a "
        "folder of IDX files, or leave it out to download them"
    )


def identify(folder: Path) -> tuple[int, int, int]:
    """The number of training images, the number of test images, and the CRC-32 of the test images' pixels."""
    n_train = sum(len(images) for images in stream_images(find(folder, TRAIN_IMAGES)))
    n_test, crc = 0, 0
    for images in stream_images(find(folder, TEST_IMAGES)):
        n_test, crc = n_test + len(images), zlib.crc32(images.numpy().tobytes(), crc)
    return n_train, n_test, crc


def _words(name: str) -> set[str]:
    return set(re.findall(r"t10k|[a-z]+", name.lower()))


def _magic(path: Path) -> int | None:
    """The number at the start of a plain file, raw or gzipped; None if it cannot be read."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                start = packed.read(4)
    except (OSError, EOFError, zlib.error):
        return None
    return int.from_bytes(start, "big")


def _what_is_there(there: list[Path], name: str) -> str:
    """Says what a folder holds instead, with a hint if a folder inside it has the file."""
    inside = next((path for path in there if path.is_dir() for path in _holders(path, name)), None)
    hint = f", and {inside} has the file" if inside else ""
    return (f"it holds {listed([path.name for path in there])}" if there else "it is empty") + hint


def _holders(folder: Path, name: str) -> list[Path]:
    """The folders that hold the file: the folder itself, or folders in it."""
    return sorted({path.parent for pattern in (f"{name}*", f"*/{name}*") for path in folder.glob(pattern)})
