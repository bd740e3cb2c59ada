"""Reads one image file, as a viewer shows it."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaelab.data.bounded_reading import Bounded, UnreadableFile, check_growth
from vaelab.data.readers.resize import draft_for, resize
from vaelab.data.readers.source import Reading

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # no others: Pillow starts a program to read some
ORIENTATION = 0x0112  # the tag in EXIF
TURNED = range(2, 9)
PAGE = "a page that is left out"  # a key that counts pages, never printed
DEEP = "kept the upper 8 bits of {} with 16 bits per channel"


def read_image(path: Path, reading: Reading) -> tuple[np.ndarray, list[str]]:
    """(rows, columns) grey or (rows, columns, 3), uint8, and what was changed, with {} for the number of such images.

    Raises:
        UnreadableFile: the file is not an image, is broken, or has channels of 32 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Bounded(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_growth` has a sentence for it
            image = Image.open(file, formats=FORMATS)
            check_growth(path, image.width * image.height, f"{image.height}x{image.width} pixels")
            draft_for(image, reading.size)
            return _as_seen(path, image, reading)
    except UnreadableFile:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise UnreadableFile(f"{path} cannot be read as an image (none of {formats}); {CURE}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableFile(f"{path} cannot be read as an image ({reason}); {CURE}") from error


CURE = (
    "replace or remove it, or set data.missing=drop to leave out such files (--data missing=drop in a vaelab command)"
)


def stored_size(path: Path) -> tuple[int, int] | None:
    """(rows, columns) of an image as its header declares them; None if the file cannot be read."""
    from PIL import Image

    try:
        with Bounded(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=FORMATS)
            return image.height, image.width
    except Exception:  # whoever reads the image says what is wrong with it
        return None


def _as_seen(path: Path, image: "Image", reading: Reading) -> tuple[np.ndarray, list[str]]:
    from PIL import Image, ImageOps

    done = []
    if getattr(image, "is_animated", False):
        pages = getattr(image, "n_frames", 1) - 1
        done += [PAGE] * pages if image.format == "TIFF" else ["read the first frame of {}"]
    if _is_deep(image):
        image = _upper_bits(path, image)
        done.append(DEEP)
    if _orientation(image) in TURNED:
        image = ImageOps.exif_transpose(image)
        done.append("turned {} by the orientation in the file")
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        if drawn.getchannel("A").getextrema() != (255, 255):
            done.append(f"placed {{}} with transparency on {_colour(reading.grey)}")
        image = Image.new("RGBA", drawn.size, (reading.grey,) * 3 + (255,))
        image.alpha_composite(drawn)
    elif image.mode not in ("1", "L"):
        image = image.convert("RGB")
    image, resized = resize(image.convert("RGB" if reading.channels == 3 else "L"), reading.size)
    return np.asarray(image), done + resized


def _is_deep(image: "Image") -> bool:
    """True if a channel has more than 8 bits. For colours, Pillow silently keeps only the upper 8."""
    layouts = [str(part) for tile in getattr(image, "tile", ()) for part in np.ravel(np.array(tile[3:], dtype=object))]
    return image.mode[0] in "IF" or any(";16" in layout for layout in layouts if image.format != "BMP")


def _upper_bits(path: Path, image: "Image") -> "Image":
    """The upper 8 of 16 bits per channel."""
    from PIL import Image

    if not image.mode.startswith(("I;16", "I", "F")):
        return image  # of colours, Pillow keeps the upper 8 bits
    if not image.mode.startswith("I;16"):
        raise UnreadableFile(
            f"{path} must have at most 16 bits per channel, but has 32; save it with 8 bits, or save all images as a "
            ".npy array"
        )
    exif = image.getexif()
    upper = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    upper.getexif().update(exif)
    return upper


def _orientation(image: "Image") -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # the EXIF data are broken; viewers ignore that too
        return 1


def _colour(grey: int) -> str:
    return {255: "white", 0: "black"}.get(grey, f"grey {grey}")
