"""Array: every row is in one split, unchanged, or there is an error in one sentence."""

import math
import zlib

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers.idx_files import random_images, write_idx_images
from vaelab.data import Array

SPLITS = ("train", "val", "test")
ROWS = torch.arange(23 * 4, dtype=torch.float32).view(23, 4) / 7


def written(folder, rows=ROWS, name="rows.npy"):
    np.save(folder / name, rows.numpy() if isinstance(rows, torch.Tensor) else rows)
    return folder / name


def ready(path, **options) -> Array:
    data = Array(str(path), **{"val_size": 5, "test_size": 3, **options})
    data.prepare_data()
    data.setup()
    return data


def served(data, split):
    return torch.cat([x for x, _ in data.batches(split)])


def everything(data):
    return torch.cat([served(data, split) for split in SPLITS])


@pytest.mark.parametrize("seed", [0, 4])
@pytest.mark.parametrize("sizes", [(5, 3), (0.3, 0.1), (1, 0.5), (21, 1)])
def test_every_row_falls_into_one_split(tmp_path, sizes, seed):
    data = ready(written(tmp_path), val_size=sizes[0], test_size=sizes[1], seed=seed)
    rows = everything(data)
    assert_close(rows[rows[:, 0].argsort()], ROWS, rtol=0, atol=0)
    counts = [size if isinstance(size, int) else round(size * 23) for size in sizes]
    assert [len(served(data, split)) for split in SPLITS] == [23 - sum(counts), *counts]


def test_a_small_fraction_is_at_least_one_row(tmp_path):
    data = ready(written(tmp_path), val_size=0.001, test_size=0.001)
    assert [len(data.val), len(data.test)] == [1, 1]


def test_the_splits_depend_on_the_seed_alone(tmp_path):
    path = written(tmp_path)
    torch.manual_seed(1)
    first = everything(ready(path, seed=3))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert_close(everything(ready(path, seed=3, batch_size=7)), first, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(everything(ready(path, seed=4)), first)


def test_rows_reconstruct_themselves(tmp_path):
    data = ready(written(tmp_path), batch_size=6, eval_batch_size=2)
    for loader, sizes in [
        (data.train_dataloader(), [6, 6, 3]),
        (data.val_dataloader(), [2, 2, 1]),
        (data.test_dataloader(), [2, 1]),
    ]:
        batches = list(loader)
        assert [len(x) for x, _ in batches] == sizes
        assert all(target is x for x, target in batches)


@pytest.mark.parametrize("shape", [(23,), (23, 1), (23, 2, 3), (23, 1, 2, 2)])
def test_the_shape_is_that_of_a_row(tmp_path, shape):
    data = ready(written(tmp_path, np.zeros(shape)))
    assert data.x_shape == data.target_shape == (shape[1:] or (1,))
    assert served(data, "test").shape == (3, *data.x_shape)
    assert served(data, "test").dtype == torch.float32


def test_a_second_setup_reads_nothing(tmp_path):
    path = written(tmp_path)
    data = ready(path)
    before = everything(data)
    path.unlink()
    data.setup("test")
    assert_close(everything(data), before, rtol=0, atol=0)


def test_numbers_are_not_scaled(tmp_path):
    images = random_images(9, 3, 2)
    data = ready(write_idx_images(tmp_path / "images", images), val_size=1, test_size=1)
    assert sorted(everything(data).flatten(1).tolist()) == sorted(images.flatten(1).float().tolist())


@pytest.mark.parametrize("support", ["levels", "mixed"])
def test_a_likelihood_of_other_data_is_refused(support):
    with pytest.raises(ValueError, match=rf"\({support} data\), but these data are rows of numbers; use "):
        Array("rows.npy", support=support)


@pytest.mark.parametrize(
    ("support", "levels"),
    [("binary", 2), ("unit_interval", None), ("count", None), ("category", None), ("real", None)],
)
def test_binary_data_fit_every_support(tmp_path, support, levels):
    data = ready(written(tmp_path, ROWS.round() % 2), support=support)
    assert data.support == support
    assert data.levels == levels


@pytest.mark.parametrize(
    ("support", "bad"),
    [
        *[("binary", 0.5), ("binary", 3), ("binary", 0.9999999), ("unit_interval", 1.5), ("unit_interval", -0.1)],
        *[("count", 0.5), ("count", -2), ("category", 1.5), ("category", -1)],
    ],
)
def test_a_number_outside_the_support_is_named(tmp_path, support, bad):
    rows = torch.zeros(23, 4)
    rows[17, 2] = bad
    path = written(tmp_path, rows)
    with pytest.raises(
        ValueError, match=rf"\A.*{support} data.*rows\.npy holds {bad} in row 17, number 2 .*model=gaussian.*\Z"
    ):
        ready(path, support=support)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (math.nan, "holds none in row 17, number 2 .*data.missing=drop"),
        (math.inf, "holds inf in row 17, number 2 "),
        (-math.inf, "holds -inf in row 17, number 2 "),
        (1e300, r"finite and fit into float32 .* holds 1e\+300 in row 17, number 2 "),
    ],
)
def test_an_error_names_a_number_that_is_not_finite(tmp_path, bad, said):
    rows = ROWS.double()
    rows[17, 2] = bad
    with pytest.raises(ValueError, match=rf"\A.*{said}.*\Z"):
        ready(written(tmp_path, rows))


