"""Pictures of your own: read from folders and arrays, resized, split, and drawn as the likelihood needs."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from helpers.idx_files import random_images
from vaelab.data import Images

SPLITS = ("train", "val", "test")


def colours(n, rows, columns, seed=0):
    """(n, rows, columns, 3), uint8, random."""
    return np.random.default_rng(seed).integers(0, 256, (n, rows, columns, 3), np.uint8)


def save_all(folder, arrays, names=None):
    for index, array in enumerate(arrays):
        path = folder / (names[index] if names else f"{index:02d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return folder


def ready(path, **options):
    data = Images(path, **{"val_size": 2, "test_size": 3, "support": "unit_interval", **options})
    data.setup()
    return data


def everything(data):
    """The pictures of all splits in the order of the file, (n, channels, rows, columns), in units of 255."""
    count = sum(len(data.examples(split)[0]) for split in SPLITS)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(data.seed))
    n_val, n_test = (len(data.examples(split)[0]) for split in ("val", "test"))
    places = [part.sort().values for part in order.split([count - n_val - n_test, n_val, n_test])]
    found = torch.empty(count, *data.x_shape)
    for split, place in zip(SPLITS, places, strict=True):
        found[place] = data.examples(split)[0]
    return (found * 255).numpy()


def test_a_folder_gives_each_picture_once_in_the_order_of_its_name(tmp_path):
    pictures = colours(11, 5, 7)
    data = ready(save_all(tmp_path / "my photos ü", pictures))
    assert data.x_shape == data.target_shape == (3, 5, 7)
    assert [len(data.examples(split)[0]) for split in SPLITS] == [6, 2, 3]
    np.testing.assert_allclose(everything(data), pictures.transpose(0, 3, 1, 2), atol=1e-4)
    assert data.read_report == (
        "read 11 RGB pictures of 5x7 pixels from my photos ü: 6 to train, 2 to validate, 3 to test"
    )


@pytest.mark.parametrize("size", [(40, 40), (40, 90), (90, 41)])
def test_a_picture_fills_the_size_and_its_middle_is_kept(tmp_path, size):
    """As Pillow's own resampling of the middle square, which a loop averages over whole blocks where it can."""
    rows, columns = size
    pictures = colours(7, rows, columns)
    data = ready(save_all(tmp_path, pictures), size=8)
    side = min(size)
    top, left = (rows - side) / 2, (columns - side) / 2
    box = (left, top, left + side, top + side)
    expected = [
        np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BICUBIC, box=box)) for picture in pictures
    ]
    np.testing.assert_allclose(everything(data), np.stack(expected).transpose(0, 3, 1, 2), atol=1e-4)
    assert "resized 7 images to 8x8 pixels" in data.read_report
    assert ("cropped the middle of 7 images" in data.read_report) == (rows != columns)


def test_nothing_is_aliased(tmp_path):
    """A chessboard of single pixels becomes its mean, where nearest neighbours would give black or white."""
    board = np.indices((48, 48)).sum(0) % 2 * 255
    data = ready(save_all(tmp_path, [board.astype(np.uint8)] * 7), size=6)
    np.testing.assert_allclose(everything(data), 127.5, atol=2)


@pytest.mark.parametrize(
    ("sizes", "size", "why"),
    [
        ([(5, 7)] * 7, (5, 7), None),
        ([(5, 7)] * 6 + [(9, 5)], (32, 32), "data.size is 32, because they differ in size"),
        ([(3, 129)] * 7, (32, 32), "data.size is 32, because they are larger than 128x128 pixels"),
    ],
)
def test_pictures_keep_a_size_that_all_of_them_have(tmp_path, sizes, size, why):
    data = ready(save_all(tmp_path, [colours(1, *each)[0] for each in sizes]))
    assert data.x_shape == (3, *size)
    assert (why in data.read_report) if why else ("data.size" not in data.read_report)


