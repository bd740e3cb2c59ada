"""Runs that draw pictures: the contents of event file and folder, and that no failure in drawing harms a run."""

import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch import nn
from torch.distributions import Cauchy, Independent
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from helpers.runner import ROOT, TINY, compose_config
from vaelab import VAE
from vaelab.app.start import train
from vaelab.families import Bernoulli, DiagonalGaussian, Flow
from vaelab.figures import DrawingProcess
from vaelab.networks import MLP
from vaelab.objectives import ELBO, IWAE, ELBOMonteCarlo
from vaelab.priors import StandardNormal, VampPrior
from vaelab.training import Pictures, VAEModule
from vaelab.training.examples_shown import Examples, gather
from vaelab.training.pictures_of import pictures_of, posterior

ALWAYS = {"reconstructions", "latents", "kl_per_dimension", "prior_samples"}
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


class Images(LightningDataModule):
    """A user's own data module: DataLoaders of 4x6 images, with only labels besides."""

    def __init__(self, loads_labels=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(23, 1, 4, 6, generator=generator).round()
        self.loads_labels = loads_labels

    def loader(self, x):
        return DataLoader(TensorDataset(x, x), batch_size=5)

    def train_dataloader(self):
        return self.loader(self.x[:12])

    def val_dataloader(self):
        return self.loader(self.x[12:])

    def labels(self, split):
        return ("digit", torch.arange(11) % 3) if self.loads_labels and split == "val" else None


class Conditions(Images):
    """The same with the class of each image as a condition."""

    condition_names = ("cat", "dog", "owl")

    def loader(self, x):
        condition = torch.eye(3)[torch.arange(len(x)) % 3]
        return DataLoader(TensorDataset(x, x, condition), batch_size=5)


def module(latent_dim=2, posterior=DiagonalGaussian, prior=None, objective=None, **options):
    prior = prior or StandardNormal((latent_dim,))
    vae = VAE.build((1, 4, 6), posterior((latent_dim,)), Bernoulli((1, 4, 6)), prior, MLP, **options)
    return VAEModule(vae, objective or ELBO(), partial(torch.optim.Adam, lr=1e-3))


def fit(folder, pictures, data=None, latent_dim=2, logger=None, callbacks=(), model=None, **options):
    """Trains on the images for some epochs of 3 steps."""
    logger = TensorBoardLogger(folder, name="", version="") if logger is None else logger
    options = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, **QUIET, **options}
    trainer = Trainer(logger=logger, callbacks=[pictures, *callbacks], default_root_dir=folder, **options)
    trainer.fit(model or module(latent_dim), data or Images())
    return trainer


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0}).Reload()


def steps_of_pictures(folder):
    """Picture -> the steps at which the event file holds it."""
    found = events(folder)
    return {tag.removeprefix("views/"): [e.step for e in found.Images(tag)] for tag in found.Tags()["images"]}


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    """A run of train.py that draws the first and every second of its 5 epochs of 4 steps."""
    folder = tmp_path_factory.mktemp("sine")
    short = ("trainer.max_epochs=5", "data.batch_size=8", "network.hidden=[6]")
    train(compose_config(folder, *short, *TINY, "callbacks.pictures.every_n_epochs=2"))
    return folder


def test_the_event_file_holds_every_picture_at_its_steps(sine):
    names = ALWAYS | {"manifold", "surface"}
    wanted = {name: [3, 7, 15, 19] for name in names} | {"curves": [19]}  # Lightning counts steps from 0
    assert steps_of_pictures(sine) == wanted
    assert [event.step for event in events(sine).Scalars("val/elbo")][1::2] == [7, 15]


