"""Reads the images in an IDX file."""

from pathlib import Path

from vaelab.data.idx_format import stream_images
from vaelab.data.readers.source import Reading, Source


def read_idx(path: Path, rows: int | None, reading: Reading) -> Source:
    """Reads the images of an IDX file, raw or gzipped."""
    images = (images.numpy() for images in stream_images(path, rows))
    return Source(images, where=lambda image, pixel: f"image {image} (counting from 0)", thing="image")