@pytest.mark.parametrize("size", [None, 6])
def test_an_array_is_resized_like_files(tmp_path, size):
    pictures = colours(9, 150, 150)
    np.save(tmp_path / "all.npy", pictures)
    of_files = ready(save_all(tmp_path / "files", pictures), size=size)
    of_array = ready(tmp_path / "all.npy", size=size)
    assert of_array.x_shape == (3, size or 32, size or 32)
    for split in SPLITS:
        assert_close(of_array.examples(split)[0], of_files.examples(split)[0], rtol=0, atol=0)
    assert ("data.size is 32, because they are larger" in of_array.read_report) == (size is None)


def as_palette(picture):
    return picture.quantize(4)


def as_cmyk(picture):
    return picture.convert("CMYK")


def as_rgba(picture):
    picture.putalpha(255)
    return picture


@pytest.mark.parametrize(
    ("name", "change"),
    [("a.png", as_palette), ("a.gif", as_palette), ("a.jpg", as_cmyk), ("a.png", as_rgba), ("a.webp", as_rgba)],
)
def test_colours_are_the_same_in_every_mode(tmp_path, name, change):
    flat = Image.new("RGB", (16, 12), (200, 60, 30))
    for folder in "abcdefg":
        (tmp_path / folder).mkdir()
        change(flat.copy()).save(tmp_path / folder / name)
    found = everything(ready(tmp_path))
    np.testing.assert_allclose(found, np.broadcast_to(np.array([200, 60, 30.0]).reshape(3, 1, 1), found.shape), atol=6)


def test_a_transparent_picture_shows_the_background_in_colour(tmp_path):
    half = np.dstack([colours(1, 6, 5)[0], np.full((6, 5), 102, np.uint8)])  # 40 % opaque
    data = ready(save_all(tmp_path, [half] * 7), background=50)
    np.testing.assert_allclose(everything(data)[0], (0.4 * half[..., :3] + 0.6 * 50).transpose(2, 0, 1), atol=1.5)
    assert "placed 7 images with transparency on grey 50" in data.read_report


def test_a_photograph_is_turned_before_it_is_cropped(tmp_path):
    stored = colours(1, 12, 30)[0]  # lies on its side: 30 rows of 12 pixels are seen
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(7):
        Image.fromarray(stored).save(tmp_path / f"{index}.png", exif=exif)
    seen = np.rot90(stored, -1)[9:21]
    np.testing.assert_allclose(everything(ready(tmp_path, size=12))[0], seen.transpose(2, 0, 1), atol=1e-4)


def test_a_large_photograph_loads_at_a_fraction_of_its_size_and_looks_the_same(tmp_path):
    line = np.linspace(20, 230, 900)
    smooth = np.stack(
        [np.add.outer(line[:700], 0 * line), np.add.outer(0 * line[:700], line), 0 * line + 9 + np.zeros((700, 1))], -1
    ).astype(np.uint8)
    for index in range(7):
        Image.fromarray(smooth).save(tmp_path / f"{index}.jpg", quality=98)
    save_all(tmp_path / "png", [smooth] * 7)
    fractions, whole = (everything(ready(folder, size=16))[0] for folder in (tmp_path, tmp_path / "png"))
    np.testing.assert_allclose(fractions, whole, atol=3)


def test_a_small_picture_is_enlarged_with_a_word(tmp_path):
    data = ready(save_all(tmp_path, colours(7, 4, 5)), size=8)
    assert data.x_shape == (3, 8, 8)
    assert "enlarged 7 images to 8x8 pixels, which adds no detail; cropped the middle of 7 images" in data.read_report


