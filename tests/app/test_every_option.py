"""Each option of a model in a run: it resumes bit for bit, two processes share it, every verb and picture takes it.

The rows hold each option once. Which options can meet is in test_every_pair.py.
"""

import json
import math
import os
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.multiprocessing import ProcessRaisedException

import vaelab
from helpers.covering import covering_array
from helpers.idx_files import TEST_LABELS, TRAIN_LABELS, write_idx_labels, write_small_mnist
from helpers.options import GROUPS, SMALL, possible
from helpers.remains import differences, remains
from helpers.runner import compose_config
from helpers.written import columns, is_picture
from vaelab.app.cli import main
from vaelab.app.fit import build
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.runs.figure import NAMES, WHY_NOT
from vaelab.steps import stepper
from vaelab.training import VAEModule

TABLES = ("poisson", "negative_binomial", "categorical", "columns")  # likelihoods whose data are columns
RUN = (
    *("trainer.max_epochs=2", "data.batch_size=14", "latent_dim=2", "network.hidden=[6]", "objective.samples=3"),
    *("callbacks.pictures=null", "callbacks.last.seconds=null", "callbacks.last.every_n_steps=1"),
    *("optimizer.lr=0.003", "trainer.accelerator=cpu", "trainer.log_every_n_steps=2", "score=val/loss"),
)
WHOLE_BATCH = ("beta_tc", "info")  # objectives that need all of a minibatch
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def possible_in_a_run(row):
    """Columns are no images, so convolutions cannot read them."""
    return possible(row) and not (row.get("model") in TABLES and row.get("network") in ("conv", "residual"))


