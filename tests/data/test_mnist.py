"""MNIST: the right splits, pixels on each support, and randomness only in the right places."""

import gzip
import hashlib
import math
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from helpers.idx_files import (
    TEST,
    TEST_LABELS,
    TRAIN,
    TRAIN_LABELS,
    coded_images,
    random_images,
    write_idx_images,
    write_small_mnist,
)
from vaelab.data import MNIST
from vaelab.data.download import MNIST as PUBLISHED
from vaelab.data.idx_folder import find
from vaelab.data.idx_format import read_images

CANONICAL = Path(__file__).parents[2].parent / "shared/data/mnist"
SUPPORTS = ("binary", "unit_interval", "real")
EACH_SUPPORT = pytest.mark.parametrize("support", SUPPORTS)
RANDOM_SUPPORT = pytest.mark.parametrize("support", ["binary", "real"])
SPLITS = ("train", "val", "test")


def ready(root: Path, **options) -> MNIST:
    """A data module over 30 training images, 7 of them for validation, and 11 test images, unless told otherwise."""
    data = MNIST(str(root), **{"val_size": 7, "batch_size": 5, "eval_batch_size": 4, **options})
    data.prepare_data()
    data.setup()
    return data


def batches_of(data: MNIST, split: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(getattr(data, f"{split}_dataloader")())


def one_pass(data: MNIST, split: str) -> torch.Tensor:
    """All x of a pass, in the order in which they were served."""
    return torch.cat([x for x, _ in batches_of(data, split)])


def in_any_order(images: torch.Tensor) -> torch.Tensor:
    """The same images, sorted, so shuffled passes can be compared."""
    return torch.tensor(sorted(images.flatten(1).tolist()), dtype=images.dtype)


def grey_of(images: torch.Tensor, support: str) -> torch.Tensor:
    """The grey value that a pixel came from. A binary pixel only tells black from white."""
    scale = 256 if support == "real" else 255
    return (images.double() * scale).add(0 if support == "real" else 0.5).floor()


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("val_size", [1, 7, 29])
def test_the_last_training_images_are_the_validation_split(tmp_path, gz, val_size):
    train, test = write_small_mnist(tmp_path, train=30, test=11, gz=gz)
    data = ready(tmp_path, val_size=val_size, support="unit_interval")
    assert_close(in_any_order(one_pass(data, "train")), in_any_order(train[:-val_size] / 255), rtol=0, atol=0)
    assert_close(one_pass(data, "val").squeeze(1), train[-val_size:] / 255, rtol=0, atol=0)
    assert_close(one_pass(data, "test").squeeze(1), test / 255, rtol=0, atol=0)


@EACH_SUPPORT
@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (28, 28), (3, 1)])
@pytest.mark.parametrize(("split", "sizes"), [("train", [5, 5, 5, 5, 3]), ("val", [4, 3]), ("test", [4, 4, 3])])
def test_batches_have_the_shapes_that_the_module_promises(tmp_path, support, rows, columns, split, sizes):
    write_small_mnist(tmp_path, rows=rows, columns=columns)
    data = ready(tmp_path, support=support)
    assert data.x_shape == data.target_shape == (1, rows, columns)
    batches = batches_of(data, split)
    assert [tuple(x.shape) for x, _ in batches] == [(size, 1, rows, columns) for size in sizes]
    assert {x.dtype for x, _ in batches} == {torch.float32}


@EACH_SUPPORT
@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_images_reconstruct_themselves(tmp_path, support, resample, split):
    write_small_mnist(tmp_path)
    batches = batches_of(ready(tmp_path, support=support, resample=resample), split)
    assert batches
    assert all(target is x for x, target in batches)


