"""What every data module offers: fixed batches, prepared rows, names, labels and a description."""

import math
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers.idx_files import (
    TEST,
    TEST_LABELS,
    TRAIN,
    TRAIN_LABELS,
    random_images,
    write_idx_images,
    write_idx_labels,
    write_small_mnist,
)
from vaelab.data import MNIST, Array, DataModule, Sine
from vaelab.data.idx_format import read_labels
from vaelab.data.row_checks import at_index

SPLITS = ("train", "val", "test")
EACH_SPLIT = pytest.mark.parametrize("split", SPLITS)
EACH_SUPPORT = pytest.mark.parametrize("support", ["binary", "unit_interval", "real"])
NUMBERS = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])


def after(rows):
    """Places in a chunk that follows this many rows."""
    return lambda row, number: at_index(rows + row, number)


class Own(DataModule):
    """A user's own data, with only shapes and splits."""

    def setup(self, stage=None):
        self.x_shape, self.target_shape = (3,), (2,)
        self.train, self.val, self.test = ((torch.rand(n, 3), torch.rand(n, 2)) for n in (7, 5, 3))


def mnist(root, **options) -> MNIST:
    data = MNIST(str(root), **{"val_size": 7, "batch_size": 5, "eval_batch_size": 4, **options})
    data.setup()
    return data


def sine(**options) -> Sine:
    data = Sine(**{"train_size": 23, "val_size": 11, "test_size": 7, "batch_size": 5, "eval_batch_size": 4, **options})
    data.setup()
    return data


def one_pass(data, split, batch_size=None):
    return torch.cat([x for x, _ in data.batches(split, batch_size)])


def small_mnist(folder, **options):
    write_small_mnist(folder, train=30, test=11)
    return mnist(folder, **options)


# batches


def test_a_module_of_ones_own_needs_no_more_than_splits():
    data = Own()
    data.setup()
    assert [len(x) for x, _ in data.train_dataloader()] == [7]
    assert [tuple(t.shape) for _, t in data.batches("val", 3)] == [(3, 2), (2, 2)]
    assert (data.entropy(), data.log_prob(NUMBERS), data.labels("val"), data.names, data.x_names) == (None,) * 5
    assert (data.levels, data.surface(4)) == (None, None)
    assert data.describe()["per"] == "row of 3 numbers"
    assert_close(data.prepare(NUMBERS, (3,)), NUMBERS)


@EACH_SPLIT
@pytest.mark.parametrize("kind", ["sine", "mnist"])
def test_batches_keep_their_order_and_content(tmp_path, kind, split):
    passes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        data = sine(noise_std=0.1) if kind == "sine" else small_mnist(tmp_path)
        state = torch.get_rng_state()
        passes += [one_pass(data, split), one_pass(data, split), one_pass(data, split, 3)]
        assert torch.equal(torch.get_rng_state(), state)
    for later in passes[1:]:
        assert_close(later, passes[0], rtol=0, atol=0)


