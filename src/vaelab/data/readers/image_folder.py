"""Folders of pictures, as a viewer shows them, in grey."""

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

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # no others: Pillow starts a program to read some
ORIENTATION = 0x0112  # the tag in EXIF
TURNED = range(2, 9)
PAGE = "a page that is left out"


def read_folder(path: Path, rows: int | None, reading: Reading) -> Source:
    """The pictures in a folder and its sub-folders, in the order of their names: (n, rows, columns), 8-bit grey.

    Each looks as in a viewer: turned by its EXIF orientation, and on the background if it is transparent.
    """
    inside = _look_through(path)
    pictures, others = inside.pictures, inside.others
    if not pictures:
        raise UnreadableFile(
            f"{path} must hold images, but is a folder without images ({_instead(inside)}); put {', '.join(PICTURES)} "
            "files there"
        )
    facts: list[str] = []
    cautions: list[str] = []
    if folders := sorted({str(file.parent.relative_to(path)) for file in pictures} - {"."}):
        below = sum(file.parent != path for file in pictures)
        facts.append(f"{below:,} of them from {counted(len(folders), 'sub-folder')} ({listed(folders)})")
    if inside.runs:
        facts.append(f"passed over {counted(len(inside.runs), 'folder')} of vaelab's own runs ({listed(inside.runs)})")
    if others:
        cautions.append(f"left out {counted(len(others), 'other file')} ({listed(others)})")
    names = [str(file.relative_to(path)) for file in pictures]
    arrays = _arrays(pictures, rows, reading, facts, cautions)
    return Source(arrays, None, lambda row, pixel: names[row], "picture", facts, cautions)


class Inside(NamedTuple):
    """What lies in a folder: its pictures in the order of their names, and the rest by name."""

    pictures: list[Path]
    others: list[str]
    runs: list[str]
    hidden: list[str]


def _look_through(path: Path) -> Inside:
    """Everything in a folder and its sub-folders; what is hidden, or in a folder of runs, is not looked at."""

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
            elif file.suffix.lower() in PICTURES and file.is_file():
                inside.pictures.append(file)
            else:
                inside.others.append(str(file.relative_to(path)))
    return Inside(sorted(inside.pictures), sorted(inside.others), sorted(inside.runs), sorted(inside.hidden))


def _instead(inside: Inside) -> str:
    """What a folder without pictures holds."""
    if inside.others:
        return f"it holds {listed(inside.others)}"
    if inside.runs:
        return f"it holds vaelab's own runs, whose pictures are passed over ({listed(inside.runs)})"
    return f"it holds hidden files alone ({listed(inside.hidden)})" if inside.hidden else "it is empty"


def _arrays(
    files: list[Path], rows: int | None, reading: Reading, facts: list[str], cautions: list[str]
) -> Iterator[np.ndarray]:
    """The pictures in chunks; `facts` and `cautions` learn at the end what was done to how many, and what is lost."""
    marks: Counter[str] = Counter()
    size = _read(files[0], reading.grey)[0].shape
    at_once = rows_at_once(rows, math.prod(size))
    seen: set[tuple[int, int]] = set()  # files, which links may share
    on_disk = 0  # bytes of these files
    for start in range(0, len(files), at_once):
        pictures: list[np.ndarray] = []
        for file in files[start : start + at_once]:
            picture, done = _read(file, reading.grey)
            if picture.shape != size:
                raise UnreadableFile(
                    f"{file} has {_pixels(picture.shape)} pixels and {files[0]} has {_pixels(size)}; give images of "
                    "one size"
                )
            pictures.append(picture)
            marks.update(done)
            found = file.stat()
            on_disk += max(BLOCK, found.st_size) if (found.st_dev, found.st_ino) not in seen else 0
            seen.add((found.st_dev, found.st_ino))
            count = start + len(pictures)
            check_growth(file.parent, count * math.prod(size), f"{count} pictures of {_pixels(size)} pixels", on_disk)
        yield np.stack(pictures)
    if pages := marks.pop(PAGE, 0):
        cautions.append(f"read the first page of every .tif file, and left out {counted(pages, 'other page')}")
    facts += [what.format(counted(count, "picture")) for what, count in marks.items()]


def _read(path: Path, background: int) -> tuple[np.ndarray, list[str]]:
    """(rows, columns), uint8 grey, and what was done to make it so, with {} for the number of such pictures."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Bounded(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_growth` has a sentence for it
            picture = Image.open(file, formats=FORMATS)
            check_growth(path, picture.width * picture.height, f"{picture.height}x{picture.width} pixels")
            if _is_deep(picture):
                raise UnreadableFile(f"{path} has pixels of more than 8 bits, which would be cut off; save it with 8")
            return _as_seen(picture, background)
    except UnreadableFile:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise UnreadableFile(f"{path} cannot be read as an image (none of {formats}); replace or remove it") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableFile(f"{path} cannot be read as an image ({reason}); replace or remove it") from error


def _is_deep(picture: "Image") -> bool:
    """Whether a channel has more than 8 bits; Pillow would silently keep only the upper 8 of colours."""
    layouts = [
        str(part) for tile in getattr(picture, "tile", ()) for part in np.ravel(np.array(tile[3:], dtype=object))
    ]
    return picture.mode[0] in "IF" or any(";16" in layout for layout in layouts if picture.format != "BMP")


def _as_seen(picture: "Image", background: int) -> tuple[np.ndarray, list[str]]:
    from PIL import Image, ImageOps

    done = []
    if getattr(picture, "is_animated", False):
        pages = getattr(picture, "n_frames", 1) - 1
        done += [PAGE] * pages if picture.format == "TIFF" else ["read the first frame of {}"]
    if _orientation(picture) in TURNED:
        picture = ImageOps.exif_transpose(picture)
        done.append("turned {} by the orientation in the file")
    if picture.has_transparency_data:
        drawn = picture.convert("RGBA")
        if drawn.getchannel("A").getextrema() != (255, 255):
            done.append(f"placed {{}} with transparency on {_colour(background)}")
        picture = Image.new("RGBA", drawn.size, (background,) * 3 + (255,))
        picture.alpha_composite(drawn)
    elif picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
    return np.asarray(picture.convert("L")), done


def _orientation(picture: "Image") -> int:
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF data, which viewers ignore too
        return 1


def _colour(grey: int) -> str:
    return {255: "white", 0: "black"}.get(grey, f"grey {grey}")


def _pixels(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"