@pytest.mark.parametrize("kind", ["folder", "npy"])
def test_pictures_without_colour_are_grey(tmp_path, kind):
    grey = random_images(9, 5, 7).numpy()
    coloured = np.stack([grey] * 3, -1)
    if kind == "npy":
        np.save(tmp_path / "a.npy", coloured)
        path = tmp_path / "a.npy"
    else:
        path = save_all(tmp_path / "a", [*coloured[:4], *grey[4:]])
    data = ready(path)
    assert data.x_shape == (1, 5, 7)
    np.testing.assert_allclose(everything(data)[:, 0], grey, atol=1e-4)
    assert "read 9 grey pictures" in data.read_report
    assert ready(path, channels=3).x_shape == (3, 5, 7)


def test_one_picture_in_colour_makes_all_rgb(tmp_path):
    pictures = [*random_images(8, 5, 7).numpy(), colours(1, 5, 7)[0]]
    found = everything(ready(save_all(tmp_path, pictures)))
    for seen, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(seen, np.broadcast_to(picture.T, (3, 7, 5)).transpose(0, 2, 1), atol=1e-4)


def test_grey_is_pillows_grey_in_files_and_arrays(tmp_path):
    pictures = colours(9, 5, 7)
    np.save(tmp_path / "a.npy", pictures)
    expected = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures])
    for path in (tmp_path / "a.npy", save_all(tmp_path / "files", pictures)):
        data = ready(path, channels=1)
        np.testing.assert_allclose(everything(data)[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64", "bool"])
def test_every_layout_is_found(tmp_path, kind):
    grey, coloured = random_images(9, 5, 7).numpy(), colours(9, 5, 7)
    rows = {
        "plain": (grey, grey[:, None]),
        "grey last": (grey[..., None], grey[:, None]),
        "grey first": (grey[:, None], grey[:, None]),
        "last": (coloured, coloured.transpose(0, 3, 1, 2)),
        "first": (coloured.transpose(0, 3, 1, 2), coloured.transpose(0, 3, 1, 2)),
    }
    for name, (stored, expected) in rows.items():
        if kind == "bool":
            stored, expected = stored > 99, (expected > 99) * 255
        elif kind.startswith("float"):
            stored = (stored / 255).astype(kind)
        np.save(tmp_path / f"{name}.npy", stored.astype(kind))
        np.testing.assert_allclose(everything(ready(tmp_path / f"{name}.npy")), expected, atol=1e-4)


def test_a_shape_that_could_be_either_needs_a_key(tmp_path):
    pictures = colours(9, 3, 5)
    np.save(tmp_path / "a.npy", pictures)
    with pytest.raises(ValueError, match=r"data\.layout must be .* pictures of shape 3x5x3 could be either"):
        ready(tmp_path / "a.npy")
    last, first = (ready(tmp_path / "a.npy", layout=f"channels_{place}") for place in ("last", "first"))
    np.testing.assert_allclose(everything(last), pictures.transpose(0, 3, 1, 2), atol=1e-4)
    np.testing.assert_allclose(everything(first), pictures, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        ((9, 5, 7, 4), r"holds rows of shape 5x7x4; leave the fourth channel out, such as x\[\.\.\., :3\]"),
        ((9, 5), "holds rows of shape 5; use data=array or data=table"),
        ((9, 5, 7, 2), "holds rows of shape 5x7x2; use data=array"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, shape, answer):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=answer):
        ready(tmp_path / "a.npy")


def test_grey_values_are_dequantised_binarised_or_scaled(tmp_path):
    grey = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 4, 8)
    np.save(tmp_path / "a.npy", grey)
    scaled = everything(ready(tmp_path / "a.npy"))
    np.testing.assert_allclose(scaled[:, 0], grey, atol=1e-4)
    real = ready(tmp_path / "a.npy", support="real")
    np.testing.assert_array_equal(np.floor(everything(real) / 255 * 256)[:, 0], grey)
    assert (real.levels, real.describe()["dequantisation"]) == (256, "uniform, 256 levels (seed 0)")
    binary = ready(tmp_path / "a.npy", support="binary")
    assert set(np.unique(everything(binary))) == {0, 255}
    assert binary.levels == 2
    passes = 4_000
    served = sum(x.sum(0) for _ in range(passes) for x, _ in binary.train_dataloader()) / (passes * len(binary.train))
    assert_close(served, binary.mean(), rtol=0, atol=5 * 0.5 / (passes * len(binary.train)) ** 0.5)


def test_training_pixels_are_drawn_afresh_and_scored_ones_once(tmp_path):
    data = ready(save_all(tmp_path, colours(9, 5, 7)), support="real", batch_size=9)
    (first, _), (second, _) = next(iter(data.train_dataloader())), next(iter(data.train_dataloader()))
    assert not torch.equal(first.sort(0).values, second.sort(0).values)
    again = ready(tmp_path, support="real")
    for split in SPLITS:
        assert torch.equal(data.examples(split)[0], again.examples(split)[0])
        assert not torch.equal(data.examples(split)[0], ready(tmp_path, support="real", seed=1).examples(split)[0])
    once = ready(tmp_path, support="real", resample=False, batch_size=9)
    (first, _), (second, _) = next(iter(once.train_dataloader())), next(iter(once.train_dataloader()))
    assert torch.equal(first.sort(0).values, second.sort(0).values)


def test_floats_from_0_to_1_are_finished_pixels(tmp_path):
    pixels = np.random.default_rng(0).random((9, 5, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", pixels)
    data = ready(tmp_path / "a.npy", support="real")
    np.testing.assert_allclose(everything(data)[:, 0] / 255, pixels, atol=1e-6)
    assert (data.levels, data.redraw, data.describe()["dequantisation"]) == (None, None, "none")
    assert_close(data.mean(), data.train.mean(0))


@pytest.mark.parametrize("support", ["real", "unit_interval"])
@pytest.mark.parametrize("wrong", [1.5, -0.25, 200.0])
def test_other_floats_are_refused_with_a_cure(tmp_path, wrong, support):
    pixels = np.zeros((9, 5, 7), np.float32)
    pixels[4, 1, 2] = wrong
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(
        ValueError,
        match=rf"pictures that are floats must be from 0 to 1, but .* holds {wrong:g}.* in row 4, number 9 .*; save "
        r"the pictures as whole numbers from 0 to 255 \(uint8\), or use data=array",
    ):
        ready(tmp_path / "a.npy", support=support)


def test_floats_in_steps_of_a_255th_are_grey_levels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (13, 6, 4), np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    np.save(tmp_path / "steps.npy", (grey / 255).astype(np.float32))
    whole, steps = (ready(tmp_path / name, support="levels") for name in ("grey.npy", "steps.npy"))
    assert_close(everything(whole), everything(steps), rtol=0, atol=0)
    assert {256} == {whole.levels, steps.levels}
    assert whole.describe()["measure"] == "mass"
    np.save(tmp_path / "between.npy", grey / 255 + 0.001)
    with pytest.raises(ValueError, match=r"must be grey levels k/255 .*between\.npy holds .* in row 0, .*uint8"):
        ready(tmp_path / "between.npy", support="levels")


@pytest.mark.parametrize("support", ["count", "category", "mixed"])
def test_a_likelihood_of_other_data_than_pixels_is_refused(tmp_path, support):
    with pytest.raises(ValueError, match=rf"\({support} data\), but these data are images; use "):
        Images(tmp_path, support=support)


def test_floats_between_0_and_1_are_not_binary(tmp_path):
    np.save(tmp_path / "a.npy", np.full((9, 5, 7), 0.5))
    with pytest.raises(ValueError, match=r"only 0 and 1 \(binary data\), .*uint8\), which are binarised, or use model"):
        ready(tmp_path / "a.npy", support="binary")


@pytest.mark.parametrize(
    ("pixels", "doubt"),
    [
        (random_images(9, 5, 7).numpy() / 255, "the floats are steps of 1/255"),
        (colours(1, 32, 30)[0], "each is only 3 pixels wide; if the file holds a single picture in RGB, use"),
        (random_images(9, 5, 7).numpy() // 16, "the brightest pixel is 15 of 255, so the pictures are nearly black"),
    ],
)
def test_a_warning_names_what_looks_wrong(tmp_path, pixels, doubt, caplog):
    np.save(tmp_path / "a.npy", pixels)
    data = ready(tmp_path / "a.npy", support="real")
    assert doubt in data.read_report
    assert [record.levelname for record in caplog.records] == ["WARNING"]


NAMES = ["cat/a.png", "dog/b.png", "cat/c.png", "dog/young/d.png", "cat/e.png", "eel/f.png", "eel/g.png"]


def coded(names):
    """A picture for each name, in one colour that depends on its class."""
    return [np.full((5, 7, 3), [40 * ("cde".index(name[0]) + 1), 9, 77], np.uint8) for name in names]


def test_sub_folders_are_labels(tmp_path):
    data = ready(save_all(tmp_path, coded(NAMES), NAMES), condition="label", seed=3)
    assert data.label_names == data.condition_names == ("cat", "dog", "eel")
    for split in SPLITS:
        name, codes = data.labels(split)
        assert name == "label"
        assert_close(data.examples(split)[0][:, 0, 0, 0] * 255, 40.0 * (codes + 1))
        assert_close(data.conditions[split], torch.eye(3)[codes])
    assert "; labels: cat, dog, eel" in data.read_report


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path):
    names = [f"{label}/{index}.png" for index, label in enumerate([10, 9, 2, 10, 9, 2, 2])]
    assert ready(save_all(tmp_path, colours(7, 3, 4), names)).label_names == ("2", "9", "10")


def test_folders_named_after_splits_hold_the_classes(tmp_path, caplog):
    names = [f"{split}/{name}" for split, name in zip(["train", "test"] * 4, NAMES, strict=False)]
    data = ready(save_all(tmp_path, coded(NAMES), names))
    assert data.label_names == ("cat", "dog", "eel")
    assert "the pictures in test and train are split again, at random" in data.read_report


@pytest.mark.parametrize("names", [["a.png", *NAMES[1:]], [f"only/{index}.png" for index in range(7)], None])
def test_pictures_without_classes_have_no_labels(tmp_path, names):
    save_all(tmp_path, coded(NAMES), names)
    data = ready(tmp_path)
    assert data.labels("val") is data.label_names is None
    with pytest.raises(ValueError, match=r"condition=label needs a label for each image, but .* sub-folder of its own"):
        ready(tmp_path, condition="label")


def test_a_broken_file_is_named_or_left_out(tmp_path, caplog):
    save_all(tmp_path, coded(NAMES), NAMES)
    whole = (tmp_path / "dog/b.png").read_bytes()
    (tmp_path / "cat/broken.png").write_bytes(whole[:40])
    (tmp_path / "dog/empty.jpg").touch()
    with pytest.raises(
        ValueError, match=r"cat/broken\.png cannot be read as an image .*; .* or set data\.missing=drop"
    ):
        ready(tmp_path)
    data = ready(tmp_path, missing="drop")
    assert "left out 2 files that cannot be read as an image (cat/broken.png, dog/empty.jpg)" in data.read_report
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    codes = data.labels("train")[1]
    assert_close(data.examples("train")[0][:, 0, 0, 0] * 255, 40.0 * (codes + 1))


@pytest.mark.parametrize(("kind", "needed"), [("folder", 6), ("uint8", 6), ("float32", 8)])
def test_pictures_that_exceed_the_memory_are_refused_before_they_are_read(kind, needed, tmp_path, monkeypatch):
    pictures = colours(9, 20, 20)
    if kind == "folder":
        path = save_all(tmp_path / "files", pictures)
    else:
        path = tmp_path / "a.npy"
        np.save(path, pictures if kind == "uint8" else (pictures / 256).astype(kind))
    total = needed * pictures.size
    monkeypatch.setattr("vaelab.data.images.memory", lambda: total + 200)  # .npy has a header
    ready(path)
    monkeypatch.setattr("vaelab.data.images.memory", lambda: total / 4)
    match = r"the pictures must fit into the memory, but .* holds 9 of 3x20x20 numbers, .*; set data\.size=7, or use"
    with pytest.raises(ValueError, match=match):
        ready(path)
    monkeypatch.setattr("vaelab.data.images.memory", lambda: total / 4 + 200)
    assert ready(path, size=7).x_shape == (3, 7, 7)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"path": None}, r"data\.path must name a folder of pictures or a \.npy file .*, but is null"),
        ({"size": 0}, r"data\.size must be a whole number from 1 to 10,000 or null, but is 0"),
        ({"size": "large"}, r"data\.size must be a whole number"),
        ({"channels": 2}, r"data\.channels must be 1 \(grey\), 3 \(RGB\) or null, but is 2"),
        ({"layout": "last"}, r"data\.layout must be one of channels_first, channels_last, but is last"),
        ({"missing": "skip"}, r"data\.missing must be one of refuse, drop"),
        ({"background": 300}, r"data\.background must be white, black or a grey"),
        ({"val_size": 0}, r"data\.val_size must be a whole number of images, at least 1, or a fraction"),
        ({"test_size": 5}, r"data\.val_size=2 and data\.test_size=5 must leave images .* holds 7 images"),
        ({"condition": "class"}, "condition must be null or label"),
    ],
)
def test_wrong_values_are_named(tmp_path, options, answer):
    save_all(tmp_path, colours(7, 3, 4))
    with pytest.raises(ValueError, match=answer):
        ready(**{"path": tmp_path, **options})


