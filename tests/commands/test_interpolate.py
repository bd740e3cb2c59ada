"""`vaelab interpolate`: its rows, its pictures and its conditions."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import one_hot
from torch.testing import assert_close

from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE
from vaelab.commands.interpolate import interpolate, place_of
from vaelab.commands.rows import Rows as ReadRows
from vaelab.families import Bernoulli, DiagonalGaussian
from vaelab.figures import Picture
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

N, K, P, CLASSES = 13, 5, 3, 3
NAMES = ("cat", "dog", "owl")


def make_run(folder, x, likelihood, conditions=None):
    torch.manual_seed(0)
    shape, size = tuple(x.shape[1:]), CLASSES if conditions is not None else 0
    families = DiagonalGaussian((P,), init_std=1.0), likelihood(shape)
    vae = VAE.build(shape, *families, StandardNormal((P,)), partial(MLP, hidden=[6]), size)
    return loaded_run(folder, vae, Rows(x, conditions, NAMES if size else None))


@pytest.fixture
def points(tmp_path):
    return make_run(tmp_path, torch.randn(N, K, generator=torch.Generator().manual_seed(1)), DiagonalGaussian)


@pytest.fixture
def drawn(monkeypatch):
    """The pictures that are saved, instead of files."""
    pictures = []
    monkeypatch.setattr(Picture, "save", lambda self, path: pictures.append(self))
    return pictures


@torch.no_grad()
def test_a_table_holds_the_decoded_line_between_two_posterior_means(points, tmp_path):
    vae, x = points.vae, points.data.test
    np.save(tmp_path / "one.npy", x[7:8].numpy())
    said = interpolate(points, "test:11", str(tmp_path / "one.npy"), tmp_path / "t.npz", steps=4)
    assert said == "4 steps on a linear path"
    table = np.load(tmp_path / "t.npz")
    a, b = vae.encode(x).mean[[11, 7]]
    z = torch.stack([a, a + (b - a) / 3, a + (b - a) * 2 / 3, b])
    assert_allclose(table["z"], z, atol=1e-6)
    assert_allclose(table["position"], [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert_allclose(table["mean"], vae.decode(z).mean, rtol=1e-4, atol=1e-5)
    interpolate(points, "val:0", "test:1", tmp_path / "t.csv", steps=3, path="spherical")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + 3


@torch.no_grad()
def test_a_picture_of_points_has_the_originals_at_its_ends(points, drawn, tmp_path):
    interpolate(points, "test:2", "train:9", tmp_path / "a.png", steps=6)
    (picture,) = drawn
    x = points.data.test
    assert_close(torch.from_numpy(picture.originals), x[[2, 9]])
    p = points.vae.decode(points.vae.encode(x[[2, 9]]).mean)
    assert_close(torch.from_numpy(picture.means[[0, -1]]), p.mean)
    assert_close(torch.from_numpy(picture.stds[[0, -1]]), p.stddev)
    assert picture.title == "A = test:2, B = train:9"


@pytest.mark.parametrize(("shape", "steps"), [((4, 6), 11), ((1, 4, 6), 30), ((3, 4, 6), 2)])
def test_pictures_of_images_are_drawn(shape, steps, tmp_path):
    run = make_run(tmp_path, torch.rand(N, *shape, generator=torch.Generator().manual_seed(1)).round(), Bernoulli)
    interpolate(run, "test:0", "test:1", tmp_path / "a.png", steps=steps)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_many_columns_and_unknown_targets_are_drawn(tmp_path, monkeypatch):
    run = make_run(tmp_path, torch.randn(N, 13), DiagonalGaussian)
    interpolate(run, "test:0", "test:1", tmp_path / "a.png")
    monkeypatch.setattr("vaelab.commands.interpolate.read", lambda *_: iter([ReadRows(run.data.test, None, None)]))
    interpolate(run, "test:0", "test:1", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@torch.no_grad()
def test_the_condition_is_that_of_both_rows_or_the_given_one(drawn, tmp_path):
    x = torch.randn(N, K, generator=torch.Generator().manual_seed(1))
    c = one_hot(torch.arange(N) % CLASSES, CLASSES).float()
    run = make_run(tmp_path, x, DiagonalGaussian, c)
    assert interpolate(run, "test:1", "test:4", tmp_path / "a.png") == "11 steps on a linear path, condition dog"
    with pytest.raises(ValueError, match=r"the same condition, .* but they have dog and owl; .*--condition dog"):
        interpolate(run, "test:1", "test:2", tmp_path / "a.png")
    interpolate(run, "test:1", "test:2", tmp_path / "a.png", condition="cat")
    means = run.vae.decode(run.vae.encode(x[[1, 2]], c[[1, 2]]).mean, torch.eye(CLASSES)[0]).mean
    assert_close(torch.from_numpy(drawn[-1].means[[0, -1]]), means)
    np.save(tmp_path / "x.npy", x[:2].numpy())
    with pytest.raises(ValueError, match=r"x.npy needs --condition"):
        interpolate(run, f"{tmp_path}/x.npy:0", "test:2", tmp_path / "a.png")
    interpolate(run, f"{tmp_path}/x.npy:0", "test:2", tmp_path / "a.png", condition="owl")
    assert_close(torch.from_numpy(drawn[-1].originals), x[[0, 2]])


def test_rows_that_do_not_exist_are_refused(points, tmp_path):
    np.save(tmp_path / "two.npy", points.data.test[:2].numpy())
    two = f"{tmp_path}/two.npy"
    for a, words in {
        "test": "must be rows, numbered from 0, such as test:3, but one is test$",
        "test:x": "such as test:3, but one is test:x$",
        "test:-1": "such as test:3, but one is test:-1$",
        "test:13": "must be rows from test:0 to test:12, but one is test:13; use a smaller number",
        two: f"holds several; name one, from 0, such as {two}:0$",
        f"{two}:2": "but one is .*two.npy:2; use a smaller number",
        "gone.npy:0": "gone.npy does not exist",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            interpolate(points, a, "test:1", tmp_path / "a.png")
    with pytest.raises(ValueError, match="--steps must be at most 200 for a picture, but is 201"):
        interpolate(points, "test:0", "test:1", tmp_path / "a.png", steps=201)
    assert not list(tmp_path.glob("*.png"))


def test_a_file_whose_name_ends_like_a_row_is_a_file(tmp_path):
    (tmp_path / "a:3").write_bytes(b"")
    assert place_of(f"{tmp_path}/a:3")[1:] == (f"{tmp_path}/a:3", None)
    assert place_of(f"{tmp_path}/b:3")[1:] == (f"{tmp_path}/b", 3)
    assert place_of("C:\\x.csv:4")[1:] == ("C:\\x.csv", 4)