@EACH_SUPPORT
@pytest.mark.parametrize("resample", [True, False])
def test_every_training_image_is_served_once_per_pass(tmp_path, support, resample):
    images = coded_images(30, 5, 7)
    write_idx_images(tmp_path / TRAIN, images)
    write_idx_images(tmp_path / TEST, images[:11])
    data = ready(tmp_path, support=support, resample=resample)
    for _ in range(3):
        served = grey_of(one_pass(data, "train"), support)
        assert_close(in_any_order(served), in_any_order(images[:23].double()), rtol=0, atol=0)


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_binary_pixels_are_zero_or_one(tmp_path, resample, split):
    write_small_mnist(tmp_path)
    data = ready(tmp_path, support="binary", resample=resample)
    assert one_pass(data, split).unique().tolist() == [0, 1]


def test_black_and_white_are_binary_already(tmp_path):
    images = coded_images(30, 5, 7)
    write_idx_images(tmp_path / TRAIN, images)
    write_idx_images(tmp_path / TEST, images[:11])
    data = ready(tmp_path, support="binary")
    assert_close(one_pass(data, "val").squeeze(1), images[-7:] / 255, rtol=0, atol=0)
    assert_close(one_pass(data, "test").squeeze(1), images[:11] / 255, rtol=0, atol=0)


@pytest.mark.parametrize("split", ["val", "test"])
def test_real_pixels_lie_in_the_cell_of_their_grey(tmp_path, split):
    train, test = write_small_mnist(tmp_path, train=41, test=23)
    pixels = one_pass(ready(tmp_path, val_size=19, support="real"), split).squeeze(1)
    assert pixels.min() >= 0
    assert pixels.max() < 1
    assert_close((256 * pixels).floor(), (train[-19:] if split == "val" else test).float(), rtol=0, atol=0)


@pytest.mark.parametrize("grey", [255, 128, 1])
def test_no_real_pixel_is_rounded_into_the_next_cell(tmp_path, grey):
    images = torch.full((512, 64, 64), grey, dtype=torch.uint8)  # two million pixels: enough to meet float32's edge
    write_idx_images(tmp_path / TRAIN, images[:2])
    write_idx_images(tmp_path / TEST, images)
    pixels = ready(tmp_path, val_size=1, support="real").test
    strays = int(((256 * pixels).floor() != grey).sum())
    assert strays == 0


@RANDOM_SUPPORT
def test_training_pixels_are_drawn_afresh_in_every_pass(tmp_path, support):
    write_small_mnist(tmp_path)
    data = ready(tmp_path, support=support)
    first, second = (in_any_order(one_pass(data, "train")) for _ in range(2))
    assert not torch.equal(first, second)


@RANDOM_SUPPORT
def test_training_pixels_average_to_their_grey(tmp_path, support):
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)  # every grey once
    copies, passes = 50, 40
    write_idx_images(tmp_path / TRAIN, image.repeat(copies + 1, 1, 1))
    write_idx_images(tmp_path / TEST, image)
    data = ready(tmp_path, val_size=1, batch_size=17, support=support)
    torch.manual_seed(5)
    draws = torch.stack([one_pass(data, "train") for _ in range(passes)])  # (passes, copies, 1, 16, 16)
    mean = draws.double().mean((0, 1)).flatten()
    grey = torch.arange(256.0).double()
    if support == "binary":
        expected = grey / 255
        standard_error = (expected * (1 - expected) / (passes * copies)).sqrt()
    else:
        expected = (grey + 0.5) / 256
        standard_error = torch.full((256,), 1 / 256 / math.sqrt(12 * passes * copies)).double()
    deviation = (mean - expected).abs()
    assert (deviation <= 4.5 * standard_error + 1e-9).all()
    random = standard_error > 0
    assert 0.6 < (deviation[random] / standard_error[random]).square().mean() < 1.5  # as independent draws scatter


@EACH_SUPPORT
def test_the_mean_is_what_training_pixels_average_to(tmp_path, support):
    write_small_mnist(tmp_path, train=30, test=11, rows=3, columns=4)
    data = ready(tmp_path, support=support, resample=True)
    assert data.mean().shape == data.target_shape
    passes = torch.stack([one_pass(data, "train") for _ in range(200)])  # (200, 23, 1, 3, 4)
    error = 0.5 / math.sqrt(200 * 23) if support == "binary" else 2e-3
    assert_close(data.mean(), passes.mean((0, 1)), rtol=0, atol=4 * error)


