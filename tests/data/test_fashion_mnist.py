"""Fashion-MNIST: MNIST's files with other hashes, and classes that have names."""

import gzip
import hashlib
from pathlib import Path

import pooch
import pytest
import torch
from torch.testing import assert_close

from helpers.idx_files import (
    TEST,
    TEST_LABELS,
    TRAIN,
    TRAIN_LABELS,
    write_idx_images,
    write_idx_labels,
    write_small_mnist,
)
from helpers.mirror import left_in, published, started_mirrors
from vaelab.data import MNIST, FashionMNIST
from vaelab.data.download import FASHION_MNIST
from vaelab.data.idx_folder import identify
from vaelab.runs.local_data import check_at_hand, local_data

NAMES = [f"{name}.gz" for name in (TRAIN, TRAIN_LABELS, TEST, TEST_LABELS)]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist

start = pytest.fixture(started_mirrors)


@pytest.fixture
def small(tmp_path) -> Path:
    """Thirty training and eleven test images, with labels."""
    folder = tmp_path / "fashion"
    write_small_mnist(folder, gz=True)
    write_idx_labels(folder / f"{TRAIN_LABELS}.gz", torch.arange(30) % 10)
    write_idx_labels(folder / f"{TEST_LABELS}.gz", torch.arange(11) * 3 % 10)
    return folder


def test_classes_have_names(small):
    data = FashionMNIST(small, val_size=7, condition="label")
    data.setup()
    assert data.label_names[:3] == ("T-shirt/top", "Trouser", "Pullover")
    name, codes = data.labels("test")
    assert (name, codes.tolist()) == ("label", [0, 3, 6, 9, 2, 5, 8, 1, 4, 7, 0])
    assert data.condition_names == data.label_names
    assert_close(data.conditions["test"], torch.eye(10)[codes])


def test_labels_that_are_no_classes_keep_their_numbers(small):
    write_idx_labels(small / f"{TEST_LABELS}.gz", torch.arange(11))
    data = FashionMNIST(small, val_size=7)
    data.setup()
    assert data.label_names is None
    (small / f"{TEST_LABELS}.gz").unlink()
    data = FashionMNIST(small, val_size=7)
    data.setup()
    assert data.label_names is data.labels("test") is None


def test_mnist_shows_its_labels_as_they_are(small):
    data = MNIST(small, val_size=7, condition="label")
    data.setup()
    assert data.label_names is None
    assert data.condition_names == tuple("0123456789")


def test_the_files_are_fetched_once_into_a_folder_of_their_own(small, start, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    files = {name: (small / name).read_bytes() for name in NAMES}
    monkeypatch.setattr(FashionMNIST, "published", published(files, "Fashion", identify(small)))
    mirror = start(files)
    for _ in range(2):
        data = FashionMNIST(mirrors=[mirror.url], val_size=7)
        data.prepare_data()
        data.setup()
    assert mirror.requested == NAMES
    assert left_in(tmp_path / "cache" / "vaelab" / "fashion") == set(NAMES)
    assert data.read_report.endswith(
        "30 training images and 11 test images of 5x7 pixels; the last 7 training images validate"
    )


def test_a_loaded_run_looks_for_its_own_images_in_the_cache(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = local_data({"_target_": "vaelab.data.FashionMNIST", "root": None, "mirrors": ["http://192.0.2.1/"]})
    cache = tmp_path / "vaelab" / "fashion_mnist"
    assert found == {"_target_": "vaelab.data.FashionMNIST", "root": str(cache)}
    with pytest.raises(FileNotFoundError, match=r"does not hold Fashion-MNIST, .*data\.FashionMNIST\(\)\.prepare_data"):
        check_at_hand(found)
    write_small_mnist(cache)
    check_at_hand(found)


def test_the_published_files_go_by_their_name(tmp_path):
    """Reads Debian's copy, whose files are packed again, if it is there; other images don't have the name."""
    if not DEBIAN.is_dir():
        write_idx_images(tmp_path / TRAIN, torch.zeros(3, 2, 2, dtype=torch.uint8))
        write_idx_images(tmp_path / TEST, torch.zeros(3, 2, 2, dtype=torch.uint8))
        assert FashionMNIST(tmp_path).describe()["data"] != "Fashion-MNIST"
        return
    for name, hashes in FASHION_MNIST.files.items():
        content = gzip.decompress((DEBIAN / name).read_bytes())
        assert hashlib.sha256(content).hexdigest() == hashes.content
    assert MNIST(DEBIAN).describe()["data"] == "Fashion-MNIST"
