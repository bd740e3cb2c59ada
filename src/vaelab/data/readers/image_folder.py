"""Reads folders of images, in grey, as a viewer shows them."""

import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vaelab.data.bounded_reading import BLOCK, Bounded, UnreadableFile, check_growth
from vaelab.data.readers.source import Reading, Shape, Source, rows_at_once
from vaelab.data.wording import counted, listed
from vaelab.outputs import is_output

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # no others: Pillow starts a program to read some
ORIENTATION = 0x0112  # the tag in EXIF
TURNED = range(2, 9)
PAGE = "a page that is left out"  # a key that counts pages, never printed


def read_folder(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the images in a folder and its sub-folders, in the order of their names: (n, rows, columns), 8-bit grey.

    Each image looks as in a viewer: turned by its EXIF orientation, and placed on the background if it is transparent.
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
    names = [str(file.relative_to(path)) for file in images]
    arrays = _arrays(images, rows, reading, facts, cautions)
    return Source(arrays, None, lambda row, pixel: names[row], "image", facts, cautions)


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
    files: list[Path], rows: int | None, reading: Reading, facts: list[str], cautions: list[str]
) -> Iterator[np.ndarray]:
    """Yields the images in chunks. At the end, adds to `facts` and `cautions` what was changed or left out."""
    marks: Counter[str] = Counter()
    size = _read(files[0], reading.grey)[0].shape
    at_once = rows_at_once(rows, math.prod(size))
    seen: set[tuple[int, int]] = set()  # several links may share a file, which counts only once
    on_disk = 0  # the size of these files in bytes
    for start in range(0, len(files), at_once):
        images: list[np.ndarray] = []
        for file in files[start : start + at_once]:
            image, done = _read(file, reading.grey)
            if image.shape != size:
                raise UnreadableFile(
                    f"all images must have the same size, but {file} has {_pixels(image.shape)} pixels and {files[0]} "
                    f"has {_pixels(size)}; resize or remove one of them"
                )
            images.append(image)
            marks.update(done)
            found = file.stat()
            on_disk += max(BLOCK, found.st_size) if (found.st_dev, found.st_ino) not in seen else 0
            seen.add((found.st_dev, found.st_ino))
            count = start + len(images)
            check_growth(file.parent, count * math.prod(size), f"{count} images of {_pixels(size)} pixels", on_disk)
        yield np.stack(images)
    if pages := marks.pop(PAGE, 0):
        cautions.append(f"read the first page of every .tif file, and left out {counted(pages, 'other page')}")
    facts += [what.format(counted(count, "image")) for what, count in marks.items()]


def _read(path: Path, background: int) -> tuple[np.ndarray, list[str]]:
    """(rows, columns), uint8 grey, and the changes that this took, with {} for the number of such images."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Bounded(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_growth` has a sentence for it
            image = Image.open(file, formats=FORMATS)
            check_growth(path, image.width * image.height, f"{image.height}x{image.width} pixels")
            if _is_deep(image):
                raise UnreadableFile(f"{path} must have at most 8 bits per channel, but has more; save it with 8 bits")
            return _as_seen(image, background)
    except UnreadableFile:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise UnreadableFile(f"{path} cannot be read as an image (none of {formats}); replace or remove it") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableFile(f"{path} cannot be read as an image ({reason}); replace or remove it") from error


def _is_deep(image: "Image") -> bool:
    """True if a channel has more than 8 bits. For colours, Pillow would silently keep only the upper 8."""
    layouts = [str(part) for tile in getattr(image, "tile", ()) for part in np.ravel(np.array(tile[3:], dtype=object))]
    return image.mode[0] in "IF" or any(";16" in layout for layout in layouts if image.format != "BMP")


def _as_seen(image: "Image", background: int) -> tuple[np.ndarray, list[str]]:
    from PIL import Image, ImageOps

    done = []
    if getattr(image, "is_animated", False):
        pages = getattr(image, "n_frames", 1) - 1
        done += [PAGE] * pages if image.format == "TIFF" else ["read the first frame of {}"]
    if _orientation(image) in TURNED:
        image = ImageOps.exif_transpose(image)
        done.append("turned {} by the orientation in the file")
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        if drawn.getchannel("A").getextrema() != (255, 255):
            done.append(f"placed {{}} with transparency on {_colour(background)}")
        image = Image.new("RGBA", drawn.size, (background,) * 3 + (255,))
        image.alpha_composite(drawn)
    elif image.mode not in ("1", "L"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L")), done


def _orientation(image: "Image") -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # the EXIF data are broken; viewers ignore that too
        return 1


def _colour(grey: int) -> str:
    return {255: "white", 0: "black"}.get(grey, f"grey {grey}")


def _pixels(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
