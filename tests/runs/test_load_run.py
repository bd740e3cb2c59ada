"""A run's folder -> the trained VAE, without its data and without running what a stranger wrote."""

import os
import shutil
import sys

import pytest
import torch
from torch.testing import assert_close

import vaelab
from helpers.runner import ROOT, SHORT, TINY, compose_config
from vaelab.app.fit import build
from vaelab.app.start import train
from vaelab.families import FullGaussian

POINTS = (*SHORT, *TINY)


def train_in(folder, *overrides):
    train(compose_config(folder, *overrides))
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return train_in(
        tmp_path_factory.mktemp("run"), *POINTS, "model=gaussian_full", "prior=learned_full", "latent_dim=3"
    )


def doctored(run_folder, tmp_path, change):
    """A copy of the run whose best.ckpt went through `change`."""
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    path = copy / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return copy


@pytest.mark.parametrize("options", [("model=gaussian_shared", "prior=learned_diagonal"), ("data=sine_surface",)])
def test_the_vae_is_the_one_that_was_trained(options, tmp_path):
    config = compose_config(tmp_path, *POINTS, *options, "posterior=full", "latent_dim=3")
    train(config)
    run = vaelab.load_run(tmp_path)
    module, data = build(config)
    module.load_state_dict(torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"])
    x, target = next(iter(data.batches("test")))
    z = run.vae.encode(x).mean
    assert_close(z, module.vae.encode(x).mean, rtol=0, atol=0)
    assert_close(run.vae.decode(z).log_prob(target), module.vae.decode(z).log_prob(target), rtol=0, atol=0)
    assert_close(run.vae.prior().log_prob(z), module.vae.prior().log_prob(z), rtol=0, atol=0)


def test_a_run_tells_what_it_was_made_from(run_folder):
    run = vaelab.load_run(run_folder)
    assert isinstance(run.vae, vaelab.VAE)
    assert isinstance(run.vae.decoder.family, FullGaussian)
    assert not any(module.training for module in run.vae.modules())
    assert run.folder == run_folder
    assert run.checkpoint == run_folder / "checkpoints" / "best.ckpt"
    assert (run.x_shape, run.target_shape) == ((2,), (1,))
    assert run.config["latent_dim"] == 3
    assert set(run.metrics) >= {"val/elbo", "test/elbo", "test/kl"}


def test_the_data_module_serves_what_training_saw(run_folder):
    data = vaelab.load_run(run_folder).datamodule(test_size=5)
    data.setup()
    _, trained_on = build(compose_config(run_folder, *POINTS))
    assert_close(data.batches("val").x, trained_on.batches("val").x)
    assert len(data.batches("test").x) == 5


def test_a_run_loads_where_its_data_are_gone(small_mnist, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(small_mnist, images)
    folder = tmp_path / "run"
    train_in(folder, *SHORT, "model=bernoulli", "data=mnist", f"data.root={images}", "data.val_size=7")
    shutil.rmtree(images)
    run = vaelab.load_run(folder)
    assert run.vae.sample(3).shape == (3, 1, 5, 7)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        run.datamodule().prepare_data()
    moved = run.datamodule(root=str(small_mnist))
    moved.prepare_data()
    moved.setup()
    assert len(moved.batches("test").x) == 20


def test_a_relative_path_of_the_data_is_found_from_any_folder(small_mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(small_mnist.parent)
    options = ("model=bernoulli", "data=mnist", f"data.root={small_mnist.name}", "data.val_size=7")
    train_in(tmp_path, *SHORT, *options)
    monkeypatch.chdir(tmp_path)
    data = vaelab.load_run(tmp_path).datamodule()
    data.setup()
    assert len(data.batches("test").x) == 20


def test_cells_of_a_sweep_and_single_checkpoints_load_too(tmp_path):
    for size in (1, 3):
        train_in(tmp_path / "sweep" / f"latent_dim={size}", *POINTS, f"latent_dim={size}")
        run = vaelab.load_run(tmp_path / "sweep" / f"latent_dim={size}")
        assert run.vae.prior().event_shape == (size,)
    last = tmp_path / "sweep" / "latent_dim=3" / "checkpoints" / "last.ckpt"
    assert vaelab.load_run(last).folder == tmp_path / "sweep" / "latent_dim=3"
    moved = shutil.copy(last, tmp_path / "elsewhere.ckpt")
    assert vaelab.load_run(moved).vae.prior().event_shape == (3,)
    with pytest.raises(
        FileNotFoundError, match=r"sweep is not a run.*holds the runs latent_dim=1, latent_dim=3, so name"
    ):
        vaelab.load_run(tmp_path / "sweep")


def test_the_last_weights_are_taken_where_there_are_no_best(run_folder, tmp_path):
    copy = shutil.copytree(run_folder, tmp_path / "copy")
    (copy / "checkpoints" / "best.ckpt").unlink()
    assert vaelab.load_run(copy).checkpoint.name == "last.ckpt"


def test_what_is_no_run_is_told_in_a_sentence(run_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist, so there is no run to load"):
        vaelab.load_run(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="is not a run, because a run's folder holds"):
        vaelab.load_run(tmp_path)
    torn = tmp_path / "torn.ckpt"
    torn.write_bytes((run_folder / "checkpoints" / "best.ckpt").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"torn.ckpt cannot be read as a checkpoint"):
        vaelab.load_run(torn)
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other.ckpt holds no config of vaelab"):
        vaelab.load_run(tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="device=nonsense cannot be used here"):
        vaelab.load_run(run_folder, device="nonsense")


def test_weights_that_do_not_fit_are_told(run_folder, tmp_path):
    copy = doctored(
        run_folder, tmp_path, lambda content: content["hyper_parameters"]["network"]["encoder"].update(hidden=[5, 4])
    )
    with pytest.raises(ValueError, match="weights that do not fit its own config"):
        vaelab.load_run(copy)


# A checkpoint is data


class Payload:
    def __reduce__(self):
        return (os.abort, ())


def test_pickled_code_does_not_run(run_folder, tmp_path):
    copy = doctored(run_folder, tmp_path, lambda content: content.update(payload=Payload()))
    with pytest.raises(ValueError, match=r"best.ckpt cannot be read as a checkpoint \(UnpicklingError"):
        vaelab.load_run(copy)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "vaelab.runs.folder.shlex.quote",  # another's function, reached through vaelab
        "vaelab.runs.load.Path",
        "vaelab.runs.load.load_run",
        "vaelab.nowhere.Thing",
        "vaelab",
        "",
        "vaelab.families.__dict__",
        "vaelab.families.DiagonalGaussian.__init__",
    ],
)
def test_a_config_names_constructors_of_vaelab_alone(target, run_folder, tmp_path):
    copy = doctored(run_folder, tmp_path, lambda content: content["hyper_parameters"]["prior"].update(_target_=target))
    with pytest.raises(ValueError, match=f"names {target}"):
        vaelab.load_run(copy)


@pytest.mark.parametrize(
    "target", ["vaelab.figures.drawing_process.DrawingProcess", "vaelab.data.Sine", "vaelab.vae.VAE"]
)
def test_a_class_of_vaelab_is_called_only_where_it_belongs(target, run_folder, tmp_path):
    copy = doctored(run_folder, tmp_path, lambda content: content["hyper_parameters"]["prior"].update(_target_=target))
    with pytest.raises(ValueError, match=f"prior in the run's config must not be {target}, so it is not called"):
        vaelab.load_run(copy)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (
            lambda config: config.pop("posterior"),
            "posterior in the run's config must be a table of keys with a _target_",
        ),
        (lambda config: config.update(x_shape=3), "x_shape in the run's config must be a list of 1 to 8 whole numbers"),
        (lambda config: config.update(network=None), "network in the run's config must be a table of keys"),
        (lambda config: config["prior"].update(_target_=3), "prior in the run's config must be a table of keys"),
        (lambda config: config["network"].update(_args_=[[2], 3]), "the key network._args_, which no run writes"),
        (
            lambda config: config["network"]["decoder"].update(hidden=[3_000_000, 3_000_000]),
            "weights that do not fit its own config",
        ),
        (
            lambda config: config["network"]["encoder"].update(hidden=[10**15] * 2),
            "config from which no model can be built",
        ),
        (lambda config: config["network"].update(hidden=[1] * 2000), "must be a list of at most 1000 entries"),
        (
            lambda config: config["model"].update(min_std=float("nan")),
            "model.min_std in the run's config must be a finite",
        ),
        (lambda config: config["posterior"].update(event_shape=[10**8]), "the prior's z must have the"),
        (lambda config: config.update(latent_dim=10**400), "it holds a whole number of more than 64 bits"),
    ],
)
def test_a_config_that_describes_no_model_is_told(change, answer, run_folder, tmp_path):
    copy = doctored(run_folder, tmp_path, lambda content: change(content["hyper_parameters"]))
    with pytest.raises(ValueError, match=answer):
        vaelab.load_run(copy)


def test_ones_own_classes_load_when_their_package_is_allowed(run_folder, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from vaelab.priors import LearnedPrior\n\nclass Mine(LearnedPrior):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    copy = doctored(
        run_folder, tmp_path, lambda content: content["hyper_parameters"]["prior"].update(_target_="mine.Mine")
    )
    with pytest.raises(ValueError, match=r"names mine.Mine, which is not a class of vaelab"):
        vaelab.load_run(copy)
    assert type(vaelab.load_run(copy, allow=["mine"]).vae.prior).__name__ == "Mine"


def test_loading_needs_neither_lightning_nor_hydra(run_folder):
    import subprocess

    code = (
        "import sys, vaelab; run = vaelab.load_run(sys.argv[1]); run.vae.sample(2);"
        "print({'lightning', 'hydra', 'omegaconf', 'matplotlib'} & set(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, run_folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.stdout == "set()\n", process.stderr
