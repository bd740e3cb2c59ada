"""Finding IDX files under MNIST's names or others; if there are none, an error lists what is there."""

import re

import pytest
import torch

from helpers.idx_files import TEST, TEST_LABELS, TRAIN, TRAIN_LABELS, random_images, write_idx_images, write_idx_labels
from vaelab.data import MNIST
from vaelab.data.idx_folder import find

SPELLINGS = [
    ("train-images.idx3-ubyte", "t10k-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-labels.idx1-ubyte"),
    ("train_images", "test_images", "train_labels", "test_labels"),
    ("Training Images.idx", "Test Images.idx", "Training Labels.idx", "Test Labels.idx"),
    *[
        [
            f"emnist-letters-{name}.gz"
            for name in (TRAIN, "test-images-idx3-ubyte", TRAIN_LABELS, "test-labels-idx1-ubyte")
        ]
    ],
]


def write_set(folder, names):
    train, test = random_images(30, 5, 7), random_images(11, 5, 7, seed=1)
    write_idx_images(folder / names[0], train)
    write_idx_images(folder / names[1], test)
    write_idx_labels(folder / names[2], torch.arange(30) % 3)
    write_idx_labels(folder / names[3], torch.arange(11) % 3)
    return train


@pytest.mark.parametrize("names", SPELLINGS)
def test_other_spellings_are_found(tmp_path, names):
    train = write_set(tmp_path, names)
    (tmp_path / "train-notes.txt").write_text("no IDX file")
    data = MNIST(tmp_path, val_size=7, support="unit_interval")
    data.setup()
    assert torch.equal(data.val[:, 0], train[-7:] / 255)
    assert data.labels("test")[1].tolist() == [n % 3 for n in range(11)]
    assert f"read 30 training images from {names[0]} and 11 test images from {names[1]}" in data.read_report
    assert ("EMNIST" in data.read_report) == names[0].startswith("emnist")


def test_a_name_that_a_browser_changed_is_found(tmp_path):
    write_idx_images(tmp_path / f"{TRAIN}.gz", random_images(2, 5, 7)).rename(tmp_path / f"{TRAIN}.gz.1")
    assert find(tmp_path, TRAIN) == tmp_path / f"{TRAIN}.gz.1"


def test_mnists_own_name_comes_first_and_a_raw_file_before_a_packed_one(tmp_path):
    for name in ("my-train-images", "my-train-images.gz"):
        write_idx_images(tmp_path / name, random_images(2, 5, 7))
    assert find(tmp_path, TRAIN).name == "my-train-images"
    write_idx_images(tmp_path / TRAIN, random_images(2, 5, 7))
    assert find(tmp_path, TRAIN).name == TRAIN


def test_an_error_names_several_files_that_match(tmp_path):
    for name in ("letters-train-images", "digits-train-images"):
        write_idx_images(tmp_path / name, random_images(2, 5, 7))
    with pytest.raises(ValueError, match=r"\A.*one file of train images, but holds digits-train.*, letters-train.*\Z"):
        find(tmp_path, TRAIN)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], "but it is empty;"),
        (["a.png", "train.npy"], "but it holds a.png, train.npy;"),
        (["MNIST/raw/" + TEST], "but it holds MNIST, and {}/MNIST/raw has the file;"),
    ],
)
def test_an_error_names_what_the_folder_holds_instead(tmp_path, there, said):
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = rf"must hold {TEST}, {TEST}\.gz or .* with t10k or test or testing in its name, "
    with pytest.raises(FileNotFoundError, match=wanted + re.escape(said.format(tmp_path))):
        find(tmp_path, TEST)


def test_a_file_of_labels_is_not_taken_for_images(tmp_path):
    write_idx_labels(tmp_path / "test-all", torch.arange(5))
    with pytest.raises(FileNotFoundError, match="it holds test-all"):
        find(tmp_path, TEST)
    assert find(tmp_path, TEST_LABELS).name == "test-all"
