"""Whole sweeps, as users start them."""

import json
import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from helpers.runner import SHORT, TINY, run_train, start_train
from helpers.sweeping import LAUNCHERS, states, sweep, table
from vaelab.runs.run_state import read_state

GRID = ("-m", "model=gaussian_identity,gaussian", "latent_dim=1,3", "seed=1,2", *TINY, *SHORT)
CELLS = {
    f"model={m},latent_dim={d},seed={s}" for m in ("gaussian_identity", "gaussian") for d in (1, 3) for s in (1, 2)
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """An undisturbed sweep with Hydra's basic launcher: its folder and process."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    process = sweep(cwd, *GRID)
    return cwd / "sweep", process


def test_a_sweep_leaves_a_run_per_combination_and_a_summary(undisturbed):
    folder, process = undisturbed
    assert process.returncode == 0, process.stderr
    assert states(folder) == dict.fromkeys(CELLS, "done")
    assert "8 runs: 8 done" in process.stdout
    summary = table(folder)
    assert summary.keys() == CELLS
    for name, row in summary.items():
        assert name == f"model={row['model']},latent_dim={row['latent_dim']},seed={row['seed']}"
        metrics = json.loads((folder / name / "metrics.json").read_text())
        assert {tag: float(row[tag]) for tag in metrics} == metrics
        assert read_state(folder / name).config
    assert len({read_state(folder / name).config for name in CELLS}) == len(CELLS)
    assert (folder / "elbo_over_latent_dim.png").is_file()


def test_a_cell_is_the_run_that_one_would_start_by_hand(undisturbed, tmp_path):
    folder, _ = undisturbed
    alone = run_train(tmp_path, "model=gaussian", "latent_dim=3", "seed=2", *TINY, *SHORT, "hydra.run.dir=alone")
    assert alone.returncode == 0, alone.stderr
    cell = folder / "model=gaussian,latent_dim=3,seed=2"
    assert (tmp_path / "alone" / "metrics.json").read_text() == (cell / "metrics.json").read_text()
    assert read_state(cell).config == read_state(tmp_path / "alone").config


def test_the_hyper_parameters_tab_shows_every_cell(undisturbed):
    folder, _ = undisturbed
    seen = set()
    for name in CELLS:
        events = EventAccumulator(str(folder / name))
        events.Reload()
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        seen.add((hparams["model"].string_value, hparams["latent_dim"].number_value, hparams["seed"].number_value))
        metrics = json.loads((folder / name / "metrics.json").read_text())
        final = {tag: events.Scalars(f"when_done/{tag}")[-1].value for tag in metrics}
        assert final == pytest.approx(metrics)
        assert "hp_metric" not in events.Tags()["scalars"]
    assert len(seen) == len(CELLS)


def test_what_is_done_is_not_run_again(undisturbed):
    folder, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for name in CELLS for path in (folder / name).rglob("*")}
    again = sweep(folder.parent, *GRID)
    assert again.returncode == 0, again.stderr
    assert "8 runs: 8 done" in again.stdout
    assert {path: path.stat().st_mtime_ns for name in CELLS for path in (folder / name).rglob("*")} == before
    other = sweep(folder.parent, *GRID, "optimizer.lr=0.5")
    assert other.returncode == 1
    assert "holds another cell, which differs in optimizer.lr=0.5; use another" in other.stderr
    assert "Traceback" not in other.stderr


def test_more_values_run_nothing_twice(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0], tmp_path / "sweep")
    before = {name: (tmp_path / "sweep" / name / "metrics.json").stat().st_mtime_ns for name in CELLS}
    process = sweep(tmp_path, *GRID, "seed=1,2,5", "latent_dim=3", "model=gaussian")
    assert process.returncode == 0, process.stderr
    assert states(tmp_path / "sweep") == dict.fromkeys(CELLS | {"seed=5"}, "done")
    assert {name: (tmp_path / "sweep" / name / "metrics.json").stat().st_mtime_ns for name in CELLS} == before
    assert "9 runs: 9 done" in process.stdout


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.drill)])
def test_every_launcher_gives_the_same_numbers(launcher, undisturbed, tmp_path):
    process = sweep(tmp_path, *GRID, *LAUNCHERS[launcher])
    assert process.returncode == 0, process.stderr
    assert table(tmp_path / "sweep") == table(undisturbed[0])
    (entry,) = json.loads(next((tmp_path / "sweep").glob("*/environment.json")).read_text())
    assert entry["threads"] == 1


def processes_with(variable):
    """The processes that have a variable in their environment, by number."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def test_a_sweep_that_is_killed_goes_on(undisturbed, tmp_path, monkeypatch):
    """At two random moments; no finished cell runs twice, none is missing, and the summary is that of the other.

    No process of a sweep outlives it, whether cells run one by one or side by side.
    """
    chance = random.Random(time.time_ns())
    monkeypatch.setenv("KILLED_SWEEP", str(tmp_path))
    finished: dict[Path, int] = {}
    for launcher in ("basic", "joblib"):
        process = start_train(tmp_path, *GRID, *LAUNCHERS[launcher], "hydra.sweep.dir=sweep")
        time.sleep(chance.uniform(4, 14))
        process.kill()
        process.wait()
        deadline = time.monotonic() + 30
        while processes_with(f"KILLED_SWEEP={tmp_path}"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        done = [path for path in tmp_path.glob("sweep/*/state.json") if read_state(path.parent).state == "done"]
        assert all(path.stat().st_mtime_ns == finished.get(path, path.stat().st_mtime_ns) for path in done)
        finished |= {path: path.stat().st_mtime_ns for path in done}
    process = sweep(tmp_path, *GRID)
    assert process.returncode == 0, process.stderr
    assert all(path.stat().st_mtime_ns == changed for path, changed in finished.items())
    assert table(tmp_path / "sweep") == table(undisturbed[0])