@RANDOM_SUPPORT
def test_training_pixels_stay_without_resampling(tmp_path, support):
    write_small_mnist(tmp_path)
    passes = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        data = ready(tmp_path, support=support, resample=False, seed=6)
        passes += [in_any_order(one_pass(data, "train")) for _ in range(2)]
    for later in passes[1:]:
        assert_close(later, passes[0], rtol=0, atol=0)
    other = ready(tmp_path, support=support, resample=False, seed=7)
    assert not torch.equal(in_any_order(one_pass(other, "train")), passes[0])


@EACH_SUPPORT
@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_and_test_pixels_are_drawn_once_from_the_data_seed(tmp_path, support, split):
    write_small_mnist(tmp_path)
    torch.manual_seed(1)
    first = ready(tmp_path, support=support, seed=6)
    before = one_pass(first, split)
    one_pass(first, "train")
    assert_close(one_pass(first, split), before, rtol=0, atol=0)
    torch.manual_seed(2)
    assert_close(one_pass(ready(tmp_path, support=support, seed=6), split), before, rtol=0, atol=0)
    other = one_pass(ready(tmp_path, support=support, seed=7), split)
    assert torch.equal(other, before) == (support == "unit_interval")  # grey is no draw


@RANDOM_SUPPORT
@pytest.mark.parametrize("changed", [{"val_size": 13}, {"batch_size": 3}, {"eval_batch_size": 2}, {"resample": False}])
def test_test_pixels_depend_on_no_other_option(tmp_path, support, changed):
    write_small_mnist(tmp_path)
    before = one_pass(ready(tmp_path, support=support), "test")
    assert_close(one_pass(ready(tmp_path, support=support, **changed), "test"), before, rtol=0, atol=0)


@RANDOM_SUPPORT
def test_a_second_setup_reads_nothing_and_changes_nothing(tmp_path, support):
    write_small_mnist(tmp_path)
    data = ready(tmp_path, support=support, resample=False)
    before = [in_any_order(one_pass(data, split)) for split in SPLITS]
    for name in (TRAIN, TEST):
        (tmp_path / name).unlink()
    data.setup("test")
    assert_close([in_any_order(one_pass(data, split)) for split in SPLITS], before, rtol=0, atol=0)


@EACH_SUPPORT
@pytest.mark.parametrize("resample", [True, False])
def test_setup_and_scoring_leave_the_global_generator_alone(tmp_path, support, resample):
    write_small_mnist(tmp_path)
    state = torch.get_rng_state()
    data = ready(tmp_path, support=support, resample=resample)
    for split in ("val", "test"):
        batches_of(data, split)
    assert torch.equal(torch.get_rng_state(), state)


@EACH_SUPPORT
def test_training_follows_the_global_seed(tmp_path, support):
    write_small_mnist(tmp_path)
    data = ready(tmp_path, support=support)
    passes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        passes.append(one_pass(data, "train"))
    assert_close(passes[0], passes[1], rtol=0, atol=0)
    assert not torch.equal(passes[0], passes[2])


def test_another_global_seed_changes_the_training_order(tmp_path):
    write_small_mnist(tmp_path)
    data = ready(tmp_path, support="unit_interval")
    torch.manual_seed(1)
    first = one_pass(data, "train")
    torch.manual_seed(2)
    second = one_pass(data, "train")
    assert not torch.equal(first, second)
    assert_close(in_any_order(first), in_any_order(second), rtol=0, atol=0)


@pytest.mark.parametrize("val_size", [30, 31, 10_000])
def test_a_validation_split_that_leaves_nothing_to_train_on_is_refused(tmp_path, val_size):
    write_small_mnist(tmp_path, train=30)
    data = MNIST(str(tmp_path), val_size=val_size)
    with pytest.raises(ValueError, match=rf"smaller than .*, 30 in .*{TRAIN}, but is {val_size}; use a smaller one\Z"):
        data.setup()


