"""Sweeps that fail, are stopped, or meet another one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.runner import ROOT, SHORT, TINY, run_train
from helpers.sweeping import LAUNCHERS, states, sweep, table
from vaelab.runs.folder import locked


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.drill)])
def test_a_cell_that_fails_is_reported_and_the_others_run_on(launcher, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    trouble = ("+callbacks.trouble._target_=trouble.Trouble", "+callbacks.trouble.kind=none,kill,raise")
    on_cpu = "trainer.accelerator=cpu"  # a GPU is not asked at each step
    process = sweep(tmp_path, "-m", *trouble, "optimizer.lr=1e-3,1e15", *TINY, *SHORT, on_cpu, *LAUNCHERS[launcher])
    assert process.returncode == 5, process.stderr
    rows = table(tmp_path / "sweep")
    found = {
        (row["callbacks.trouble.kind"], float(row["optimizer.lr"])): (row["state"], row["reason"])
        for row in rows.values()
    }
    assert found.pop(("none", 1e-3)) == ("done", "")
    assert {state for state, _ in found.values()} == {"failed"}
    assert found["kill", 1e-3][1].startswith("killed by SIGKILL, as the system does if memory runs out")
    assert found["raise", 1e-3][1].startswith("RuntimeError (trouble)")
    assert "of step 2 is not finite" in found["none", 1e15][1]
    assert "6 runs: 1 done, 5 failed" in process.stdout
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.drill)])
def test_ctrl_c_stops_a_sweep_that_goes_on_later(launcher, tmp_path):
    grid = ("-m", "latent_dim=1,2,3", *TINY, *SHORT, "trainer.max_epochs=100", *LAUNCHERS[launcher])
    command = [sys.executable, str(ROOT / "train.py"), *grid, "hydra.sweep.dir=sweep"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob("sweep/*/checkpoints/last.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    asked = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - asked < 20  # on a machine that does something else too
    assert said.strip().splitlines()[-1] == "stopped; the same command with hydra.sweep.dir=sweep resumes it"
    assert "3 runs: " in printed
    assert "failed" not in states(tmp_path / "sweep").values()
    assert "pending" in states(tmp_path / "sweep").values()
    after = sweep(tmp_path, *grid)
    assert after.returncode == 0, after.stderr
    assert set(states(tmp_path / "sweep").values()) == {"done"}
    names = list(tmp_path.glob("sweep/*/environment.json"))
    assert max(len(json.loads(path.read_text())) for path in names) == 2  # it went on


def test_two_sweeps_in_one_folder(tmp_path):
    (tmp_path / "sweep").mkdir()
    with locked(tmp_path / "sweep"):
        process = sweep(tmp_path, "-m", "latent_dim=1,3", *TINY, *SHORT)
    assert process.returncode == 1
    assert process.stderr.strip().endswith(
        "is in use by another process; wait for it, or choose another hydra.sweep.dir"
    )
    assert not states(tmp_path / "sweep")


def test_a_single_runs_folder_is_no_sweeps(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    process = run_train(tmp_path, "-m", "seed=1,2", *TINY, *SHORT, "hydra.sweep.dir=run")
    assert process.returncode == 1
    said = "error: hydra.sweep.dir must be the folder of a sweep, but run holds a single run; use another\n"
    assert process.stderr == said
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.json"]
