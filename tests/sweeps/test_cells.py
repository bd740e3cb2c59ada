"""Cells: their names, their configs, and how the run of one ends."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from vaelab.runs.state import State, read_state, recorded, write_state
from vaelab.stopping import Stopped
from vaelab.sweeps import process
from vaelab.sweeps.cells import (
    LONGEST,
    Cell,
    cell_name,
    cells_in,
    claim,
    config_hash,
    packages,
    quoted,
    run_cell,
    varying,
)
from vaelab.sweeps.process import run_script

CELLS = [("model=gaussian", "+data.extra=3", "latent_dim=2"), ("model=gaussian", "+data.extra=3", "latent_dim=10")]


def test_a_cell_is_named_by_what_varies():
    keys = varying(CELLS)
    assert keys == ["latent_dim"]
    assert [cell_name(cell, keys) for cell in CELLS] == ["latent_dim=2", "latent_dim=10"]
    assert cell_name(CELLS[0], varying(CELLS[:1])) == "model=gaussian,+data.extra=3,latent_dim=2"
    assert cell_name(("data.path=/a/b c.csv",), []) == "data.path=_a_b_c.csv"
    assert cell_name((), []) == "defaults"


@pytest.mark.parametrize("what", ["7,", "七,"])
def test_long_names_stay_different(what):
    names = {cell_name([f"network.hidden=[{what * 200}{last}]"], []) for last in (1, 2)}
    assert len(names) == 2
    assert all(len(name.encode()) < LONGEST + 12 for name in names)


@pytest.mark.parametrize("text", ["a b", "a'b", "a\\b", "\\", "a\\'b", "end\\\\", "x=[1,2], ü", 'a"b', "''", "\\\\'"])
def test_what_is_quoted_is_read_back(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert override.value() == text


def test_pruning_and_places_are_no_part_of_a_config():
    config = {"seed": 1, "callbacks": {"last": {"seconds": 2}}}
    pruned = {"seed": 1, "threads": 3, "callbacks": {"last": {"seconds": 2}, "prune": {"trial": 7}}}
    assert config_hash(config) == config_hash(pruned)


def test_a_config_is_known_again_but_for_where_and_how():
    config = {"data": {"root": "/here", "val_size": 7}, "trainer": {"enable_progress_bar": True}, "threads": None}
    moved = {"threads": 1, "trainer": {"enable_progress_bar": False}, "data": {"val_size": 7, "root": "/there"}}
    assert config_hash(config) == config_hash(moved)
    assert config_hash(config) != config_hash(config | {"data": {"root": "/here", "val_size": 8}})


def test_the_packages_of_a_config():
    config = {"model": {"_target_": "vaelab.families.Bernoulli"}, "callbacks": {"own": {"_target_": "mine.Hook"}}}
    assert packages(config) == ["mine", "vaelab"]


def test_a_folder_is_one_configs(tmp_path):
    cell = claim(tmp_path, "a", ["latent_dim=2"], "hash", "revision")
    assert read_state(tmp_path / "a") == State("pending", "", ("latent_dim=2",), "hash", "revision")
    write_state(cell.folder, State("failed", "why", ("latent_dim=2",), "hash"))
    assert claim(tmp_path, "a", ["latent_dim=2"], "hash", None) == cell
    assert read_state(tmp_path / "a").state == "failed"
    with pytest.raises(ValueError, match=r"holds a cell of another sweep, which differs in seed=3; use another"):
        claim(tmp_path, "a", ["latent_dim=2", "seed=3"], "other", None)


def test_a_cell_is_found_by_its_config(tmp_path):
    for name, config in {"a": "one", "b": "two", "c": "one"}.items():
        claim(tmp_path, name, [], config, None)
    (tmp_path / "d").mkdir()
    assert cells_in(tmp_path) == {"one": tmp_path / "a", "two": tmp_path / "b"}


def test_the_state_of_a_run_is_on_disk(tmp_path):
    state = State("running", overrides=("seed=3",), seconds=5.0)
    with recorded(tmp_path, state):
        assert read_state(tmp_path).state == "running"
        time.sleep(0.05)
    assert read_state(tmp_path).state == "done"
    assert 5.05 <= read_state(tmp_path).seconds < 6
    with pytest.raises(ValueError, match="too wide"), recorded(tmp_path, state):
        raise ValueError("a is too wide")
    failed = read_state(tmp_path)
    assert replace(failed, seconds=5.0) == State("failed", "a is too wide", ("seed=3",), seconds=5.0)
    with pytest.raises(Stopped), recorded(tmp_path, state):
        raise Stopped(signal.SIGTERM)
    stopped = read_state(tmp_path)
    assert replace(stopped, seconds=5.0) == State("pending", "stopped by SIGTERM", ("seed=3",), seconds=5.0)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "nonsense"}', '{"state": "done", "seconds": "x"}'])
def test_a_state_that_says_nothing_is_none(content, tmp_path):
    (tmp_path / "state.json").write_text(content)
    assert read_state(tmp_path) is None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", 0),
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit('a sentence')", 1),
        ("1 / 0", 1),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import sys; assert sys.argv[1:] == ['a b', 'ü'] and __name__ == '__main__'", 0),
        ("import sys; assert 'vaelab.training' in sys.modules", 0),
    ],
)
def test_a_script_ends_as_it_would_alone(script, code, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(script)
    assert run_script([str(path), "a b", "ü"], lambda: None) == code


def test_what_every_script_would_import_is_imported_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.sweeps.process._server", None)
    path = tmp_path / "script.py"
    path.write_text("import sys; sys.exit(4 if 'ahead' in sys.modules else 5)")
    ahead = "import sys; sys.modules['ahead'] = sys"
    assert [run_script([str(path)], lambda: None, ahead) for _ in range(2)] == [4, 4]


def test_a_script_is_stopped_when_that_is_asked(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)")
    began = time.monotonic()
    code = run_script([str(path), str(tmp_path / "begun")], lambda: 15 if (tmp_path / "begun").exists() else None)
    assert code == -15
    assert time.monotonic() - began < 30


def test_an_end_that_is_told_beside_the_beginning_is_heard(tmp_path, monkeypatch):
    path = tmp_path / "script.py"
    path.write_text("")
    assert run_script([str(path)], lambda: None) == 0  # the server is there
    began, answer = time.monotonic(), process._answer

    def late(server):
        time.sleep(0.5)
        return answer(server)

    def asked():
        assert time.monotonic() - began < 20

    monkeypatch.setattr(process, "_answer", late)
    assert run_script([str(path)], asked) == 0


def test_a_script_listens_to_ctrl_c_though_who_runs_it_does_not(tmp_path):
    path, begun = tmp_path / "script.py", tmp_path / "begun"
    path.write_text(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(60)")
    ask = (
        "import pathlib, signal; from vaelab.sweeps.process import run_script; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"print(run_script([{str(path)!r}], lambda: signal.SIGINT if pathlib.Path({str(begun)!r}).exists() else None))"
    )
    ended = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=50, check=True)
    assert (ended.stdout, ended.stderr) == ("130\n", "")


def test_nobody_trains_on_after_a_sweep_that_was_killed(tmp_path):
    path, alive = tmp_path / "script.py", tmp_path / "alive"
    path.write_text(f"import time\nwhile True:\n    open({str(alive)!r}, 'a').write('.')\n    time.sleep(0.02)")
    ask = f"from vaelab.sweeps.process import run_script; run_script([{str(path)!r}], lambda: None)"
    asking = subprocess.Popen([sys.executable, "-c", ask])
    deadline = time.monotonic() + 60
    while not alive.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asking.kill()
    asking.wait()
    time.sleep(1.0)
    size = os.path.getsize(alive)
    time.sleep(0.3)
    assert os.path.getsize(alive) == size


def test_a_launchers_process_ends_with_the_sweep():
    ask = (
        "import os, time; from vaelab.sweeps.process import end_with_parent; "
        "child = os.fork(); child or end_with_parent(); print(child or 'child', flush=True); time.sleep(60)"
    )
    sweep = subprocess.Popen([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True)
    assert "child\n" in [sweep.stdout.readline() for _ in range(2)]
    sweep.kill()
    began = time.monotonic()
    assert sweep.stdout.read() == ""  # which both hold open
    assert time.monotonic() - began < 10


SCRIPT = """
import json, os, pathlib, sys
folder = [a for a in sys.argv if a.startswith("hydra.run.dir=")]
folder = pathlib.Path(folder[0].partition("=")[2].strip("'") if folder else sys.argv[1].partition("=")[2])
(folder / "asked.json").write_text(json.dumps(sys.argv[1:]))
if "fail" in sys.argv:
    sys.exit(3)
