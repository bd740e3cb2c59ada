"""Reads folders of images, in grey or in colour, as a viewer shows them."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vaelab.data.bounded_reading import BLOCK, UnreadableFile, check_growth
from vaelab.data.class_folders import classes_of
from vaelab.data.readers.image_file import DEEP, PAGE, SUFFIXES, read_image, stored_size
from vaelab.data.readers.selection import Labelled
from vaelab.data.readers.source import Reading, Shape, Source, rows_at_once
from vaelab.data.wording import counted, listed
from vaelab.outputs import is_output


def read_folder(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the images in a folder and its sub-folders, in the order of their names, with 8 bits per channel.

    They are (n, rows, columns), or (n, rows, columns, 3) if `reading.channels` is 3. If the sub-folders are classes
    (`classes_of`), each image is labelled with its own. Each image looks as in a viewer:
    turned by its EXIF orientation, and placed on the background if it is transparent.
    """
    inside = _look_through(path)
    if not inside.images:
        raise UnreadableFile(f"{path} must hold images, but {_instead(inside)}; put {', '.join(SUFFIXES)} files there")
    found = _Images(path, inside.images, reading)
    if folders := sorted({str(file.parent.relative_to(path)) for file in inside.images} - {"."}):
        below = sum(file.parent != path for file in inside.images)
        images = f"{counted(below, 'image')} {'is' if below == 1 else 'are'}"
        found.facts.append(f"{images} in {counted(len(folders), 'sub-folder')} ({listed(folders)})")
    if inside.runs:
        found.facts.append(
            f"skipped {counted(len(inside.runs), 'folder')} of vaelab's own runs ({listed(inside.runs)})"
        )
    if inside.others:
        found.cautions.append(f"left out {counted(len(inside.others), 'other file')} ({listed(inside.others)})")
    return Source(
        found.chunks(rows),
        where=lambda row, pixel: found.names[row],
        thing="image",
        declared=len(inside.images),
        facts=found.facts,
        cautions=found.cautions,
    )


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


class _Images:
    """The images in a folder, read one by one.

    Attributes:
        names: the names of the images that were read.
        facts: what was changed; complete once all images are read.
        cautions: what was left out; complete once all images are read.
    """

    def __init__(self, path: Path, files: list[Path], reading: Reading) -> None:
        self._path, self._files, self._reading = path, files, reading
        self._classes = _classes_of_files(path, files)
        self.names: list[str] = []
        self.facts: list[str] = []
        self.cautions: list[str] = []
        self._changes: Counter[str] = Counter()  # what was done to an image -> to how many
        self._broken: list[str] = []
        self._first: tuple[Path, Shape] | None = None
        self._seen: set[tuple[int, int]] = set()  # several links may share a file, which counts only once
        self._on_disk = 0  # the size of these files in bytes

    def chunks(self, rows: int | None) -> Iterator[np.ndarray | Labelled]:
        """Yields the images, (m, rows, columns) or (m, rows, columns, 3), with their classes if they have any."""
        chunk: list[np.ndarray] = []
        for file in tqdm(self._files, unit=" images", leave=False, disable=None, delay=2):
            if (image := self._read(file)) is None:
                continue
            chunk.append(image)
            if len(chunk) == rows_at_once(rows, image.nbytes):
                yield self._labelled(chunk)
                chunk = []
        if chunk:
            yield self._labelled(chunk)
        self._say_what_changed()

    def _labelled(self, chunk: Sequence[np.ndarray]) -> np.ndarray | Labelled:
        """The images that were read last, with their classes if they have any."""
        images = np.stack(chunk)
        if not self._classes:
            return images
        return Labelled(images, np.array([self._classes[name] for name in self.names[-len(chunk) :]], dtype=str))

    def _read(self, file: Path) -> np.ndarray | None:
        """Reads an image; None if it is broken and such files are left out."""
        name = str(file.relative_to(self._path))
        try:
            image, changes = read_image(file, self._reading)
        except UnreadableFile:
            if self._reading.missing != "drop":
                raise
            self._broken.append(name)
            return None
        self._first = self._first or (file, image.shape)
        _check_same_size(file, image.shape, *self._first)
        self.names.append(name)
        if self._reading.size is None:  # otherwise the size of the array is not declared by the files
            self._check_growth(file, image.shape)
        self._changes.update(changes)
        return image

    def _check_growth(self, file: Path, shape: Shape) -> None:
        """Refuses images that are far larger in memory than their files are on disk."""
        found = file.stat()
        self._on_disk += max(BLOCK, found.st_size) if (found.st_dev, found.st_ino) not in self._seen else 0
        self._seen.add((found.st_dev, found.st_ino))
        count = f"{len(self.names)} images of {_pixels(shape)} pixels"
        check_growth(file.parent, len(self.names) * math.prod(shape), count, self._on_disk)

    def _say_what_changed(self) -> None:
        if broken := self._broken:
            left_out = f"left out {counted(len(broken), 'file')} that cannot be read as an image ({listed(broken)})"
            self.cautions.append(left_out)
        if pages := self._changes.pop(PAGE, 0):
            self.cautions.append(f"read the first page of every .tif file, and left out {counted(pages, 'other page')}")
        if deep := self._changes.pop(DEEP, 0):
            self.cautions.append(DEEP.format(counted(deep, "image")))
        self.facts += [change.format(counted(count, "image")) for change, count in self._changes.items()]


def _classes_of_files(path: Path, files: Sequence[Path]) -> dict[str, str]:
    """The class of each image by its name in the folder; empty if the sub-folders are not classes."""
    names = [str(file.relative_to(path)) for file in files]
    found = classes_of(names)
    codes = [] if found.codes is None else found.codes.tolist()
    return {name: found.names[code] for name, code in zip(names, codes, strict=False)}


def _check_same_size(file: Path, shape: Shape, first: Path, wanted: Shape) -> None:
    if shape != wanted:
        raise UnreadableFile(
            f"all images must have the same size, but {file} has {_pixels(shape)} pixels and {first} has "
            f"{_pixels(wanted)}; resize or remove one of them, or use data=images, which can resize them (--data "
            "size=32 in a vaelab command)"
        )


def _pixels(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