@pytest.mark.parametrize("support", ["grey", "", "Binary", None])
def test_an_unknown_support_is_refused(support):
    with pytest.raises(ValueError, match=rf"must be one of binary, unit_interval, levels, real, but is {support}\Z"):
        MNIST(support=support)


@pytest.mark.parametrize("key", ["val_size", "batch_size", "eval_batch_size"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True, "10"])
def test_a_size_that_is_no_positive_whole_number_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"\A.*data\.{key} must be .*at least 1, but is {re.escape(repr(value))}\Z"):
        MNIST(**{key: value})


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match=rf"\A.*data\.seed must be .*at least 0, but is {seed!r}\Z"):
        MNIST(seed=seed)


@pytest.mark.parametrize("test_size", [(7, 5), (5, 8), (35, 1)])
def test_training_and_test_images_of_unlike_sizes_are_refused(tmp_path, test_size):
    write_idx_images(tmp_path / TRAIN, random_images(30, 5, 7))
    write_idx_images(tmp_path / TEST, random_images(11, *test_size))
    with pytest.raises(ValueError, match=r"\A.*data\.root=.*\(5, 7\).*\({}, {}\).*\Z".format(*test_size)):
        ready(tmp_path)


@pytest.mark.parametrize("missing", [TRAIN, TEST])
def test_a_folder_without_one_of_the_files_is_refused(tmp_path, missing):
    write_small_mnist(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"\A.*data\.root=.*{missing}.*\Z"):
        ready(tmp_path)


@pytest.mark.parametrize("kind", ["nothing", "file"])
def test_a_root_that_is_no_folder_is_refused_before_anything_is_fetched(tmp_path, kind):
    root = tmp_path / "set"
    if kind == "file":
        root.touch()
    with pytest.raises(FileNotFoundError, match=r"\Adata\.root must be .*set is not a folder.*\Z"):
        MNIST(str(root)).prepare_data()


@pytest.mark.parametrize("damaged", [TRAIN, TEST])
def test_a_damaged_file_is_named(tmp_path, damaged):
    write_small_mnist(tmp_path)
    (tmp_path / damaged).write_bytes((tmp_path / damaged).read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"\A.*{damaged}.*\Z"):
        ready(tmp_path)


def test_the_canonical_files_are_those_of_the_hash_table(tmp_path):
    """Reads MNIST beside the repository if it is there, or else a small data set with the same names."""
    root, n_train, n_test, size, val_size = CANONICAL, 60_000, 10_000, (28, 28), 10_000
    if all((CANONICAL / name).is_file() for name in PUBLISHED.files):
        for name, hashes in PUBLISHED.files.items():
            content = (CANONICAL / name).read_bytes()
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == hashes.packed
            assert hashlib.sha256(gzip.decompress(content)).hexdigest() == hashes.content
    else:
        root, n_train, n_test, size, val_size = tmp_path, 30, 11, (5, 7), 7
        write_small_mnist(root, n_train, n_test, *size, gz=True)
    assert set(PUBLISHED.files) == {f"{name}.gz" for name in (TRAIN, TEST, TRAIN_LABELS, TEST_LABELS)}
    assert read_images(find(root, TRAIN)).shape == (n_train, *size)
    assert read_images(find(root, TEST)).shape == (n_test, *size)
    data = MNIST(str(root), val_size=val_size)
    data.setup()
    assert [len(getattr(data, split)) for split in SPLITS] == [n_train - val_size, val_size, n_test]
    assert data.x_shape == (1, *size)


def test_the_pixels_that_are_served_in_training_have_the_mean_of_the_grey_ones(small_mnist):
    data = MNIST(small_mnist, val_size=13, batch_size=47)
    data.setup()
    passes = 2_000
    served = sum(x.sum(0) for _ in range(passes) for x, _ in data.train_dataloader()) / (47 * passes)
    assert torch.allclose(served, data.mean(), atol=5 * 0.5 / (47 * passes) ** 0.5)
