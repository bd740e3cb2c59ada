"""Reading IDX files: exact if they are complete, one sentence if not, and never more memory than they hold."""

import gzip
import re
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from helpers.idx_files import LABELS, TEST, TRAIN, idx_bytes, random_images, write_bytes, write_idx_images
from vaelab.data.idx_folder import find
from vaelab.data.idx_format import read_images

SUFFIXES = pytest.mark.parametrize("suffix", ["", ".gz"])
MIB = 1 << 20


def one_line_with(*words: object) -> str:
    """A pattern for a message of a single line that holds `words` in this order."""
    return r"\A.*" + ".*".join(re.escape(str(word)) for word in words) + r".*\Z"


@SUFFIXES
@pytest.mark.parametrize("shape", [(6, 5, 7), (1, 1, 1), (3, 28, 28), (2, 1, 13)])
def test_pixels_are_read_back_exactly(tmp_path, suffix, shape):
    images = random_images(*shape, seed=3)
    read = read_images(write_idx_images(tmp_path / f"images{suffix}", images))
    assert read.dtype == torch.uint8
    assert_close(read, images, rtol=0, atol=0)


def test_every_grey_is_read_back_in_row_order(tmp_path):
    images = torch.arange(256, dtype=torch.uint8).view(2, 8, 16)
    assert_close(read_images(write_idx_images(tmp_path / "images", images)), images, rtol=0, atol=0)


def test_a_gzip_of_several_members_reads_as_one_file(tmp_path):
    images = random_images(6, 5, 7)
    content = idx_bytes(images)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content[:40]) + gzip.compress(content[40:]))
    assert_close(read_images(path), images, rtol=0, atol=0)


def test_a_file_larger_than_a_chunk_is_read_whole(tmp_path):
    images = random_images(1_501, 28, 31)  # 1.24 MiB
    assert_close(read_images(write_idx_images(tmp_path / "images", images)), images, rtol=0, atol=0)


@SUFFIXES
def test_find_takes_the_file_that_is_there(tmp_path, suffix):
    path = write_idx_images(tmp_path / f"{TRAIN}{suffix}", random_images(2, 5, 7))
    assert find(tmp_path, TRAIN) == path


def test_find_prefers_the_raw_file(tmp_path):
    raw = write_idx_images(tmp_path / TRAIN, random_images(2, 5, 7))
    write_idx_images(tmp_path / f"{TRAIN}.gz", random_images(3, 5, 7))
    assert find(tmp_path, TRAIN) == raw


def test_find_passes_over_a_folder_of_that_name(tmp_path):
    (tmp_path / TRAIN).mkdir()
    packed = write_idx_images(tmp_path / f"{TRAIN}.gz", random_images(3, 5, 7))
    assert find(tmp_path, TRAIN) == packed


def test_find_names_the_folder_and_both_files_that_are_missing(tmp_path):
    write_idx_images(tmp_path / TRAIN, random_images(2, 5, 7))
    with pytest.raises(FileNotFoundError, match=one_line_with(tmp_path, TEST, f"{TEST}.gz", "data.root")):
        find(tmp_path, TEST)


@SUFFIXES
def test_a_missing_file_is_named(tmp_path, suffix):
    path = tmp_path / f"images{suffix}"
    with pytest.raises(FileNotFoundError, match=one_line_with(path)):
        read_images(path)


@SUFFIXES
@pytest.mark.parametrize("kept", [0, 1, 4, 15])
def test_a_header_cut_short_is_refused(tmp_path, suffix, kept):
    path = write_idx_images(tmp_path / f"images{suffix}", random_images(6, 5, 7), keep=kept)
    with pytest.raises(ValueError, match=one_line_with(path, f"header of 16 bytes, but ends after {kept};")):
        read_images(path)


@SUFFIXES
@pytest.mark.parametrize("kept", [16, 17, 16 + 3 * 35, 16 + 6 * 35 - 1])
def test_a_body_cut_short_is_refused(tmp_path, suffix, kept):
    path = write_idx_images(tmp_path / f"images{suffix}", random_images(6, 5, 7), keep=kept)
    with pytest.raises(ValueError, match=one_line_with(path, "6 images of 5x7", 210, f"only {kept - 16}")):
        read_images(path)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.9])
def test_a_gzip_stream_cut_in_the_middle_is_refused(tmp_path, fraction):
    path = write_idx_images(tmp_path / "images.gz", random_images(6, 5, 7))
    packed = path.read_bytes()
    path.write_bytes(packed[: int(fraction * len(packed))])
    with pytest.raises(ValueError, match=one_line_with(path, "gzip")):
        read_images(path)


def test_a_gzip_stream_without_its_last_byte_is_refused(tmp_path):
    path = write_idx_images(tmp_path / "images.gz", random_images(6, 5, 7))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=one_line_with(path, "gzip")):
        read_images(path)