@pytest.mark.parametrize("sizes", [(20, 3), (0.5, 0.5), (23, 1), (0.9, 0.2), (10_000, 1)])
def test_sizes_that_leave_nothing_to_train_on_are_refused(tmp_path, sizes):
    with pytest.raises(ValueError, match=r"\A.*data\.val_size=.*data\.test_size=.*rows\.npy holds 23 rows.*\Z"):
        ready(written(tmp_path), val_size=sizes[0], test_size=sizes[1])


def test_a_single_row_cannot_be_split(tmp_path):
    with pytest.raises(ValueError, match=r"\A.*holds 1 row; .*\Z"):
        ready(written(tmp_path, ROWS[:1]), val_size=0.1, test_size=0.1)


@pytest.mark.parametrize("key", ["val_size", "test_size"])
@pytest.mark.parametrize("value", [0, -1, 1.0, 0.0, 1.5, True, "5", None, math.nan])
def test_a_size_that_is_neither_number_nor_fraction_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"\A.*data\.{key} must be .*fraction between 0 and 1, but is {value!r}\Z"):
        Array("rows.npy", **{key: value})


@pytest.mark.parametrize(("path", "shown"), [(None, "null"), ("", "''"), (3, "3")])
def test_a_missing_path_is_asked_for(path, shown):
    with pytest.raises(ValueError, match=rf"\A.*data\.path must name a file.* but is {shown}; set it to \.npy.*\Z"):
        Array(path)


def test_an_unknown_support_is_refused():
    with pytest.raises(ValueError, match=r"data\.support must be one of .*, but is grey"):
        Array("rows.npy", support="grey")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npy does not exist"):
        ready(tmp_path / "nowhere.npy")


def test_the_description_tells_data_apart_by_their_numbers(tmp_path):
    data = Array(written(tmp_path))
    assert data.describe()["data"] == "rows.npy"
    data.setup()
    crc = zlib.crc32(np.load(written(tmp_path)).astype(np.float32).tobytes())
    assert data.describe() == {
        "measure": "density",
        "per": "row of 4 numbers",
        "data": f"23x4 numbers (CRC-32 {crc:08x})",
        "splits": "2 rows to validate and 2 to test, drawn by seed 0",
        "binarisation": "none",
        "dequantisation": "none",
        "val_checksum": f"{zlib.crc32(data.val.numpy().tobytes()):08x}",
        "test_checksum": f"{zlib.crc32(data.test.numpy().tobytes()):08x}",
    }
    assert Array("rows.npy", support="binary").describe()["measure"] == "mass"