if "kill" in sys.argv:
    os.kill(os.getpid(), 9)
state = json.loads((folder / "state.json").read_text())
(folder / "metrics.json").write_text('{"val/elbo": -2.5}')
(folder / "state.json").write_text(json.dumps(state | {"state": "done"}))
"""


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [("well", "done", ""), ("fail", "failed", "ended with exit code 3"), ("kill", "failed", "killed by SIGKILL")],
)
def test_how_a_cell_ends(how, state, reason, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    cell = claim(tmp_path, "a = cell, 2", ["seed=1", how], "hash", None)
    (cell.folder / "left.txt").write_text("by a run that died before its first checkpoint")
    ended = run_cell([str(script)], cell, ["vaelab"], ["trainer.enable_progress_bar=false"], lambda: None)
    assert (ended.state, ended.overrides) == (state, ("seed=1", how))
    assert ended.reason.startswith(reason)
    assert read_state(cell.folder) == ended
    assert not (cell.folder / "left.txt").exists()
    assert cell.done == (how == "well")


def test_a_cell_with_a_checkpoint_goes_on(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    cell = claim(tmp_path, "cell", ["seed=1", "data.root=/moved"], "hash", None)
    (cell.folder / "checkpoints").mkdir()
    (cell.folder / "checkpoints" / "last.ckpt").touch()
    run_cell([str(script)], cell, ["mine", "vaelab"], ["trainer.enable_progress_bar=false"], lambda: None)
    asked = json.loads((cell.folder / "asked.json").read_text())
    changes = ["data.root=/moved", "trainer.enable_progress_bar=false"]
    assert asked == [f"resume={cell.folder}", "allow=mine,vaelab", *changes]


def test_a_cell_is_not_begun_when_the_sweep_is_to_stop(tmp_path):
    cell = Cell(tmp_path / "cell", ("seed=1",), "hash")
    assert run_cell(["nowhere.py"], cell, [], [], lambda: 15) is None
    assert not cell.folder.exists()
