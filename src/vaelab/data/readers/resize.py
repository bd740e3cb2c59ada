"""Resizes images so that they fill a given size, and crops what is outside."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

Size = int | tuple[int, int] | None
SHRUNK, ENLARGED = "resized {} to {}", "enlarged {} to {}, which adds no detail"


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """A size as (rows, columns)."""
    return (size, size) if isinstance(size, int) else size


def draft_for(image: "Image", size: Size) -> None:
    """Makes a large .jpg load at a fraction of its size, with at least twice as many pixels as needed along each side.

    A photograph of 12 megapixels then loads ten times as fast.
    """
    if size is not None and image.format == "JPEG":
        longer = 2 * max(sides(size))  # the image may be turned later
        image.draft(None, (longer, longer))


def resize(image: "Image", size: Size) -> tuple["Image", list[str]]:
    """Resizes an image until it fills `size`, and crops its middle. Also lists what it did; {} is the number of images.

    The filter is bicubic and wide enough to average over all pixels that become one, so nothing is aliased.
    """
    from PIL import Image, ImageOps

    if size is None or (image.height, image.width) == sides(size):
        return image, []
    rows, columns = sides(size)
    enlarged = min(image.height, image.width) < min(rows, columns)
    done = [(ENLARGED if enlarged else SHRUNK).format("{}", f"{rows}x{columns} pixels")]
    if image.width * rows != image.height * columns:
        done.append("cropped the middle of {}")
    return ImageOps.fit(image, (columns, rows), Image.Resampling.BICUBIC), done
