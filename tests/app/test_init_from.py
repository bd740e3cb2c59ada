"""`init_from=RUN`: a new run starts from the weights of another."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from helpers.runner import SHORT, TINY, compose_config, run_train
from vaelab.app.fit import build, recipe
from vaelab.app.start import train
from vaelab.app.trainer import Resumed
from vaelab.checkpoint import read_checkpoint, write_checkpoint
from vaelab.runs.load import load_run
from vaelab.runs.run_state import read_state
from vaelab.sweeps.config_hash import config_hash

TABLE = ("data=table", "prior=vamp", "prior.components=4", *SHORT)


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sine")
    train(compose_config(folder, *SHORT, *TINY))
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A run with standardised columns and a VampPrior."""
    folder = tmp_path_factory.mktemp("table")
    write_table(folder / "rows.csv", "abc", seed=0)
    run = folder / "run"
    train(compose_config(run, *TABLE, f"data.path={folder}/rows.csv"))
    return run


def write_table(path, names, seed, shift=0.0):
    """A .csv whose column `a` is near 100, `b` near 200 and `c` near 300, in the order of the names."""
    rows = np.random.default_rng(seed).normal(shift + np.array([100, 200, 300]), [1, 10, 0.1], size=(41, 3))
    lines = [",".join(names), *(",".join(f"{row['abc'.index(name)]:.5f}" for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def built(tmp_path, *overrides, **options):
    return build(compose_config(tmp_path, *SHORT, *TINY, *overrides), **options)


def test_all_weights_come_from_the_other_run_and_it_says_so(sine, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    module, _ = built(tmp_path, f"init_from={sine}", "seed=5", "optimizer.lr=0.5", "objective=iwae")
    best = load_run(sine).vae.state_dict()
    assert module.vae.state_dict().keys() == best.keys()
    assert all(torch.equal(value, best[name]) for name, value in module.vae.state_dict().items())
    count = sum(value.numel() for value in best.values())
    assert f"starts from the {count:,} weights in {sine}/checkpoints/best.ckpt" in caplog.text
    last = read_checkpoint(sine / "checkpoints" / "last.ckpt")["state_dict"]
    module, _ = built(tmp_path, f"init_from={sine}/checkpoints/last.ckpt")
    assert all(torch.equal(value, last[f"vae.{name}"]) for name, value in module.vae.state_dict().items())


def test_scales_come_from_the_new_data_and_pseudo_inputs_from_the_old_run(table, tmp_path):
    rows = write_table(tmp_path / "new.csv", "abc", seed=1, shift=50)
    module, data = build(compose_config(tmp_path, *TABLE, f"data.path={rows}", f"init_from={table}"))
    other = load_run(table).vae
    assert_close(module.vae.prior.pseudo_inputs, other.prior.pseudo_inputs)
    units = module.vae.encoder.input_units
    loc, scale = data.standardization("x")
    assert_close(units.loc, loc)
    assert_close(units.scale, scale)
    assert (units.loc - other.encoder.input_units.loc).min() > 45
    x = data.examples("train")[0]
    u = (x - loc) / scale
    assert_close(module.vae.encode(x).mean, other.encode(other.encoder.input_units.undo(u)).mean, rtol=1e-3, atol=1e-4)


def test_columns_follow_the_order_of_the_other_run(table, tmp_path):
    rows = write_table(tmp_path / "turned.csv", "cab", seed=0)
    _, data = build(compose_config(tmp_path, *TABLE, f"data.path={rows}", f"init_from={table}"))
    assert data.x_names == ("a", "b", "c")
    assert_close(data.mean(), torch.tensor([100.0, 200.0, 300.0]), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("latent_dim=3", "latent_dim is 2, and here it is 3; set latent_dim=2"),
        ("network.hidden=[7]", r"network.hidden is \[6\], and here it is \[7\]; set network.hidden=\[6\]"),
        ("network.activation=silu", "network.activation is .*, and here it is silu"),
        ("model=laplace", "model._target_ is vaelab.families.DiagonalGaussian, .*Laplace; choose the same model"),
        ("model.init_std=0.7", "model.init_std is .*, and here it is 0.7"),
        ("posterior=full", "posterior._target_ is .*; choose the same posterior"),
        ("prior=vamp", "prior._target_ is .*; choose the same prior"),
        ("data=sine_surface", r"x_shape is \[2\], and here it is \[3\]; use data of that shape"),
    ],
)
def test_another_architecture_is_refused_with_its_key(override, words, sine, tmp_path):
    with pytest.raises(
        ValueError, match=f"^init_from must name a run of the same architecture, but in .*best.ckpt {words}"
    ):
        built(tmp_path, f"init_from={sine}", override)


def changed(sine, folder, change):
    """A copy of a run whose best checkpoint is changed."""
    copy = shutil.copytree(sine, folder / "copy")
    content = read_checkpoint(copy / "checkpoints" / "best.ckpt")
    change(content)
    write_checkpoint(copy / "checkpoints" / "best.ckpt", content)
    return copy


def replaced(name, value):
    return lambda content: content["state_dict"].__setitem__(name, value)


FIRST = "vae.encoder.network.layers.0.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replaced(FIRST, torch.zeros(3, 3)), r"layers.0.weight has the shape \[3,3\], and here \[6,2\]"),
        (replaced(FIRST, torch.full((6, 2), torch.nan)), "layers.0.weight is not finite, so that run has diverged"),
        (
            replaced(FIRST, torch.zeros(6, 2, dtype=torch.long)),
            "layers.0.weight holds other numbers than torch.f",
        ),
        (replaced(FIRST, "a text"), "layers.0.weight holds other numbers"),
        (replaced("vae.more", torch.zeros(1)), "there is also a weight more"),
        (lambda content: content["state_dict"].pop(FIRST), "there is no weight encoder.network.layers.0.weight"),
        (
            lambda content: content["hyper_parameters"].update(x_names=["a\x1b[2J", 3]),
            "x_names in the run's config",
        ),
        (lambda content: content["hyper_parameters"]["model"].update(_target_="os.system"), "os.system, and here"),
        (lambda content: content.pop("hyper_parameters"), "holds no config of vaelab"),
    ],
)
def test_checkpoints_of_strangers_are_data(change, words, sine, tmp_path):
    with pytest.raises(ValueError, match=f"^init_from must name a run.*{words}"):
        built(tmp_path, f"init_from={changed(sine, tmp_path, change)}")


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    for named, words in {
        "gone": "gone does not exist",
        ".": "is not a run, because",
        "text.ckpt": "cannot be read",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=f"^init_from must name a run, but .*{words}"):
            built(tmp_path, f"init_from={tmp_path}/{named}")


def test_a_relative_path_starts_where_the_command_was_typed_and_resume_needs_no_other_run(sine, tmp_path):
    shutil.copytree(sine, tmp_path / "other run")
    done = run_train(tmp_path, *SHORT, *TINY, "init_from='other run'", "hydra.run.dir=new", "hydra.job.chdir=true")
    assert done.returncode == 0, done.stderr
    config = read_checkpoint(tmp_path / "new" / "checkpoints" / "last.ckpt")["hyper_parameters"]
    assert config["init_from"] == f"{tmp_path}/other run"
    shutil.rmtree(tmp_path / "other run")
    done = run_train(tmp_path, "resume=new", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert read_state(tmp_path / "new").state == "done"
    assert load_run(tmp_path / "new").config["init_from"] == f"{tmp_path}/other run"
    done = run_train(tmp_path, "resume=new", "init_from=new")
    assert done.returncode == 1
    assert "init_from cannot change when a run resumes" in done.stderr


def test_a_run_without_a_step_restarts_from_its_own_first_checkpoint(sine, tmp_path):
    content = read_checkpoint(sine / "checkpoints" / "best.ckpt") | {"global_step": 0}
    resumed = Resumed(tmp_path / "checkpoints" / "last.ckpt", content)
    module, _ = built(tmp_path, f"init_from={tmp_path}/gone", resumed=resumed)
    assert torch.equal(module.vae.state_dict()[FIRST.removeprefix("vae.")], content["state_dict"][FIRST])


def test_the_hash_is_that_of_the_weights_not_of_their_place(sine, tmp_path):
    copy = shutil.copytree(sine, tmp_path / "copy")
    config = recipe(compose_config(tmp_path))
    hashes = [config_hash(config | {"init_from": str(run)}) for run in (sine, copy, copy / "checkpoints" / "best.ckpt")]
    assert len(set(hashes)) == 1
    assert config_hash(config) != hashes[0]
    (copy / "checkpoints" / "best.ckpt").write_bytes(b"others")
    assert config_hash(config | {"init_from": str(copy)}) != hashes[0]


def test_a_sweep_starts_each_cell_from_its_run(sine, tmp_path):
    changed(sine, tmp_path, replaced(FIRST, torch.ones(6, 2))).rename(tmp_path / "two")
    shutil.copytree(sine, tmp_path / "one")
    done = run_train(tmp_path, "-m", *SHORT, *TINY, "init_from=one,two", "seed=1", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    cells = sorted(path.parent for path in (tmp_path / "sweep").glob("*/metrics.json"))
    assert [load_run(cell).config["init_from"] for cell in cells] == [f"{tmp_path}/{name}" for name in ("one", "two")]
    elbos = {json.loads((cell / "metrics.json").read_text())["test/elbo"] for cell in cells}
    assert len(elbos) == 2
