"""Whole runs, as users start them."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from helpers.idx_files import random_images, write_idx_images, write_small_mnist
from helpers.runner import ROOT, compose_config, messages, run_train
from vaelab.app.fit import build
from vaelab.app.start import train
from vaelab.runs.load import load_run
from vaelab.runs.run_state import read_state

TERMS = ("elbo", "log_likelihood", "kl", "bound", "loss")
LANDMARKS = {f"{split}/{name}" for split in ("val", "test") for name in ("baseline", "ceiling")}
SIZES = ("data.train_size=250", "data.val_size=70", "data.test_size=90")
MNIST = ("model=bernoulli", "data=mnist", "data.val_size=13", "network.hidden=[9]", "latent_dim=3")


def curves(folder: Path) -> dict[str, list]:
    """Every scalar curve in a run's folder: tag -> events."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}


def evaluate_again(folder: Path) -> dict[str, float]:
    """`val/*` and `test/*` of a run's best.ckpt, from its own config."""
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    module, data = build(config)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator=config.trainer.accelerator, **quiet)  # another device draws other z
    best = folder / "checkpoints" / "best.ckpt"
    (validated,) = trainer.validate(module, data, ckpt_path=best, verbose=False)
    (tested,) = trainer.test(module, data, ckpt_path=best, verbose=False)
    return {**validated, **tested}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The runs for the tests, two at a time: name -> (working folder, finished process)."""
    mnist = tmp_path_factory.mktemp("images")
    write_small_mnist(mnist, train=60, test=20, rows=5, columns=7, gz=True)
    commands = {
        "default": [*SIZES, "trainer.max_epochs=3"],
        "images": [*MNIST, f"data.root={mnist}", "trainer.max_epochs=2", "data.batch_size=16"],
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in commands}
    with ThreadPoolExecutor(2) as pool:
        finished = {name: pool.submit(run_train, folders[name], *arguments) for name, arguments in commands.items()}
    return {name: (folders[name], process.result()) for name, process in finished.items()}


def only_run(cwd: Path) -> Path:
    (folder,) = cwd.glob("outputs/*/*")
    return folder


@pytest.mark.parametrize("name", ["default", "images"])
def test_a_run_ends_with_its_numbers_its_folder_and_the_tensorboard_command(name, runs):
    cwd, process = runs[name]
    assert process.returncode == 0, process.stderr
    folder = only_run(cwd)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) - LANDMARKS == {f"{split}/{term}" for split in ("val", "test") for term in TERMS}
    for term in TERMS:
        row = re.search(rf"^{term} +(\S+) +(\S+)$", process.stdout, re.M)
        assert row.groups() == (f"{metrics[f'val/{term}']:.3f}", f"{metrics[f'test/{term}']:.3f}")
    assert f"run     {folder.relative_to(cwd)}" in process.stdout
    assert "tensorboard --logdir outputs" in process.stdout
    assert messages(process.stderr) == []


@pytest.mark.parametrize("name", ["default", "images"])
def test_a_run_leaves_what_the_design_says(name, runs):
    folder = only_run(runs[name][0])
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left >= {".hydra/config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.json", "train.log"}
    assert any(name.startswith("events.out.tfevents") for name in left)
    filled_in = OmegaConf.load(folder / "hparams.yaml")
    assert filled_in.posterior.event_shape == [filled_in.latent_dim]
    assert filled_in.callbacks.best.dirpath == str(folder / "checkpoints")


def test_the_curves_are_the_terms_of_each_split(runs):
    for name, (steps, epochs) in {"default": (3, 3), "images": (3, 2)}.items():
        scalars = curves(only_run(runs[name][0]))
        tags = {f"{split}/{term}" for split in ("train", "val") for term in TERMS}
        metrics = json.loads((only_run(runs[name][0]) / "metrics.json").read_text())
        assert set(scalars) - {"train/weight_of_kl"} == tags | {f"when_done/{tag}" for tag in metrics}
        ends = [steps * (epoch + 1) - 1 for epoch in range(epochs)]  # Lightning counts steps from 0
        assert [event.step for event in scalars["train/elbo"]] == ends
        assert [event.step for event in scalars["val/elbo"]] == ends
        assert len(scalars["when_done/test/elbo"]) == 1


def test_the_hyper_parameters_tab_has_the_same_columns_in_every_run(runs):
    """Choices of every group, keys and final numbers; numbers as numbers, names as names, whatever the run."""
    columns = {}
    for name in ("default", "images"):
        folder = only_run(runs[name][0])
        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        metadata = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(metadata).session_start_info.hparams
        columns[name] = {key: value.WhichOneof("kind") for key, value in hparams.items()}
        assert hparams["model"].string_value == {"default": "gaussian", "images": "bernoulli"}[name]
        assert hparams["latent_dim"].number_value == {"default": 2, "images": 3}[name]
        metrics = json.loads((folder / "metrics.json").read_text())
        final = {tag: accumulator.Scalars(f"when_done/{tag}")[-1].value for tag in metrics}
        assert final == pytest.approx(metrics)
    shared = columns["default"].keys() & columns["images"].keys()
    assert {key: columns["default"][key] for key in shared} == {key: columns["images"][key] for key in shared}
    assert shared >= {"model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler", "seed"}
    assert shared >= {"latent_dim", "network.hidden", "objective.beta", "optimizer.lr", "trainer.max_epochs"}
    assert not {key for key in shared if "_target_" in key or key.startswith(("callbacks", "logger", "hydra"))}


@pytest.mark.parametrize("name", ["default", "images"])
def test_the_metrics_are_those_of_the_best_checkpoint(name, runs):
    folder = only_run(runs[name][0])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == pytest.approx(evaluate_again(folder), rel=1e-6)
    best = max(event.value for event in curves(folder)["val/elbo"])
    assert metrics["val/elbo"] == pytest.approx(best, rel=1e-6)


def test_checkpoints_hold_plain_values_alone(runs):
    for name in ("default", "images"):
        for file in ("best", "last"):
            path = only_run(runs[name][0]) / "checkpoints" / f"{file}.ckpt"
            checkpoint = torch.load(path, weights_only=True)
            assert checkpoint["metrics"].keys() - LANDMARKS == {f"val/{term}" for term in TERMS}


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_config_answer_without_heavy_imports(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    process = run_train(tmp_path, *arguments, fresh=True)
    assert process.returncode == 0
    assert "latent_dim: 2" in process.stdout
    imported = {line.split("|")[-1].strip().split(".")[0] for line in process.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "lightning", "tensorboard", "numpy"}


BAD_INPUT = {
    "model=nonsense": "model=nonsense is not known; use one of bernoulli, categorical, columns, ",
    "latent_dmi=3": "latent_dmi is not a key, so nothing would read it; did you mean latent_dim?",
    "network.decoder.inputs=2": "is not in the config, but may be added; write +network.decoder.inputs=",
    "network.hiden=[3]": "network.hiden is not a key, so nothing would read it; did you mean network.hidden?",
    "latent_dim=0": "latent_dim must be a whole number of at least 1, but is 0",
    "model=bernoulli data=sine": "because sin(x+y) is real-valued, but scores binary data; use a Gaussian",
    "model=bernoulli data=mnist data.root=nowhere": "data.root must be a folder of IDX files, but nowhere",
    "model=bernoulli data=mnist data.root=truncated": "4 images of 5x7 pixels, 140 bytes, but holds only 84; fetch it",
    "model=bernoulli data=mnist data.root=magic": "like all IDX files of images, but starts with 0x00000801; ",
    "model=bernoulli data=mnist data.root=promise": "images of 4294967295x4294967295 pixels",
    "model=bernoulli data=mnist data.root=cut": "a complete gzip file, but is not (Compressed file ended before",
    "optimizer.lr=fast": "optimizer.lr must be a number of at least 0, but is 'fast'",
    "optimizer.betas=[a,b]": "check optimizer.betas=[a,b], or set HYDRA_FULL_ERROR=1 to see where",
    "optimizer.lr=1e15 trainer.max_epochs=1 trainer.accelerator=cpu": "the loss of step 2 is not finite, because",
    "latent_dim=2,3": "latent_dim=2,3 must have one value for one run, but has several; add -m to train a run for each",
    "model=bernoulli data=mnist data.root=images": "data.val_size must be smaller than the number of training images, ",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The message of each bad input, two at a time."""
    cwd = tmp_path_factory.mktemp("bad_input")
    images = random_images(4, 5, 7)
    for name, damage in {
        "images": {},
        "truncated": {"keep": 100},
        "magic": {"magic": 0x801},
        "promise": {"declared": (2**32 - 1,) * 3},
    }.items():
        (cwd / name).mkdir()
        write_idx_images(cwd / name / "train-images-idx3-ubyte", images, **damage)
        write_idx_images(cwd / name / "t10k-images-idx3-ubyte", images)
    write_idx_images(cwd / "whole.gz", images)
    (cwd / "cut").mkdir()
    (cwd / "cut" / "train-images-idx3-ubyte.gz").write_bytes((cwd / "whole.gz").read_bytes()[:60])
    write_idx_images(cwd / "cut" / "t10k-images-idx3-ubyte", images)
    with ThreadPoolExecutor(2) as pool:
        started = {  # each in a folder of its own: runs that start in the same second would share one
            typed: pool.submit(run_train, cwd, *typed.split(), f"hydra.run.dir=run{index}")
            for index, typed in enumerate(BAD_INPUT)
        }
    return {typed: process.result() for typed, process in started.items()}