def test_a_gzip_whose_pixels_were_altered_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    packed = bytearray(
        gzip.compress(idx_bytes(random_images(6, 5, 7)), compresslevel=0)
    )  # pixels stand there as they are
    packed[100] ^= 1
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=one_line_with(path, "gzip")):
        read_images(path)


def test_a_gzip_of_broken_blocks_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    packed = bytearray(gzip.compress(idx_bytes(random_images(6, 5, 7))))
    packed[10] = 0xFF  # the first byte after gzip's header: a kind of block that does not exist
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=one_line_with(path, "gzip")):
        read_images(path)


def test_a_gz_that_is_no_gzip_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(idx_bytes(random_images(6, 5, 7)))
    with pytest.raises(ValueError, match=one_line_with(path, "gzip")):
        read_images(path)


@SUFFIXES
def test_a_labels_file_is_refused(tmp_path, suffix):
    labels = LABELS.to_bytes(4, "big") + (60).to_bytes(4, "big") + bytes(range(60))
    path = write_bytes(tmp_path / f"labels{suffix}", labels)
    with pytest.raises(ValueError, match=one_line_with(path, "0x00000803", "0x00000801")):
        read_images(path)


@SUFFIXES
def test_random_bytes_are_refused(tmp_path, suffix):
    path = write_bytes(tmp_path / f"noise{suffix}", random_images(1, 40, 25, seed=8).numpy().tobytes())
    with pytest.raises(ValueError, match=one_line_with(path, "0x00000803")):
        read_images(path)


@pytest.mark.parametrize("name", ["images", "images.gz.1"])
def test_a_gzip_without_its_suffix_is_read(tmp_path, name):
    images = random_images(6, 5, 7)
    path = write_bytes(tmp_path / name, gzip.compress(idx_bytes(images), mtime=0))
    assert_close(read_images(path), images, rtol=0, atol=0)


@SUFFIXES
def test_an_empty_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"images{suffix}"
    path.touch()
    with pytest.raises(ValueError, match=one_line_with(path)):
        read_images(path)


@SUFFIXES
@pytest.mark.parametrize("tail", [b"\0", b"more than was declared"])
def test_bytes_after_the_last_pixel_are_refused(tmp_path, suffix, tail):
    path = write_idx_images(tmp_path / f"images{suffix}", random_images(6, 5, 7), tail=tail)
    with pytest.raises(ValueError, match=one_line_with(path, "6 images of 5x7", 210, "more")):
        read_images(path)


@SUFFIXES
@pytest.mark.parametrize("declared", [(0, 5, 7), (6, 0, 7), (6, 5, 0), (0, 0, 0)])
def test_a_file_without_pixels_is_refused(tmp_path, suffix, declared):
    n, rows, columns = declared
    path = write_idx_images(tmp_path / f"images{suffix}", torch.empty(declared, dtype=torch.uint8))
    with pytest.raises(ValueError, match=one_line_with(path, f"{n} images of {rows}x{columns}")):
        read_images(path)


@SUFFIXES
@pytest.mark.parametrize("declared", [(7, 5, 7), (60_000, 28, 28), (2**32 - 1, 2**32 - 1, 2**32 - 1)])
def test_a_header_that_declares_too_much_is_refused_at_once(tmp_path, suffix, declared):
    path = write_idx_images(tmp_path / f"images{suffix}", random_images(6, 5, 7), declared=declared)
    start = time.perf_counter()
    held = "times its own" if suffix == ".gz" and declared[0] > 60_000 else "only 210"
    assert _peak_of_a_refusal(path, f"{declared[0]} images of {declared[1]}x{declared[2]}", held) < 3 * MIB
    assert time.perf_counter() - start < 1  # seconds


def test_a_gzip_bomb_is_not_read_whole(tmp_path):
    path = tmp_path / "images.gz"
    _write_zeros(path, header=idx_bytes(random_images(0, 5, 7), declared=(1, 5, 7)), size=200 * MIB)
    assert path.stat().st_size < 2 * MIB
    assert _peak_of_a_refusal(path, "1 images of 5x7", 35, "more") < 3 * MIB


def _peak_of_a_refusal(path: Path, *words: object) -> int:
    """The most memory, in bytes, that is held while `path` is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=one_line_with(path, *words)):
            read_images(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _write_zeros(path: Path, header: bytes, size: int) -> None:
    """A gzip file of `header` and `size` zeros, packed a chunk at a time."""
    packer = zlib.compressobj(level=1, wbits=31)  # 31: with a gzip frame
    zeros = bytes(MIB)
    with path.open("wb") as file:
        file.write(packer.compress(header))
        for _ in range(size // MIB):
            file.write(packer.compress(zeros))
        file.write(packer.flush())