def test_the_folder_holds_the_newest_pictures(sine):
    found = events(sine)
    names = ALWAYS | {"manifold", "surface", "curves"}
    assert {file.name for file in (sine / "figures").iterdir()} == {f"{name}.png" for name in names}
    for name in names:
        last = found.Images(f"views/{name}")[-1]
        assert (sine / "figures" / f"{name}.png").read_bytes() == last.encoded_image_string
        image = Image.open(sine / "figures" / f"{name}.png")
        assert image.size == (last.width, last.height)
        assert len(np.unique(np.asarray(image).reshape(-1, 4), axis=0)) > 50


def test_the_layout_puts_training_beside_validation_in_one_chart_per_term(sine):
    found = events(sine)
    layout = layout_pb2.Layout()
    layout.ParseFromString(found.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (category,) = layout.category
    terms = ["elbo", "kl", "log_likelihood", "bound", "loss"]
    assert [chart.title for chart in category.chart] == terms
    landmarks = ["^when_done/val/baseline$", "^when_done/val/ceiling$"]
    for chart in category.chart:
        curves = [f"^train/{chart.title}$", f"^val/{chart.title}$"]
        assert list(chart.multiline.tag) == curves + (landmarks if chart.title == "elbo" else [])
        assert {tag.strip("^$") for tag in curves} <= set(found.Tags()["scalars"])


def test_the_graph_and_the_projector_are_filled(sine):
    assert events(sine).Tags()["graph"]
    config = (sine / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "projector/latents.tsv"' in config
    latents = np.loadtxt(sine / "projector" / "latents.tsv")
    assert latents.shape == (7, 3)  # two latents, and a third column, without which the projector shows nothing
    assert (latents[:, 2] == 0).all()
    assert (latents[:, :2].std(0) > 0).all()
    first, *labels = (sine / "projector" / "labels.tsv").read_text().splitlines()
    assert first == "sin(x+y)\texample"
    assert len(labels) == 7


def test_images_get_sprites_and_labels_and_a_large_latent_space_traversals(tmp_path):
    fit(tmp_path, Pictures(every_n_epochs=1), latent_dim=3)
    assert steps_of_pictures(tmp_path) == {name: [2, 5] for name in ALWAYS | {"traversals"}} | {"curves": [5]}
    first, *rows = (tmp_path / "projector" / "labels.tsv").read_text().splitlines()
    assert first == "digit\texample"
    assert [row.split("\t")[0] for row in rows] == ["0", "1", "2"] * 3 + ["0", "1"]
    sprite = Image.open(tmp_path / "projector" / "sprite.png")
    assert sprite.size == (4 * 6, 4 * 6)  # eleven thumbnails, padded to 6x6 pixels, on a square sheet
    assert (np.asarray(sprite.convert("L"))[:4, :6] == 255 * Images().x[12, 0].numpy()).all()


def test_no_interval_means_the_end_alone(tmp_path):
    fit(tmp_path, Pictures(every_n_epochs=None), Images(loads_labels=False), max_steps=5, max_epochs=-1)
    assert steps_of_pictures(tmp_path) == {name: [4] for name in ALWAYS | {"manifold", "curves"}}
    assert (tmp_path / "projector" / "labels.tsv").read_text().split() == [str(row) for row in range(11)]


@pytest.mark.parametrize("logger", [False, "csv"])
def test_without_tensorboard_the_folder_is_filled_all_the_same(logger, tmp_path):
    fit(tmp_path, Pictures(), logger=CSVLogger(tmp_path, name="", version="") if logger else False)
    assert len(list((tmp_path / "figures").glob("*.png"))) == 6


def test_fast_dev_run_draws_nothing(tmp_path):
    pictures = Pictures(dirpath=tmp_path / "figures")
    fit(tmp_path, pictures, fast_dev_run=True)
    assert not pictures.processes
    assert not (tmp_path / "figures").exists()


def test_training_is_the_same_with_and_without_pictures(tmp_path):
    weights = []
    for callback in (Pictures(every_n_epochs=1), Callback()):
        torch.manual_seed(0)
        trainer = fit(tmp_path, callback, logger=False)
        weights.append(torch.cat([value.flatten() for value in trainer.model.parameters()]))
    assert torch.equal(*weights)


def test_the_first_validation_examples_are_shown(tmp_path):
    data = Images()
    trainer = fit(tmp_path, Callback(), data, logger=False)
    examples = gather(trainer, 8)
    assert torch.equal(examples.x, data.x[12:20])
    assert torch.equal(examples.labels[1], torch.arange(8) % 3)
    assert (examples.names, examples.surface) == (None, None)


MODELS = {
    "conditional": lambda: module(3, condition_size=3),
    "flow": lambda: module(3, partial(Flow, context=2, transforms=1, hidden=[5]), objective=ELBOMonteCarlo()),
    "vamp": lambda: module(2, prior=VampPrior((1, 4, 6), 3), objective=IWAE(3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_drawn_without_a_warning(name, tmp_path, caplog):
    data = Conditions() if name == "conditional" else Images()
    with caplog.at_level(logging.WARNING, "vaelab"):
        fit(tmp_path, Pictures(every_n_epochs=1), data, model=MODELS[name]())
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("vaelab")]
    more = {"conditional": {"traversals", "styles"}, "flow": {"traversals"}, "vamp": {"manifold"}}[name]
    assert steps_of_pictures(tmp_path) == {picture: [2, 5] for picture in ALWAYS | more} | {"curves": [5]}
    assert events(tmp_path).Tags()["graph"]
    assert np.loadtxt(tmp_path / "projector" / "latents.tsv").shape == (11, 3)


@torch.no_grad()
def test_a_conditional_model_shows_each_example_with_its_own_class_and_each_class_in_a_row(tmp_path):
    model = MODELS["conditional"]()
    trainer = fit(tmp_path, Callback(), Conditions(), logger=False, model=model)
    examples = gather(trainer, 8)
    assert examples.classes == ("cat", "dog", "owl")
    assert examples.condition.argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    q, _ = posterior(model.vae, examples)
    drawn = {name: make() for name, make in pictures_of(model.vae, q, examples).items()}
    z = q.mean
    assert_close(torch.from_numpy(drawn["reconstructions"].mean), model.vae.decode(z, examples.condition).mean[:, 0])
    assert drawn["prior_samples"].row_names == examples.classes
    assert "c = cat" in drawn["traversals"].title
    middle = model.vae.decode(torch.zeros(3), torch.eye(3)[0]).mean[0]
    assert_close(torch.from_numpy(drawn["traversals"].images[0, 5]), middle)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = model.vae.prior().sample((64,))
    assert_close(
        torch.from_numpy(drawn["prior_samples"].images[4]), model.vae.decode(first[4], torch.eye(3)[1]).mean[0]
    )


def test_examples_with_estimated_moments_are_fewer():
    x_grid, truth = torch.arange(35.0).unsqueeze(-1), torch.arange(35.0).view(5, 7)
    labels = "digit", torch.arange(301)
    examples = Examples(*(torch.zeros(301, 1, 4, 6),) * 2, None, labels, (x_grid, truth))
    for name, count, points in (("flow", 200, [0, 4, 28, 32]), ("vamp", 301, list(range(35)))):
        q, shown = posterior(MODELS[name]().vae, examples)
        assert q.batch_shape == (count,)
        assert len(shown.x) == len(shown.target) == len(shown.labels[1]) == count
        assert shown.surface[0].flatten().tolist() == shown.surface[1].flatten().tolist() == points


class Meddle(Callback):
    """Does something at the end of the first epoch."""

    def __init__(self, action):
        self.action = action

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.action()


def test_a_drawing_process_that_dies_is_a_warning(tmp_path, caplog):
    pictures = Pictures(every_n_epochs=1, dirpath=tmp_path / "figures")

    def kill():
        for process in pictures.processes:
            process.process.kill()

    trainer = fit(tmp_path, pictures, callbacks=[Meddle(kill)], max_epochs=4)
    assert trainer.state.finished
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("vaelab")]
    assert 1 <= len(warnings) <= 2  # processes
    for warning in warnings:
        assert "pictures are missing, because a drawing process ended early with exit code -9" in warning
    assert not pictures.processes


def test_drawing_that_takes_too_long_is_a_warning(tmp_path, caplog):
    started = time.perf_counter()
    fit(tmp_path, Pictures(timeout=0.0), max_epochs=1)
    assert time.perf_counter() - started < 10
    assert "took longer than callbacks.pictures.timeout=0 s; use a larger one" in caplog.text


def test_a_process_that_cannot_start_is_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    trainer = fit(tmp_path, Pictures())
    assert trainer.state.finished
    assert "pictures are left out, because of FileNotFoundError" in caplog.text


def test_a_graph_that_cannot_be_traced_is_a_warning(tmp_path, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("no\ntrace")

    monkeypatch.setattr("vaelab.training.pictures.add_graph", fail)
    fit(tmp_path, Pictures())
    assert "the graph is left out, because of RuntimeError: no trace" in caplog.text
    assert steps_of_pictures(tmp_path).keys() == ALWAYS | {"manifold", "curves"}


def test_a_run_that_diverged_draws_nothing_and_warns_of_nothing(tmp_path, caplog):
    class Diverge(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == trainer.max_epochs - 1:
                torch.nn.init.constant_(next(pl_module.vae.parameters()), float("nan"))

    with caplog.at_level(logging.WARNING, "vaelab"):
        fit(tmp_path, Pictures(every_n_epochs=None), callbacks=[Diverge()])
    assert not [record for record in caplog.records if record.name.startswith("vaelab")]


class NoMean(nn.Module):
    """A likelihood without a mean."""

    support = "real"

    def forward(self, numbers):
        loc = numbers[..., :24].unflatten(-1, (1, 4, 6))
        return Independent(Cauchy(loc, 1.0, validate_args=False), 3, validate_args=False)


def test_a_likelihood_without_a_mean_is_said_once(tmp_path, caplog):
    model = module(2)
    model.vae.decoder.family = NoMean()
    with caplog.at_level(logging.WARNING, "vaelab"):
        fit(tmp_path, Pictures(every_n_epochs=1), model=model)
    (record,) = [record for record in caplog.records if record.name.startswith("vaelab")]
    assert (
        record.getMessage() == "pictures are left out, because a mean or standard deviation of the model is not finite"
    )


def test_an_error_in_training_leaves_no_process_behind(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(
        "vaelab.training.pictures.DrawingProcess", lambda: started.append(DrawingProcess()) or started[-1]
    )

    def fail():
        raise RuntimeError("as asked")

    with pytest.raises(RuntimeError, match="as asked"):
        fit(tmp_path, Pictures(every_n_epochs=1), callbacks=[Meddle(fail)])
    assert started
    assert all(process.process.returncode is not None for process in started)


CTRL_C = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background ignores it
sys.path[:0] = [{tests!r}, {root!r}]
from training.test_pictures import Meddle, Pictures, fit

pictures = Pictures(every_n_epochs=1)
def wait():
    print(*(process.process.pid for process in pictures.processes), flush=True)
    time.sleep(60)
fit({folder!r}, pictures, callbacks=[Meddle(wait)])
"""


def test_ctrl_c_ends_both_processes_soon(tmp_path):
    script = CTRL_C.format(tests=str(ROOT / "tests"), root=str(ROOT), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    line = process.stdout.readline()
    while not line.split() or not line.split()[0].isdigit():
        assert line, process.stderr.read()
        line = process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and child
    process.communicate(timeout=20)
    assert process.returncode == 1
    for child in line.split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


@pytest.mark.parametrize(
    "wrong", [{"every_n_epochs": 0}, {"every_n_epochs": "often"}, {"examples": 0}, {"timeout": -1.0}]
)
def test_keys_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"callbacks\.pictures\..* must be a .*, but is"):
        Pictures(**wrong)