@EACH_SPLIT
def test_batches_have_the_size_asked_for(split):
    sizes = {"train": 23, "val": 11, "test": 7}
    assert [len(x) for x, _ in sine().batches(split, 6)][:-1] == [6] * (-(-sizes[split] // 6) - 1)
    assert len(next(iter(sine().batches(split)))[0]) == 4


@EACH_SUPPORT
def test_training_batches_for_evaluation_are_those_of_fixed_pixels(tmp_path, support):
    fresh = small_mnist(tmp_path, support=support, seed=3)
    fixed = mnist(tmp_path, support=support, seed=3, resample=False)
    assert_close(one_pass(fresh, "train"), one_pass(fixed, "train"), rtol=0, atol=0)
    other = one_pass(mnist(tmp_path, support=support, seed=4), "train")
    assert torch.equal(other, one_pass(fixed, "train")) == (support == "unit_interval")


def test_without_a_target_of_its_own_the_target_is_x(tmp_path):
    for data in (small_mnist(tmp_path), sine(surface=True)):
        assert all(target is x for split in SPLITS for x, target in data.batches(split))


@pytest.mark.parametrize("method", ["batches", "labels", "examples"])
def test_an_unknown_split_is_refused(method, tmp_path):
    for data in (sine(), small_mnist(tmp_path), Own()):
        with pytest.raises(ValueError, match=r"\Asplit must be one of train, val, test, but is all\Z"):
            getattr(data, method)("all")


def test_a_split_before_setup_is_refused():
    for data in (Sine(), MNIST(), Array("rows.npy")):
        with pytest.raises(ValueError, match=r"\Athe data must be set up .* split=train, .*; call setup\(\) first\Z"):
            data.batches("train")


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_a_batch_size_that_makes_no_sense_is_refused(size):
    with pytest.raises(ValueError, match=r"\Abatch_size must be .* at least 1, but is .*\Z"):
        sine().batches("val", size)


# prepare


@pytest.mark.parametrize("shape", [(6, 35), (6, 5, 7), (6, 1, 5, 7), (6, 5, 7, 1), (6, 35, 1)])
@EACH_SUPPORT
def test_images_of_any_shape_are_prepared(support, shape):
    images = random_images(6, 5, 7)
    x = MNIST(support=support).prepare(images.view(shape), (1, 5, 7), torch.Generator().manual_seed(2))
    assert x.dtype == torch.float32
    assert_close(x, MNIST(support=support)._pixels(images.view(6, 1, 5, 7), torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("shape", [(6, 7, 5), (6, 1, 7, 5), (6, 35, 2)])
def test_images_that_would_be_scrambled_are_refused(shape):
    rows = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"reshaping would scramble them|rows of 70 numbers"):
        MNIST(support="binary").prepare(rows, (1, 5, 7))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@EACH_SUPPORT
def test_grey_is_prepared_as_the_validation_split(tmp_path, support, dtype):
    train, _ = write_small_mnist(tmp_path, train=30)
    data = mnist(tmp_path, support=support, seed=5)
    x = MNIST(support=support).prepare(train[-7:].to(dtype), (1, 5, 7), torch.Generator().manual_seed(3 * 5 + 1))
    assert_close(x, one_pass(data, "val"), rtol=0, atol=0)


def test_an_unsaid_generator_is_the_global_one():
    images = random_images(6, 5, 7)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(MNIST().prepare(images, (1, 5, 7)))
    assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("dtype", [torch.bool, torch.float64, torch.float16, torch.int64])
def test_black_and_white_is_prepared_already(dtype):
    assert_close(MNIST().prepare(NUMBERS.to(dtype), (1, 1, 3)).flatten(1), NUMBERS, rtol=0, atol=0)


@pytest.mark.parametrize(("support", "value"), [("unit_interval", 0.3), ("real", 0.3), ("real", -2.7), ("real", 1.5)])
def test_floats_are_prepared_already(support, value):
    rows = torch.full((2, 3), value)
    assert_close(MNIST(support=support).prepare(rows, (1, 1, 3)).flatten(1), rows, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("support", "value", "words"),
    [
        ("binary", 0.5, r"only 0 and 1.* holds 0\.5 in row 1, .*uint8"),
        ("binary", 255.0, r"only 0 and 1.* holds 255 in row 1, .*uint8"),
        ("unit_interval", 1.5, r"from 0 to 1.* holds 1\.5 in row 1, .*uint8"),
        ("unit_interval", -0.1, r"from 0 to 1.* holds -0\.1 in row 1, .*uint8"),
        ("real", 255.0, r"holds whole numbers up to 255; .*uint8"),
        ("real", math.nan, r"finite .* holds nan in row 1, "),
    ],
)
def test_floats_outside_the_support_are_refused(support, value, words):
    rows = torch.zeros(3, 4)
    rows[1, 2] = value
    with pytest.raises(ValueError, match=words):
        MNIST(support=support).prepare(rows, (1, 2, 2))


@pytest.mark.parametrize("value", [-1, 256, 70_000])
@EACH_SUPPORT
def test_integers_that_are_no_grey_are_refused(support, value):
    rows = torch.zeros(3, 4, dtype=torch.int64)
    rows[1, 2] = value
    with pytest.raises(
        ValueError, match=rf"\Agrey pixels must be .* 0 to 255, but the data holds {value} in row 11, .*\Z"
    ):
        MNIST(support=support).prepare(rows, (1, 2, 2), where=after(10))


@pytest.mark.parametrize(
    ("data", "x_shape", "listed"),
    [
        (Sine(surface=True), (3,), r"3 numbers \(x, y, sin\(x\+y\)\)"),
        (Sine(), (2,), r"2 numbers \(x, y\)"),
        (MNIST(), (1, 28, 28), r"784 numbers \(shape 1x28x28\)"),
        (Array("rows.npy"), (4,), r"4 numbers \(shape 4\)"),
    ],
)
def test_rows_of_another_length_are_refused(data, x_shape, listed):
    for rows in (torch.zeros(7, 5), torch.zeros(7, 5, 1)):
        with pytest.raises(ValueError, match=rf"\Aeach row must have {listed}, but .* rows of 5 numbers; use .*\Z"):
            data.prepare(rows, x_shape)
    with pytest.raises(ValueError, match="rows of 1 number;"):
        data.prepare(torch.zeros(math.prod(x_shape)), x_shape)  # one flat row, not n of them
    with pytest.raises(ValueError, match="complex"):
        data.prepare(torch.zeros(7, *x_shape, dtype=torch.complex64), x_shape)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("data", [Sine(surface=True), Array("rows.npy"), Own()])
def test_an_error_names_a_number_that_is_not_finite(data, bad):
    rows = torch.zeros(9, 3)
    rows[4, 1] = bad
    with pytest.raises(ValueError, match=rf"\Aevery number must be finite .*the data holds {bad} in row 104, .*\Z"):
        data.prepare(rows, (3,), where=after(100))


def test_array_rows_must_lie_in_the_support():
    with pytest.raises(ValueError, match=r"\A.*binary data.*the data holds 2 in row 0, .*trained on\Z"):
        Array("rows.npy", support="binary").prepare(torch.tensor([[2, 1]]), (2,))


def test_integers_become_floats():
    assert Sine().prepare(torch.tensor([[1, 2]]), (2,)).dtype == torch.float32


# labels


def labelled(folder, gz="", counts=(30, 11), **options):
    write_small_mnist(folder, train=30, test=11)
    generator = torch.Generator().manual_seed(9)
    labels = [torch.randint(10, (n,), generator=generator) for n in counts]
    write_idx_labels(folder / f"{TRAIN_LABELS}{gz}", labels[0])
    write_idx_labels(folder / f"{TEST_LABELS}{gz}", labels[1])
    return mnist(folder, **options), labels


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("resample", [True, False])
def test_labels_follow_the_batches(tmp_path, gz, resample):
    data, (train, test) = labelled(tmp_path, gz, resample=resample)
    for split, expected in {"train": train[:-7], "val": train[-7:], "test": test}.items():
        name, labels = data.labels(split)
        assert name == "label"
        assert labels.dtype == torch.int64
        assert_close(labels, expected, rtol=0, atol=0)
        assert len(labels) == len(data.examples(split)[0])


@EACH_SPLIT
def test_without_label_files_there_are_no_labels(tmp_path, split):
    assert small_mnist(tmp_path).labels(split) is None


@pytest.mark.parametrize(("counts", "split"), [((29, 11), "train"), ((29, 11), "val"), ((30, 12), "test")])
def test_labels_of_another_set_are_refused(tmp_path, counts, split):
    data, _ = labelled(tmp_path, counts=counts)
    with pytest.raises(
        ValueError,
        match=r"each of the (30|11) images, but holds (29|12); ",
    ):
        data.labels(split)


def test_a_damaged_label_file_is_refused(tmp_path):
    path = write_idx_labels(tmp_path / "labels", torch.arange(5), declared=2**32 - 1)
    with pytest.raises(ValueError, match=r"\A.*labels declares 4294967295 labels.*only 5.*\Z"):
        read_labels(path)
    path = write_idx_labels(tmp_path / "labels", torch.arange(5), declared=4)
    with pytest.raises(ValueError, match=r"\A.*labels declares 4 labels.*more.*\Z"):
        read_labels(path)
    with pytest.raises(ValueError, match=r"\A.*like all IDX files of labels, but starts with 0x00000803.*\Z"):
        read_labels(write_idx_images(tmp_path / "images", random_images(2, 3, 4)))


@EACH_SPLIT
@pytest.mark.parametrize("surface", [False, True])
def test_the_label_of_a_point_is_its_noise_free_sine(split, surface):
    noisy = sine(noise_std=0.3, surface=surface)
    name, labels = noisy.labels(split)
    assert name == "sin(x+y)"
    assert_close(labels, one_pass(noisy, split)[:, :2].sum(-1).sin(), rtol=0, atol=0)
    assert_close(labels, sine().examples(split)[1].squeeze(-1), rtol=0, atol=0)


# names, surface, levels, description


def test_points_have_names(tmp_path):
    assert (Sine().x_names, Sine().names) == (("x", "y"), ("sin(x+y)",))
    assert Sine(surface=True).x_names == Sine(surface=True).names == ("x", "y", "sin(x+y)")
    assert MNIST().names is Array("rows.npy").names is None


@pytest.mark.parametrize("surface", [False, True])
def test_the_surface_is_the_function_on_its_domain(surface):
    data = Sine(domain=(-1, 2.5), surface=surface, noise_std=0.3)
    x, truth = data.surface(4)
    assert x.shape == (16, *data.x_shape)
    line = torch.tensor([-1, 1 / 6, 4 / 3, 2.5])
    assert_close(truth, (line[:, None] + line).sin())
    assert_close(x[:, 0].view(4, 4), line[:, None].expand(4, 4))
    assert_close(x[:, 1].view(4, 4), line.expand(4, 4))
    if surface:
        assert_close(x[:, 2].view(4, 4), truth, rtol=0, atol=0)


def test_levels_are_those_of_discrete_pixels():
    assert [MNIST(support=s).levels for s in ("binary", "unit_interval", "real")] == [2, None, 256]
    assert Sine().levels is None


@pytest.mark.parametrize(
    ("options", "per", "data"),
    [
        ({}, "number sin(x+y)", "sin(x+y) on [-π, π]², no noise"),
        ({"surface": True, "noise_std": 0.1}, "point (x, y, sin(x+y))", "sin(x+y) on [-π, π]², noise 0.1"),
        ({"domain": (-1, 2.3)}, "number sin(x+y)", "sin(x+y) on [-1, 2.3]², no noise"),
    ],
)
def test_sine_describes_itself(options, per, data):
    described = Sine(**options).describe()
    assert (described["measure"], described["per"], described["data"]) == ("density", per, data)
    assert described["splits"] == "2000 points to validate and 2000 to test, drawn by seed 0"
    other = Sine(**options, seed=4).describe()
    assert {key for key in described if described[key] != other[key]} == {"splits"}


@pytest.mark.parametrize(
    ("options", "measure", "binarisation", "dequantisation"),
    [
        ({}, "mass", "dynamic in training, validation and test drawn once (seed 0)", "none"),
        ({"resample": False, "seed": 3}, "mass", "fixed (seed 3)", "none"),
        ({"support": "unit_interval"}, "density", "none", "none"),
        ({"support": "real"}, "density", "none", "uniform, 256 levels (seed 0)"),
    ],
)
def test_images_describe_themselves(tmp_path, options, measure, binarisation, dequantisation):
    write_small_mnist(tmp_path / "letters", train=30, test=11)
    data = MNIST(tmp_path / "letters", val_size=7, **options)
    before = data.describe((1, 5, 7))
    data.setup()
    after = data.describe()
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"val_checksum", "test_checksum"}
    assert before["per"] == "image of 5x7 pixels"
    assert before["data"].startswith("30 + 11 images in letters (")
    assert (before["measure"], before["binarisation"], before["dequantisation"]) == (
        measure,
        binarisation,
        dequantisation,
    )


def test_equal_images_have_one_description_and_others_another(tmp_path):
    for folder, options in {"a": {}, "b/a": {"gz": True}, "c/a": {"seed": 5}}.items():
        write_small_mnist(tmp_path / folder, **options)
    same, packed, other = (MNIST(tmp_path / folder).describe()["data"] for folder in ("a", "b/a", "c/a"))
    assert same == packed != other


def test_a_description_needs_no_files(tmp_path, monkeypatch):
    assert MNIST(tmp_path / "letters").describe()["data"] == "images in letters"
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache")
    assert MNIST().describe()["data"] == "MNIST"
    assert MNIST().describe()["per"] == "image"


def test_mnist_goes_by_its_name_wherever_it_lies(tmp_path, monkeypatch):
    write_small_mnist(tmp_path / "copy", train=30, test=11)
    data = mnist(tmp_path / "copy")
    monkeypatch.setattr("vaelab.data.mnist.PUBLISHED", (replace(MNIST.published, identity=data._identity),))
    assert data.describe()["data"] == MNIST(tmp_path / "copy").describe()["data"] == "MNIST"
    write_idx_images(tmp_path / "copy" / TRAIN, random_images(29, 5, 7))
    assert MNIST(tmp_path / "copy").describe()["data"] != "MNIST"
    write_idx_images(tmp_path / "copy" / TEST, random_images(11, 5, 7, seed=77))
    assert MNIST(tmp_path / "copy").describe()["data"] != "MNIST"


def test_the_checksum_of_a_split_is_that_of_its_examples(tmp_path):
    data = Own()
    data.setup()
    content = b"".join(part.numpy().tobytes() for part in data.val)
    assert data.checksum("val") == data.describe()["val_checksum"] == f"{zlib.crc32(content):08x}"
    with pytest.raises(ValueError, match=r"split must be one of .*, but is all"):
        data.checksum("all")


@pytest.mark.parametrize("key", ["seed", "val_size", "test_size", "noise_std", "domain", "surface", "train_size"])
def test_sine_data_compare_only_if_the_same_points_are_scored(key):
    options = {"noise_std": 0.1, "val_size": 11, "test_size": 7, "train_size": 13}
    other = {"seed": 1, "val_size": 12, "test_size": 8, "noise_std": 0.2, "domain": (-1, 1), "surface": True}
    first, second = Sine(**options), Sine(**{**options, key: other.get(key, 17)})
    for data in (first, second):
        data.setup()
    assert (first.describe() == second.describe()) == (key == "train_size")


@pytest.mark.parametrize(("options", "same"), [({}, True), ({"seed": 1}, False), ({"val_size": 0.2}, False)])
def test_rows_compare_only_if_the_same_are_scored(tmp_path, options, same):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(23, 2)))
    first, second = Array(tmp_path / "a.npy"), Array(tmp_path / "a.npy", batch_size=7, **options)
    for data in (first, second):
        data.setup()
    assert (first.describe() == second.describe()) == same