ROWS = covering_array(GROUPS, possible_in_a_run, strength=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Labelled images, labelled counts, and a table with a column of each kind."""
    folder = tmp_path_factory.mktemp("data")
    write_small_mnist(folder, train=60, test=21, rows=5, columns=6)
    write_idx_labels(folder / TRAIN_LABELS, torch.arange(60) % 3)
    write_idx_labels(folder / TEST_LABELS, torch.arange(21) % 3)
    draws = np.random.default_rng(0)
    lines = [f"{','.join(map(str, draws.integers(0, 5, 4)))},{'abc'[n % 3]}" for n in range(67)]
    (folder / "counts.csv").write_text("\n".join(["u,v,w,x,kind", *lines, ""]))
    lines = [f"{draws.normal():.4f},{draws.poisson(3)},{'rgb'[n % 3]},{n % 2},{'abc'[n % 3]}" for n in range(67)]
    (folder / "mixed.csv").write_text("\n".join(["height,visits,colour,member,kind", *lines, ""]))
    return folder


def overrides(row, folder):
    """The overrides of `train.py` for a row."""
    chosen = [f"{group}={row[group]}" for group in ("model", "posterior", "prior", "network", "objective")]
    keys = [*chosen, *RUN, *(key for option in chosen for key in SMALL.get(option, []))]
    if row["model"] == "categorical":
        keys += ["model.categories=5"]
    if row["model"] == "discretized_logistic":
        keys += ["model.levels=256"]
    if row["objective"] not in ("beta_tc", "info"):
        keys += [f"objective.gradient={row['gradient']}"]
    if row["condition"] == "label":
        keys += ["condition=label"]
    if row["model"] not in TABLES:
        return [*keys, "data=mnist", f"data.root={folder}", "data.val_size=11"]
    file = "mixed" if row["model"] == "columns" else "counts"
    return [*keys, "data=table", f"data.path={folder / file}.csv", "data.label=kind", "data.eval_batch_size=4"]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The number of a row -> the folder of its run, which is trained once."""

    @cache
    def trained(index):
        folder = tmp_path_factory.mktemp("whole")
        with pytest.MonkeyPatch.context() as change:
            change.setattr(stepper, "TRACE_AFTER", 3)
            train(compose_config(folder, *overrides(ROWS[index], data)))
        return folder

    return trained


each_row = pytest.mark.parametrize("index", range(len(ROWS)), ids=["-".join(row.values()) for row in ROWS])


def test_each_option_has_a_row():
    assert {choice for row in ROWS for choice in row.items()} == {
        (group, option) for group in GROUPS for option in GROUPS[group]
    }


class Death(BaseException):
    """The process died: nothing is cleaned up."""


@each_row
def test_it_resumes_bit_for_bit(index, data, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(stepper, "TRACE_AFTER", 3)
    validate, calls = VAEModule.validation_step, []

    def dies(self, *arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise Death
        return validate(self, *arguments)

    with monkeypatch.context() as change:
        change.setattr(VAEModule, "validation_step", dies)
        with pytest.raises(Death):
            train(compose_config(tmp_path, *overrides(ROWS[index], data)))
    resume({"resume": str(tmp_path)})
    assert differences(remains(whole(index)), remains(tmp_path)) == []


def why_not_drawn(run, name):
    """Draws a picture. Returns the reason if the run has none of this name."""
    try:
        run.figure(name)
    except ValueError as error:
        return str(error)
    return None


@each_row
def test_every_verb_and_picture_takes_it(index, whole, tmp_path, capsys):
    run, row = whole(index), ROWS[index]
    images = row["model"] not in TABLES
    given = ["--condition", "1"] if row["condition"] == "label" else []
    picture, table = ("png", "npz") if images else ("csv", "parquet")
    commands = {
        "evaluate": ["--samples", "40", "--draws", "0"],
        "score": ["test", "--samples", "40", "-o", tmp_path / "score.npz"],
        "encode": ["val", "-o", tmp_path / f"encode.{table}"],
        "reconstruct": ["test", "-o", tmp_path / f"reconstruct.{picture}"],
        "sample": ["-n", "7", *given, "-o", tmp_path / f"sample.{picture}"],
        "traverse": [*given, "-o", tmp_path / "traverse.png"],
        "interpolate": ["test:0", "val:1", *given, "-o", tmp_path / "interpolate.png"],
        "export": ["-o", tmp_path / "model.safetensors"],
    }
    for verb, arguments in commands.items():
        main([verb, str(run), *map(str, arguments)])
    main(["compare", str(run)])
    main(["list", str(run)])
    assert run.name in capsys.readouterr().out
    assert all(is_picture(path) for path in tmp_path.glob("*.png"))
    assert {path.stem for path in tmp_path.iterdir()} == {*commands, "model"} - {"evaluate", "export"}
    numbers = [values for file in (f"encode.{table}", "score.npz") for values in columns(tmp_path / file).values()]
    assert all(np.isfinite(values).all() for values in numbers if values.dtype.kind == "f")
    loaded = vaelab.load_run(run)
    refused = {name: reason for name in NAMES if (reason := why_not_drawn(loaded, name))}
    assert refused.keys() <= WHY_NOT.keys()
    assert all(reason.startswith("name must be one of ") for reason in refused.values())
    numbers = json.loads((run / "evaluation.json").read_text())
    assert all(math.isfinite(value) for value in numbers.values() if isinstance(value, float))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a forked process cannot use CUDA")
@each_row
def test_two_processes_share_it(index, data):
    config = compose_config(data, *overrides(ROWS[index], data))
    found = []
    for options in ({"devices": 1}, {"devices": 2, "strategy": "ddp_fork"}):
        with patch.dict(os.environ):  # Lightning writes MASTER_PORT and the like
            torch.manual_seed(3)
            module, rows = build(config)
            torch.manual_seed(4)
            trainer = Trainer(accelerator="cpu", max_epochs=1, num_sanity_val_steps=0, **QUIET, **options)
            if ROWS[index]["objective"] in WHOLE_BATCH and options["devices"] == 2:
                with pytest.raises(ProcessRaisedException, match=r"trainer\.devices must be 1 for this objective"):
                    trainer.fit(module, rows)
                return
            trainer.fit(module, rows)
        found.append(([*module.parameters()], trainer.callback_metrics))
    (one, metrics), (two, shared) = found
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
    assert {tag: float(value) for tag, value in shared.items()} == pytest.approx(
        {tag: float(value) for tag, value in metrics.items()}, rel=1e-4, abs=1e-5
    )
