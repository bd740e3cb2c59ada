"""Folders of images: they look as in a viewer, and no file is skipped silently."""

import io
import os
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from helpers.idx_files import random_images
from vaelab.data import Reading, bounded_reading, open_rows
from vaelab.data.readers import source
from vaelab.runs.run_state import State, write_state

GREY = random_images(1, 5, 7, seed=3)[0].numpy()
ALPHA = random_images(1, 5, 7, seed=4)[0].numpy()


def seen(folder, background="white"):
    """The first image and the report."""
    rows = open_rows(folder, reading=Reading(background=background))
    return torch.cat(list(rows.chunks))[0].numpy(), rows.report


def layers(*channels):
    return Image.fromarray(np.dstack(channels))


def over(drawn, alpha, background):
    """What a viewer shows: the drawing over the background, in units of 255."""
    return (drawn * (alpha / 255) + background * (1 - alpha / 255)).round()


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0), (77, 77)])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_the_background(tmp_path, background, level, name, mode):
    image = layers(GREY, GREY, GREY, ALPHA) if mode == "RGBA" else layers(GREY, ALPHA)
    image.save(tmp_path / name, lossless=True, exact=True)
    found, report = seen(tmp_path, background)
    np.testing.assert_allclose(found, over(GREY.astype(float), ALPHA, level), atol=1)
    assert f"placed 1 image with transparency on {background if level != 77 else 'grey 77'}" in report


def test_black_ink_on_a_transparent_ground_is_drawn_on_white(tmp_path):
    ink = np.where(GREY > 128, 255, 0).astype(np.uint8)
    layers(0 * ink, 0 * ink, 0 * ink, ink).save(tmp_path / "a.png")
    np.testing.assert_array_equal(seen(tmp_path)[0], 255 - ink)
    np.testing.assert_array_equal(seen(tmp_path, "black")[0], 0 * ink)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_one_transparent_colour_shows_the_background(tmp_path, mode, name):
    hole = np.where(GREY > 128, 200, 9).astype(np.uint8)
    image = Image.fromarray(hole).convert("RGB" if mode == "RGB" else "L")
    clear = (9, 9, 9) if mode == "RGB" else 9
    if mode == "P":
        image = Image.fromarray(hole, "P")
        image.putpalette([level for level in range(256) for _ in "rgb"])
    image.save(tmp_path / name, transparency=clear if name == "a.png" or mode != "RGB" else None)
    found, report = seen(tmp_path, 77)
    if name == "a.gif" and mode == "RGB":  # no such thing in a GIF
        np.testing.assert_array_equal(found, hole)
    else:
        np.testing.assert_array_equal(found, np.where(hole == 9, 77, hole))
        assert "on grey 77" in report


