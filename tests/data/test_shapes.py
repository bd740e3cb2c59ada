"""Images of shapes with known factors."""

import pytest
import torch

from helpers.runner import run_train
from vaelab import load_run
from vaelab.commands.evaluate import evaluate_run
from vaelab.data import Shapes

SMALL = {"size": 17, "scales": 2, "orientations": 3, "positions": 5}
SPLITS = ("train", "val", "test")


def ready(**options):
    data = Shapes(**{**SMALL, "support": "unit_interval", **options})
    data.setup()
    return data


def all_of(data):
    images = torch.cat([data.train / 255 if split == "train" else getattr(data, split) for split in SPLITS])
    factors = [torch.stack([each.float() for each in data.factors(split).values()], 1) for split in SPLITS]
    return images, torch.cat(factors)


def test_there_is_one_image_for_each_combination_of_the_factors():
    images, factors = all_of(ready(grey=True))
    assert images.shape == (3 * 2 * 3 * 25, 1, 17, 17)
    assert len(factors.unique(dim=0)) == len(images)
    assert [len(column.unique()) for column in factors.T] == [3, 2, 3, 5, 5]
    assert len(images.flatten(1).unique(dim=0)) == len(images)  # so each image tells its factors
    again = all_of(ready(grey=True))
    assert torch.equal(images, again[0])
    other = ready(grey=True, seed=1)
    assert not torch.equal(factors, all_of(other)[1])


def test_the_pixels_follow_the_factors():
    data = ready(size=64, positions=3, orientations=2, val_size=2, test_size=20)
    factors, images = data.factors("train"), data.train[:, 0] / 255
    line = (2 * torch.arange(64) + 1) / 64 - 1
    mass = images.sum((1, 2))
    is_round = factors["shape"] < 2  # the heart's centre is not its centroid
    assert ((images.sum(1) @ line / mass - factors["x"])[is_round].abs() < 0.02).all()
    assert ((images.sum(2) @ line / mass - factors["y"])[is_round].abs() < 0.02).all()
    area = mass * (2 / 64) ** 2 / (0.4 * factors["scale"]) ** 2  # in units of the radius
    assert ((area - 2)[factors["shape"] == 0].abs() < 0.25).all()
    assert ((area - torch.pi / 2)[factors["shape"] == 1].abs() < 0.25).all()
    upright = (factors["shape"] == 1) & (factors["orientation"] == 0)
    across, down = (images[upright].amax(dim).sum(-1) for dim in (1, 2))
    assert (across > 1.7 * down).all()
    assert not images[:, [0, -1]].any()  # no shape is cut off
    assert not images[:, :, [0, -1]].any()


def test_black_and_white_images_stay_so_and_smooth_ones_have_greys():
    assert set(ready(support="binary").test.unique().tolist()) == {0, 1}
    hard = ready(support="binary")
    assert torch.equal(hard.redraw(hard.train), hard.train / 255)  # nothing is random
    assert len(ready(grey=True).test.unique()) > 5
    assert ready(support="real").levels == 256


def test_the_shape_is_the_label_and_the_condition():
    data = ready(condition="label", shapes=2)
    name, codes = data.labels("val")
    assert (name, data.label_names) == ("label", ("square", "ellipse"))
    assert torch.equal(codes, data.factors("val")["shape"])
    assert torch.equal(data.conditions["val"].argmax(1), codes)
    assert data.read_report == (
        "drew 300 images of 17x17 pixels, one for each combination of 5 factors: 210 to train, 30 to validate, 60 to "
        "test; labels: square, ellipse"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": 4}, "data.shapes must be at most 3 .square, ellipse, heart., but is 4"),
        ({"size": 7}, "data.size must be a whole number of at least 8, but is 7"),
        ({"size": 257}, "data.size must be at most 256, but is 257"),
        ({"positions": 10**6}, "data=shapes must have at most 67,108,864 pixels in all images together, but has"),
        ({"scales": 0}, "data.scales must be a whole number of at least 1, but is 0"),
        ({"grey": 1}, "data.grey must be true or false, but is 1"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Shapes(**{**SMALL, **options})
    with pytest.raises(ValueError, match="split must be one of train, val, test, but is all"):
        ready().factors("all")


def test_evaluate_reports_the_factors_and_the_draws(tmp_path):
    keys = [f"data.{key}={value}" for key, value in SMALL.items()]
    settings = "model=bernoulli", "network.hidden=[6]", "trainer.max_epochs=1", "callbacks.pictures=null"
    done = run_train(tmp_path, "data=shapes", *keys, *settings, "data.test_size=0.5", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    report = evaluate_run(load_run(tmp_path / "run"), samples=2, draws=1_000)
    assert 0 <= report["mig"] <= 1
    assert 0 <= report["dci_completeness"] <= 1
    assert report["draws_compared"] == 112
    assert report["draws_accuracy_low"] <= report["draws_accuracy"] <= report["draws_accuracy_high"]
    assert all(type(value) in (int, float, str, list, type(None)) for value in report.values())
    with pytest.raises(ValueError, match="--draws must be a whole number of at least 0, but is -1"):
        evaluate_run(load_run(tmp_path / "run"), samples=2, draws=-1)