@pytest.mark.parametrize("typed", BAD_INPUT)
def test_bad_input_ends_in_one_sentence(typed, answers):
    process = answers[typed]
    assert process.returncode == 1
    (line,) = messages(process.stderr)
    assert line.startswith("error: ")
    assert BAD_INPUT[typed] in line
    assert process.stdout == ""


def readme_script(beginning):
    """The script in the README that begins with this text."""
    scripts = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (script,) = (script for script in scripts if script.startswith(beginning))
    return script


def test_a_plain_torch_script_needs_neither_hydra_nor_lightning(capsys):
    code = readme_script("import torch\n") + "import sys; print({'lightning', 'hydra'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    trained, modules = process.stdout.splitlines()
    assert float(re.search(r"-?\d+\.\d+", trained)[0]) > -2.5  # a Gaussian of independent dimensions reaches -3.0
    assert modules == "set()"


def test_the_script_that_uses_a_run_works(runs):
    cwd, _ = runs["images"]
    script = readme_script("import vaelab\n").replace("outputs/mnist", str(only_run(cwd)))
    names = {"x": torch.rand(4, 1, 5, 7).round()}
    exec(script, names)
    assert names["log_p"].shape == (4,)
    assert names["q"].batch_shape == (4,)
    assert names["p"].event_shape == (1, 5, 7)


def test_a_plain_lightning_script_needs_no_hydra(tmp_path):
    script = readme_script("from functools import partial")
    assert "hydra" not in script
    write_small_mnist(tmp_path / "mnist", train=60, test=20, rows=28, columns=28)
    names: dict = {}
    script = script.replace('root="data/mnist"', f'root="{tmp_path / "mnist"}", val_size=13')
    script = script.replace("outputs/mine", str(tmp_path / "mine"))
    exec(script.replace("trainer = Trainer(", f'trainer = Trainer(default_root_dir="{tmp_path}", '), names)
    assert set(names["trainer"].callback_metrics) >= {"test/elbo", "test/kl"}
    assert set(load_run(tmp_path / "mine").metrics) >= {"val/elbo", "val/bound"}


def test_a_new_try_in_a_folder_is_known_by_its_own_values(tmp_path):
    for seed in (5, 7):
        with pytest.raises(ValueError, match="latent_dim must be a whole number of at least 1"):
            train(compose_config(tmp_path, "latent_dim=0", f"seed={seed}"))
        state = read_state(tmp_path)
        assert (state.state, state.overrides) == ("failed", ("latent_dim=0", f"seed={seed}"))
