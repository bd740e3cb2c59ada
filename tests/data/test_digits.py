"""scikit-learn's digits: 17 grey values, labels, and no download."""

import math
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.testing import assert_close

from helpers.runner import compose_config, run_train
from vaelab import load_run
from vaelab.data import Digits

SPLITS = ("train", "val", "test")


def ready(**options):
    data = Digits(**{"val_size": 150, "test_size": 0.3, **options})
    data.setup()
    return data


def in_order(data):
    """The rows of scikit-learn's table that each split holds."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(data.seed))
    sizes = [len(data.examples(split)[0]) for split in SPLITS]
    return dict(zip(SPLITS, (part.sort().values.numpy() for part in order.split(sizes)), strict=True))


def test_grey_levels_have_probabilities_without_a_draw():
    data, digits = ready(support="levels"), load_digits()
    for split, rows in in_order(data).items():
        assert_close(data.examples(split)[0][:, 0], torch.from_numpy(digits.images[rows] / 16).float())
    described = data.describe()
    assert (data.levels, described["measure"], described["dequantisation"]) == (17, "mass", "none")


@pytest.mark.parametrize("seed", [0, 5])
def test_each_digit_is_in_one_split_with_its_label(seed):
    data, digits = ready(support="unit_interval", seed=seed), load_digits()
    assert [len(data.examples(split)[0]) for split in SPLITS] == [1797 - 150 - 539, 150, 539]
    for split, rows in in_order(data).items():
        np.testing.assert_allclose(data.examples(split)[0][:, 0], digits.images[rows] / 16, atol=1e-6)
        np.testing.assert_array_equal(data.labels(split)[1], digits.target[rows])
    assert data.label_names == tuple("0123456789")
    assert data.read_report == (
        "took 1,797 digits of 8x8 pixels from scikit-learn: 1,108 to train, 150 to validate, 539 to test; "
        "labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


def test_17_grey_values_are_dequantised_as_17():
    data, digits = ready(support="real"), load_digits()
    for split, rows in in_order(data).items():
        pixels = data.examples(split)[0][:, 0] * 17
        np.testing.assert_array_equal(pixels.floor(), digits.images[rows])
        noise = (pixels - pixels.floor()).double()
        n = noise.numel()
        assert abs(noise.mean() - 0.5) < 5 / math.sqrt(12 * n)
        assert abs(noise.var() - 1 / 12) < 5 / math.sqrt(180 * n)
    assert data.levels == 17
    assert data.describe()["dequantisation"] == "uniform, 17 levels (seed 0)"
    rows = in_order(data)["train"]
    assert_close(data.mean()[0].double(), torch.from_numpy((digits.images[rows].mean(0) + 0.5) / 17), rtol=0, atol=1e-6)


def test_grey_values_are_probabilities_of_ink_if_they_are_binarised():
    data, digits = ready(support="binary", batch_size=2_000), load_digits()
    passes = 400
    probability = digits.images[in_order(data)["train"]] / 16
    served = sum(x.mean((0, 1)) for _ in range(passes) for x, _ in data.train_dataloader()) / passes
    spread = np.sqrt((probability * (1 - probability)).mean(0) / (passes * len(probability)))
    assert (np.abs(served.numpy() - probability.mean(0)) <= 5 * spread + 1e-6).all()
    assert set(data.val.unique().tolist()) == {0, 1}
    assert data.levels == 2


def test_rows_of_a_file_are_grey_values_up_to_16():
    data = Digits(support="unit_interval")
    grey = torch.arange(64).reshape(1, 64) % 17
    assert_close(data.prepare(grey, (1, 8, 8)), grey.view(1, 1, 8, 8) / 16)
    with pytest.raises(
        ValueError, match="must be whole numbers from 0 to 16, but the data holds 17 in row 0, number 5"
    ):
        data.prepare(grey.index_fill(1, torch.tensor([5]), 17), (1, 8, 8))


def test_without_scikit_learn_a_sentence_tells_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"needs scikit-learn, .*: pip install 'vaelab\[digits\]'"):
        ready()


def test_the_option_trains_a_conditional_model_and_scores_bits(tmp_path):
    keys = ["data=digits", "model=gaussian", "condition=label", "trainer.max_epochs=1", "network.hidden=[6]"]
    done = run_train(tmp_path, *keys, "callbacks.pictures=null", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "took 1,797 digits of 8x8 pixels from scikit-learn" in done.stdout + done.stderr
    run = load_run(tmp_path / "run")
    assert run.condition_names == tuple("0123456789")
    assert run.ready_datamodule({}).levels == 17


def test_the_experiment_is_composed(tmp_path):
    config = compose_config(tmp_path, "experiment=digits")
    assert config.data._target_ == "vaelab.data.Digits"
