import os
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.idx_files import write_small_mnist

LONGEST = (
    *("test_resume", "test_sweeps", "test_trouble", "test_search", "test_parallel", "test_cli", "test_runs"),
    *("test_hydra", "test_traced_gradient", "test_epoch_loop", "test_extending", "test_any_bytes"),
)

os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
os.environ["OMP_NUM_THREADS"] = "1"  # for the runs in processes of their own: the models are tiny, and two run at once
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The longest modules first, so that several workers end together."""
    items.sort(key=lambda item: item.module.__name__ not in LONGEST)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def mixed_table() -> str:
    """The text of a table with columns of real numbers, counts, categories and binary numbers."""
    draws = np.random.default_rng(0)
    rows = [f"{draws.normal():.4f},{draws.poisson(3)},{['red', 'green', 'blue'][n % 3]},{n % 2}" for n in range(53)]
    return "\n".join(["height,visits,colour,member", *rows, ""])


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory) -> Path:
    """A folder of IDX files, 60 training and 20 test images of 5x7 pixels, and of arrays.

    rows.npy holds 53 rows of 4 numbers, counts.npy 53 rows of 3 whole numbers from 0 to 4, pictures.npy 47 pictures of
    6x4 pixels in colour, and mixed.csv 53 rows with a column of each kind.
    """
    folder = tmp_path_factory.mktemp("small_mnist")
    write_small_mnist(folder, train=60, test=20, rows=5, columns=7)
    np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(53, 4)))
    np.save(folder / "counts.npy", np.random.default_rng(0).integers(0, 5, (53, 3)))
    (folder / "mixed.csv").write_text(mixed_table())
    np.save(folder / "pictures.npy", np.random.default_rng(0).integers(0, 256, (47, 6, 4, 3), np.uint8))
    return folder
