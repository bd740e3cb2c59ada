"""`run.figure(name)`: which pictures a run has, of which examples, and that no setting of matplotlib matters."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE, families, networks, priors
from vaelab.figures import ImageReconstructions, Picture, PointReconstructions
from vaelab.runs.figure import NAMES

N, CLASSES = 23, 3
SCRIPT = """
import sys, torch
from functools import partial
from pathlib import Path
from vaelab import VAE, families, networks, priors
from vaelab.runs.run import Run

Gaussian = families.DiagonalGaussian
vae = VAE.build((5,), Gaussian((2,)), Gaussian((5,)), priors.StandardNormal((2,)), networks.MLP)
before = "matplotlib" in sys.modules
figure = Run(Path("."), Path("best.ckpt"), {}, vae, (5,), (5,)).figure("latents", data=torch.randn(23, 5))
from matplotlib import _pylab_helpers
print(before, figure._repr_png_()[:4], len(_pylab_helpers.Gcf.figs))
figure.savefig("latents.png")
"""


def model(shape=(5,), latents=2, condition_size=0):
    torch.manual_seed(0)
    parts = families.DiagonalGaussian((latents,)), families.DiagonalGaussian(shape), priors.StandardNormal((latents,))
    return VAE.build(shape, *parts, networks.MLP, condition_size)


def run_of(folder, shape=(5,), latents=2):
    return loaded_run(folder, model(shape, latents), Rows(torch.randn(N, *shape)))


@pytest.fixture
def drawn(monkeypatch):
    """The pictures that are drawn."""
    pictures, draw = [], Picture.draw

    def keep(self):
        pictures.append(self)
        return draw(self)

    monkeypatch.setattr(Picture, "draw", keep)
    return pictures


@pytest.mark.parametrize(
    ("latents", "missing", "why"),
    [(2, "traversals", "the manifold shows more"), (4, "manifold", "it needs two latents")],
)
def test_a_run_draws_the_pictures_that_suit_it(latents, missing, why, tmp_path):
    from matplotlib.figure import Figure

    run = run_of(tmp_path, latents=latents)
    others = {missing, "surface", "styles"}
    for name in set(NAMES) - others - {"curves"}:
        figure = run.figure(name)
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")
    for name in others:
        with pytest.raises(ValueError, match=rf"^name must be one of .*latents.* for this run, but is {name}: "):
            run.figure(name)
    with pytest.raises(ValueError, match=why):
        run.figure(missing)
    with pytest.raises(ValueError, match="it needs a conditional model of images"):
        run.figure("styles")
    with pytest.raises(ValueError, match=r"^name must be one of curves, latents, .*, styles, but is latent$"):
        run.figure("latent")


def test_examples_can_be_given(tmp_path, drawn):
    run = run_of(tmp_path, (4, 6))
    x = np.random.default_rng(0).random((3, 4, 6))
    run.figure("reconstructions", data=x)
    run.figure("reconstructions", data=(torch.from_numpy(x), x[::-1].copy()))
    run.figure("reconstructions", data=Rows(torch.from_numpy(x).float() + 1))
    run.figure("reconstructions", data="test")
    assert all(isinstance(picture, ImageReconstructions) for picture in drawn)
    for picture, wanted in zip(drawn, (x, x[::-1], x + 1, run.data.test.numpy()), strict=True):
        np.testing.assert_allclose(picture.target[:3], wanted[:3], rtol=1e-6)


def test_a_conditional_run_needs_conditions(tmp_path, drawn):
    classes = torch.eye(CLASSES)[torch.arange(N) % CLASSES]
    data = Rows(torch.randn(N, 5), classes, ("cat", "dog", "owl"))
    run = loaded_run(tmp_path, model(condition_size=CLASSES), data)
    x = torch.randn(7, 5)
    run.figure("reconstructions", data=(x, x, classes[:7]))
    (picture,) = drawn
    assert isinstance(picture, PointReconstructions)
    mean = run.vae.decode(run.vae.encode(x, classes[:7]).mean, classes[:7]).mean
    np.testing.assert_allclose(picture.mean, mean.detach(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"data must be \(x, target, condition\) for this run, but has 2 parts"):
        run.figure("latents", data=x)


def test_examples_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"x in data must have the shape \(n, 5\), but has \(7, 4\)"):
        run_of(tmp_path).figure("latents", data=torch.zeros(7, 4))


@pytest.mark.parametrize("named", ["module://nonsense", "nonsense"])
def test_mplbackend_does_not_matter(named, tmp_path):
    """Nothing imports pyplot's state, and a backend that is missing or unknown changes nothing."""
    environment = os.environ | {"MPLBACKEND": named}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False b'\\x89PNG' 0\n"
    assert (tmp_path / "latents.png").read_bytes().startswith(b"\x89PNG")