@pytest.mark.parametrize("support", ["binary", "unit_interval", "real"])
def test_images_compare_only_if_the_same_pixels_are_scored(tmp_path, support):
    write_small_mnist(tmp_path, train=30, test=11)
    first = mnist(tmp_path, support=support).describe()
    assert first == mnist(tmp_path, support=support, batch_size=3).describe()
    other = mnist(tmp_path, support=support, val_size=6).describe()
    assert {key for key in first if first[key] != other[key]} == {"splits", "val_checksum"}
    drawn = mnist(tmp_path, support=support, seed=1).describe()
    assert (first["test_checksum"] == drawn["test_checksum"]) == (support == "unit_interval")


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "bfloat16",
        "float64",
    ],
)
def test_numbers_of_every_type_become_float32(dtype):
    rows = torch.tensor([[0, 1], [1, 1], [1, 0]]).to(getattr(torch, dtype))
    found = Array("rows.npy").prepare(rows, (2,))
    assert found.dtype == torch.float32
    assert found.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert MNIST().prepare(rows, (1, 1, 2)).flatten(1).tolist() == [[0, 1], [1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("number", "dtype", "said"),
    [
        (2**53, torch.int64, "smaller than 2^53"),
        (-(2**53), torch.int64, "smaller than 2^53"),
        (2**64 - 1, torch.uint64, "smaller than 2^53"),
        (2**53, torch.uint64, "smaller than 2^53"),
        (1e39, torch.float64, "fit into float32"),
    ],
)
def test_numbers_that_float32_would_change_are_refused(number, dtype, said):
    rows = torch.tensor([[1, 1], [number, 1]], dtype=dtype)
    value = "1e+39" if dtype == torch.float64 else str(number)
    for data, shape in ((Array("rows.npy"), (2,)), (MNIST(support="real"), (1, 1, 2))):
        with pytest.raises(
            ValueError, match=rf"must .*{re.escape(said)}.* holds {re.escape(value)} in row 1, number 0"
        ):
            data.prepare(rows, shape)