def test_an_opaque_picture_with_an_alpha_channel_stays_as_it_is(tmp_path):
    layers(GREY, GREY, GREY, 0 * GREY + 255).save(tmp_path / "a.png")
    found, report = seen(tmp_path)
    np.testing.assert_array_equal(found, GREY)
    assert report == f"read 1 image of 5x7 pixels from {tmp_path.name}"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_by_its_orientation(tmp_path, orientation):
    stored = {  # what a camera that was held like this stores of what it sees (EXIF 2.3, orientation)
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    found, report = seen(tmp_path)
    np.testing.assert_array_equal(found, GREY)
    assert ("turned 1 image by the orientation" in report) == (orientation > 1)


def test_broken_exif_data_are_ignored(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(seen(tmp_path)[0], GREY)


def test_jpegs_of_every_colour_space_are_read_alike(tmp_path):
    flat = np.full((16, 16), 200, np.uint8)
    for name, image in {
        "grey.jpg": Image.fromarray(flat),
        "colour.JPEG": layers(flat, flat, flat),
        "print.jpg": layers(flat, flat, flat).convert("CMYK"),
    }.items():
        image.save(tmp_path / name, quality=95)
    read = torch.cat(list(open_rows(tmp_path).chunks))
    assert_close(read.float(), torch.full((3, 16, 16), 200.0), atol=2, rtol=0)


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.fromarray(random_images(1, 5, 7, seed=seed)[0].numpy()) for seed in (3, 8, 9)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found, report = seen(tmp_path)
    np.testing.assert_array_equal(found, GREY)
    assert "read the first frame of 1 image" in report


def test_pages_that_are_left_out_are_counted_in_a_warning(tmp_path, caplog):
    pages = [Image.fromarray(random_images(1, 5, 7, seed=seed)[0].numpy()) for seed in (3, 8, 9)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[1].save(tmp_path / "b.tif", save_all=True, append_images=pages[2:])
    pages[2].save(tmp_path / "c.tif")
    found, report = seen(tmp_path)
    np.testing.assert_array_equal(found, GREY)
    assert "read the first page of every .tif file, and left out 3 other pages" in report
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_pictures_of_other_sizes_and_hidden_ones_are_named_with_their_folders(tmp_path):
    for name in ("x/.a.png", "y/a.png", ".z/a.png", "y/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (7, 5) if name == "y/a.png" else (4, 3)).save(tmp_path / name)
    with pytest.raises(
        ValueError, match=re.escape(f"{tmp_path}/y/b.png has 3x4 pixels and {tmp_path}/y/a.png has 5x7;")
    ):
        open_rows(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "y" / f"{name}.png").unlink()
    with pytest.raises(ValueError, match=re.escape("it holds only hidden files (.z, x/.a.png); put .png")):
        open_rows(tmp_path)


def png_of_16_bits(colour, channels):
    """A PNG whose channels have 16 bits each (w3.org/TR/png)."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + bytes(range(2 * channels * 3)) for _ in range(2))
    header = struct.pack(">2I5B", 3, 2, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_the_upper_8_of_16_bits_are_read_with_a_warning(tmp_path, colour, channels, caplog):
    (tmp_path / "a.png").write_bytes(png_of_16_bits(colour, channels))
    rows = open_rows(tmp_path, reading=Reading(channels=3))
    found = torch.cat(list(rows.chunks))[0].numpy()
    upper = np.arange(0, 2 * channels * 3, 2, dtype=float).reshape(3, channels)  # a row of three pixels
    drawn, alpha = (upper[:, :-1], upper[:, -1:]) if channels in (2, 4) else (upper, 255)
    np.testing.assert_allclose(found, np.broadcast_to(over(drawn, alpha, 255), (2, 3, 3)), atol=1)
    assert "kept the upper 8 bits of 1 image with 16 bits per channel" in rows.report
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_channels_of_32_bits_are_refused(tmp_path):
    Image.fromarray(np.ones((3, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif must have at most 16 bits per channel, but has 32; save it with 8"):
        open_rows(tmp_path)


def test_one_warning_names_the_files_that_are_left_out(tmp_path, caplog):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for name in ("notes.txt", "b.psd", "labels\x1b[2J.csv", ".DS_Store", "._a.png"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "c.png")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    report = seen(tmp_path)[1]
    assert report == (
        f"read 1 image of 5x7 pixels from {tmp_path.name}; left out 5 other files "
        r"(b.psd, c.png, elsewhere, labels\x1b[2J.csv, notes.txt)"
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", report)]


def test_class_folders_and_the_pictures_beside_them_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "CHUNK_BYTES", 2 * 35)
    images = random_images(5, 5, 7)
    for name, image in zip(["dog/b.png", "z.png", "cat/a.png", "cat/b.png", "dog/a.PNG"], images, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image.numpy()).save(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    Image.fromarray(GREY).save(tmp_path / ".hidden" / "a.png")
    rows = open_rows(tmp_path)
    assert_close(torch.cat(list(rows.chunks)), images[[2, 3, 4, 0, 1]], rtol=0, atol=0)
    assert "read 5 images" in rows.report
    assert "4 images are in 2 sub-folders (cat, dog); left out 1 other file (dog/notes.txt)" in rows.report
    assert rows.where(3, 12) == "dog/b.png"


def test_pictures_that_runs_and_sweeps_drew_are_no_data(tmp_path, monkeypatch):
    """As in a folder that is also the one to work in."""
    drawn = ["outputs/day/time", "lost", "sweep/a/b", "sweep"]
    for name in ("a", *(f"{folder}/sprite" for folder in drawn), "kept/a", "other/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / f"{name}.png")
    own = "_target_: hydra_plugins.vaelab_sweepers.GridSweeper"
    (tmp_path / "outputs/day/time/.hydra").mkdir()
    (tmp_path / "outputs/day/time/.hydra/hydra.yaml").write_text(own)
    (tmp_path / "sweep/multirun.yaml").write_text(own)
    write_state(tmp_path / "lost", State("running"))
    (tmp_path / "kept/state.json").write_text('{"_split": "train"}')  # of a data set of Hugging Face
    (tmp_path / "other/multirun.yaml").touch()
    monkeypatch.chdir(tmp_path)
    rows = open_rows(".")
    assert len(torch.cat(list(rows.chunks))) == 3
    assert [rows.where(row, 0) for row in range(3)] == ["a.png", "kept/a.png", "other/a.png"]
    assert f"read 3 images of 5x7 pixels from {tmp_path.name};" in rows.report
    assert "skipped 3 folders of vaelab's own runs (lost, outputs/day/time, sweep)" in rows.report
    assert open_rows("lost").report.startswith("read 1 image of 5x7 pixels from lost;")  # asked for by name
    with pytest.raises(ValueError, match=r"only vaelab's own runs, and their pictures are skipped \(day/time\)"):
        open_rows("outputs")


def test_a_folder_without_pictures_names_what_it_holds(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").touch()
    with pytest.raises(ValueError, match=r"must hold images, but it holds train-images-idx3-ubyte; put \.png"):
        open_rows(tmp_path)


def test_another_kind_of_picture_is_not_opened(tmp_path):
    """Pillow starts a program to read some formats."""
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "EPS")
    (tmp_path / "a.png").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=re.escape("a.png cannot be read as an image (none of PNG, JPEG")):
        open_rows(tmp_path)


@pytest.mark.parametrize(("copied", "on_disk"), [(True, 8192), (False, 4096)])
def test_pictures_that_would_fill_the_memory_together_are_refused(copied, on_disk, tmp_path, monkeypatch):
    Image.new("1", (600, 1000)).save(tmp_path / "0.png")
    for index in (1, 2):
        if copied:
            shutil.copy(tmp_path / "0.png", tmp_path / f"{index}.png")
        else:
            (tmp_path / f"{index}.png").symlink_to(tmp_path / "0.png")
    assert sum(len(chunk) for chunk in open_rows(tmp_path).chunks) == 3
    monkeypatch.setattr(bounded_reading, "SMALL", 700_000)
    monkeypatch.setattr(bounded_reading, "GROWTH", 140)
    with pytest.raises(
        ValueError, match=rf"declares 2 images of 1000x600 pixels, 1200000 bytes, .* own size of {on_disk} "
    ):
        list(open_rows(tmp_path).chunks)
    monkeypatch.setattr(bounded_reading, "GROWTH", 450)
    assert sum(len(chunk) for chunk in open_rows(tmp_path).chunks) == 3


def test_pictures_in_sub_folders_come_with_their_classes(tmp_path):
    for name in ("cat/1", "cat/2", "cat/broken", "große Eule/1", "große Eule/old/2"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(path)
    (tmp_path / "cat" / "broken.png").write_bytes(b"no picture")
    pieces = open_rows(tmp_path, rows=3, reading=Reading(missing="drop")).pieces
    assert [labels.tolist() for _, labels in pieces] == [["cat", "cat", "große Eule"], ["große Eule"]]
    ((_, labels),) = open_rows(tmp_path / "große Eule").pieces  # a class alone is no label
    assert labels is None
