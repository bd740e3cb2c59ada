"""A run on pictures of your own, and the verbs on it, as users type them."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from helpers.runner import run_train
from vaelab import load_run
from vaelab.app.cli import main

SMALL = (
    "trainer.max_steps=4",
    "network.hidden=[6]",
    "latent_dim=3",
    "data.size=8",
    "data.batch_size=7",
    "trainer.val_check_interval=2",
)


def save_photographs(folder, sizes, seed=0, classes=("sea", "wood")):
    """Smooth pictures in colour of differing sizes, in a sub-folder for each class."""
    draw = np.random.default_rng(seed)
    for index, (rows, columns) in enumerate(sizes):
        coarse = Image.fromarray(draw.integers(0, 256, (3, 3, 3), np.uint8))
        path = folder / classes[index % len(classes)] / f"picture {index:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((columns, rows), Image.Resampling.BICUBIC).save(path, quality=95)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, what it said, and the folder of its photographs."""
    place = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(7)
    folder = save_photographs(place / "my photos", draw.integers(9, 60, (23, 2)).tolist())
    done = run_train(place, "experiment=images", f"data.path={folder}", *SMALL, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    return place / "run", done.stdout + done.stderr, folder


def test_one_command_trains_on_a_folder_of_photographs(trained):
    run, said, _ = trained
    assert "read 23 RGB pictures of 8x8 pixels from my photos: 19 to train, 2 to validate, 2 to test" in said
    assert "labels: sea, wood" in said
    assert "image of 8x8 pixels in RGB in nats" in said
    assert json.loads((run / "data.json").read_text())["dequantisation"] == "uniform, 256 levels (seed 0)"
    names = {path.stem for path in (run / "figures").iterdir()}
    assert names >= {"reconstructions", "prior_samples", "traversals", "latents"}


def test_reconstruct_reads_photographs_of_any_size_as_training_did(trained, tmp_path):
    run, _, folder = trained
    main(["reconstruct", str(run), str(folder), "-o", str(tmp_path / "all.npz")])
    loaded = load_run(run)
    data = loaded.ready_datamodule({})
    with np.load(tmp_path / "all.npz") as written:
        assert written["mean"].shape == (23, 3, 8, 8)
        order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
        for split, rows in zip(("train", "val", "test"), order.split([19, 2, 2]), strict=True):
            x, _ = data.examples(split)
            with torch.no_grad():
                mean = loaded.vae.decode(loaded.vae.encode(x).mean).mean
            # Both draw the fraction of a grey level again, so the pixels differ by up to 1/256.
            np.testing.assert_allclose(written["mean"][rows.sort().values], mean, atol=0.02)


def test_the_picture_of_reconstructions_is_in_colour(trained, tmp_path):
    run, _, folder = trained
    main(["reconstruct", str(run), str(folder), "-o", str(tmp_path / "some.png")])
    drawn = np.asarray(Image.open(tmp_path / "some.png").convert("RGB")).astype(int)
    assert (drawn.max(-1) - drawn.min(-1)).max() > 60
    assert drawn.shape[1] > drawn.shape[0] / 2


@pytest.mark.parametrize("kind", ["folder", "last", "first"])
def test_encode_writes_a_row_for_each_picture(kind, trained, tmp_path):
    run = trained[0]
    path = save_photographs(tmp_path / "new", [(31, 12), (8, 8), (9, 50)], seed=3)
    if kind != "folder":
        pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 11, 3), np.uint8)
        path = tmp_path / "new.npy"
        np.save(path, pixels if kind == "last" else pixels.transpose(0, 3, 1, 2))
    main(["encode", str(run), str(path), "-o", str(tmp_path / "z.csv")])
    with (tmp_path / "z.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


def test_a_broken_file_can_be_left_out_of_a_command(trained, tmp_path):
    run, _, _ = trained
    path = save_photographs(tmp_path / "new", [(31, 12), (8, 8)])
    (path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match=r"broken\.png cannot be read as an image .*--data missing=drop"):
        main(["encode", str(run), str(path), "-o", str(tmp_path / "z.csv")])
    main(["encode", str(run), str(path), "-o", str(tmp_path / "z.csv"), "--data", "missing=drop"])
    with (tmp_path / "z.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_evaluate_reports_bits_per_dimension(trained):
    run = trained[0]
    main(["evaluate", str(run), "--samples", "50"])
    report = json.loads((run / "evaluation.json").read_text())
    dimensions = 3 * 8 * 8
    assert report["bits_per_dim"] == pytest.approx((report["nll"] / dimensions + math.log(256)) / math.log(2))


def test_the_baseline_is_a_gaussian_for_each_pixel(trained):
    run = load_run(trained[0])
    data = run.ready_datamodule({})
    (train, _), (test, _) = data.examples("train"), data.examples("test")
    mean, std = train.double().mean(0), train.double().std(0, correction=0).clamp(min=0.01)
    expected = stats.norm.logpdf(test.double(), mean, std).reshape(len(test), -1).sum(-1).mean()
    assert run.metrics["test/baseline"] == pytest.approx(expected, rel=0.02, abs=5)


def test_the_pictures_are_read_again_bit_for_bit(trained):
    run = load_run(trained[0])
    assert run.ready_datamodule({}).fingerprint() == run.config["fingerprint"]
    other = save_photographs(trained[2].parent / "other", [(20, 30)] * 23, seed=9)
    assert run.ready_datamodule({"path": str(other)}).fingerprint() != run.config["fingerprint"]
