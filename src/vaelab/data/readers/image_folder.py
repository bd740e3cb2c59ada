"""Reads folders of images, in grey or in colour, as a viewer shows them."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vaelab.data.bounded_reading import BLOCK, UnreadableFile, check_growth
from vaelab.data.readers.image_file import DEEP, PAGE, SUFFIXES, read_image, stored_size
from vaelab.data.readers.source import Reading, Shape, Source, rows_at_once
from vaelab.data.wording import counted, listed
from vaelab.outputs import is_output


def read_folder(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the images in a folder and its sub-folders, in the order of their names, with 8 bits per channel.

    They are (n, rows, columns), or (n, rows, columns, 3) if `reading.channels` is 3. Each image looks as in a viewer:
    turned by its EXIF orientation, and placed on the background if it is transparent.
    """
    inside = _look_through(path)
    images, others = inside.images, inside.others
    if not images:
        raise UnreadableFile(f"{path} must hold images, but {_instead(inside)}; put {', '.join(SUFFIXES)} files there")
    facts: list[str] = []
    cautions: list[str] = []
    if folders := sorted({str(file.parent.relative_to(path)) for file in images} - {"."}):
        below = sum(file.parent != path for file in images)
        facts.append(f"{below:,} of them from {counted(len(folders), 'sub-folder')} ({listed(folders)})")
    if inside.runs:
        facts.append(f"skipped {counted(len(inside.runs), 'folder')} of vaelab's own runs ({listed(inside.runs)})")
    if others:
        cautions.append(f"left out {counted(len(others), 'other file')} ({listed(others)})")
    names: list[str] = []  # of the images that were read
    arrays = _arrays(path, images, rows, reading, names, facts, cautions)
    return Source(arrays, None, lambda row, pixel: names[row], "image", len(images), facts, cautions)


def sizes_in_folder(path: Path) -> Iterator[tuple[int, int]]:
    """The sizes (rows, columns) that the images in a folder declare, in the order of their names."""
    return (size for file in _look_through(path).images if (size := stored_size(file)) is not None)


class Inside(NamedTuple):
    """The contents of a folder: its images in the order of their names, and the names of everything else."""

    images: list[Path]
    others: list[str]
    runs: list[str]
    hidden: list[str]


def _look_through(path: Path) -> Inside:
    """Lists everything in a folder and its sub-folders. Hidden folders and folders of runs are not searched."""

    def fail(error: OSError) -> None:
        raise error

    inside = Inside([], [], [], [])
    for where, folders, files in os.walk(path, onerror=fail):
        folder = Path(where)
        if folder != path and is_output(folder):
            inside.runs.append(str(folder.relative_to(path)))
            folders.clear()
            continue
        linked = [name for name in folders if (folder / name).is_symlink()]
        inside.hidden.extend(str((folder / name).relative_to(path)) for name in folders if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*files, *linked]:
            file = folder / name
            if name.startswith("."):
                inside.hidden.append(str(file.relative_to(path)))
            elif file.suffix.lower() in SUFFIXES and file.is_file():
                inside.images.append(file)
            else:
                inside.others.append(str(file.relative_to(path)))
    return Inside(sorted(inside.images), sorted(inside.others), sorted(inside.runs), sorted(inside.hidden))


def _instead(inside: Inside) -> str:
    """Says what a folder without images holds."""
    if inside.others:
        return f"it holds {listed(inside.others)}"
    if inside.runs:
        return f"it holds only vaelab's own runs, and their pictures are skipped ({listed(inside.runs)})"
    return f"it holds only hidden files ({listed(inside.hidden)})" if inside.hidden else "it is empty"


def _arrays(
    path: Path,
    files: list[Path],
    rows: int | None,
    reading: Reading,
    names: list[str],
    facts: list[str],
    cautions: list[str],
) -> Iterator[np.ndarray]:
    """Yields the images in chunks, and adds the name of each to `names`.

    At the end, adds to `facts` and `cautions` what was changed or left out.
    """
    marks: Counter[str] = Counter()
    broken: list[str] = []
    chunk: list[np.ndarray] = []
    seen: set[tuple[int, int]] = set()  # several links may share a file, which counts only once
    on_disk = 0  # the size of these files in bytes
    first: tuple[Path, Shape] | None = None
    for file in tqdm(files, unit=" images", leave=False, disable=None, delay=2):
        try:
            image, done = read_image(file, reading)
        except UnreadableFile:
            if reading.missing != "drop":
                raise
            broken.append(str(file.relative_to(path)))
            continue
        first = first or (file, image.shape)
        _check_same_size(file, image.shape, *first)
        found = file.stat()
        on_disk += max(BLOCK, found.st_size) if (found.st_dev, found.st_ino) not in seen else 0
        seen.add((found.st_dev, found.st_ino))
        names.append(str(file.relative_to(path)))
        if reading.size is None:  # a size that was asked for comes from no file
            count = f"{len(names)} images of {_pixels(image.shape)} pixels"
            check_growth(file.parent, len(names) * math.prod(image.shape), count, on_disk)
        marks.update(done)
        chunk.append(image)
        if len(chunk) == rows_at_once(rows, image.nbytes):
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)
    if broken:
        cautions.append(f"left out {counted(len(broken), 'file')} that cannot be read as an image ({listed(broken)})")
    if pages := marks.pop(PAGE, 0):
        cautions.append(f"read the first page of every .tif file, and left out {counted(pages, 'other page')}")
    if deep := marks.pop(DEEP, 0):
        cautions.append(DEEP.format(counted(deep, "image")))
    facts += [what.format(counted(count, "image")) for what, count in marks.items()]


def _check_same_size(file: Path, shape: Shape, first: Path, wanted: Shape) -> None:
    if shape != wanted:
        raise UnreadableFile(
            f"all images must have the same size, but {file} has {_pixels(shape)} pixels and {first} has "
            f"{_pixels(wanted)}; resize or remove one of them, or use data=images, which can resize them (--data "
            "size=32 in a vaelab command)"
        )


def _pixels(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