@pytest.mark.parametrize("support", ["real", "unit_interval", "binary"])
def test_another_file_is_read_in_the_size_and_colours_of_training(tmp_path, support):
    """What a command does with DATA."""
    from vaelab.data import open_rows

    pictures = colours(9, 40, 30)
    data = ready(save_all(tmp_path / "a", pictures), size=10, support=support)
    expected = everything(ready(save_all(tmp_path / "b", pictures), size=10))
    save_all(tmp_path / "grey", random_images(2, 33, 21).numpy())
    np.save(tmp_path / "c.npy", pictures)
    np.save(tmp_path / "d.npy", pictures.transpose(0, 3, 1, 2))
    for name in ("b", "c.npy", "d.npy", "grey"):
        loaded = Images(tmp_path / "gone", support=support)  # as `load_run` makes it, without its pictures
        rows = open_rows(tmp_path / name, reading=loaded.reading_for(data.x_shape))
        x = torch.cat([loaded.prepare(chunk, data.x_shape) for chunk in rows.chunks])
        assert x.shape[1:] == data.x_shape
        if name != "grey" and support == "real":
            np.testing.assert_array_equal(np.floor(x.numpy() * 256), expected.round())
        elif name != "grey" and support == "unit_interval":
            np.testing.assert_allclose(x.numpy() * 255, expected, atol=1e-4)
        else:
            assert bool(((x >= 0) & (x <= 1)).all())


def test_a_description_tells_what_affects_the_numbers(tmp_path):
    save_all(tmp_path, colours(9, 5, 7))
    data = ready(tmp_path, support="real")
    found = data.describe()
    assert found["per"] == "image of 5x7 pixels in RGB"
    assert re.fullmatch(r"9 images \(CRC-32 [0-9a-f]{8}\)", found["data"])
    assert found["splits"] == "2 images to validate and 3 to test, drawn by seed 0"
    assert found["measure"] == "density"
    assert Images(tmp_path).describe()["data"] == f"images in {tmp_path.name}"
    assert ready(tmp_path, support="real", size=4).describe()["data"] != found["data"]
