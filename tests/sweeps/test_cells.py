"""Cells: their names, their configs, and the ends of their runs."""

import json
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from helpers.forked import PRELOAD
from vaelab.app.hydra_sweeps.grid import check_values
from vaelab.app.hydra_sweeps.sweep import Sweep
from vaelab.runs.admitted import packages
from vaelab.runs.run_state import State, read_state, recorded, write_state
from vaelab.signals import Stopped
from vaelab.sweeps.cell_names import LONGEST, alike, cell_name, free_name, merged, shared_folders, varying
from vaelab.sweeps.cell_process import Setting
from vaelab.sweeps.cells import Cell, _clear, cells_in, claim, quoted, run_cell

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


def test_paths_are_named_without_the_folders_that_they_share():
    cells = [(f"data.path=/home/me/data/{name}", f"+data.file={name}") for name in ("a/x.npy", "b/x.npy")]
    shared = shared_folders(cells, ["data.path", "+data.file"])
    assert shared == {"data.path": "/home/me/data/"}
    assert [cell_name(cell, ["data.path"], shared) for cell in cells] == ["data.path=a_x.npy", "data.path=b_x.npy"]
    assert shared_folders([("data.path=/a/b",), ("data.path=a/b",)], ["data.path"]) == {}
    assert shared_folders([("model=gaussian",), ("model=bernoulli",)], ["model"]) == {}


def test_values_that_are_spelled_alike_in_names_have_two_folders(tmp_path):
    paths = ("a/b.npy", "a_b.npy", "a:b.npy", "a/b.npy")
    names = []
    for path in paths:
        overrides = [f"data.path={path}", "seed=1"]
        name = free_name(tmp_path, cell_name(overrides, ["data.path"]), overrides, ["data.path"])
        names.append(claim(tmp_path, name, overrides, path, None).folder.name)
    assert names[0] == names[3] == "data.path=a_b.npy"
    assert len(set(names)) == 3
    assert all(name.startswith("data.path=a_b.npy") for name in names)


def test_quotes_of_a_path_are_no_part_of_a_name():
    cells = [("data.path='/my data/a,1.npy'",), ("data.path='/my data/b/it\\'s.npy'",), ("data.path=/my data/c.npy",)]
    shared = shared_folders(cells, ["data.path"])
    names = [cell_name(cell, ["data.path"], shared) for cell in cells]
    assert names == ["data.path=a,1.npy", "data.path=b_it's.npy", "data.path=c.npy"]


def test_no_folder_has_the_name_of_another_combination(tmp_path):
    cells = [(f"data.path={path}",) for path in ("p/x.npy", "q/x.npy", "p_x.npy")]
    several = alike(cells, ["data.path"], {})
    assert several == {"data.path=p_x.npy"}
    names = [free_name(tmp_path, cell_name(cell, [], {}), cell, [], several) for cell in cells]
    assert names[1] == "data.path=q_x.npy"
    assert len({*names, "data.path=p_x.npy"}) == 4
    assert alike(cells[:2] * 2, ["data.path"], {}) == set()


def test_a_combination_that_is_another_ones_cell_is_named():
    first = ("model=gaussian", "data.path=a.npy")
    assert merged(("model=gaussian", "data.path=copy.npy"), first) == (
        "data.path=copy.npy is the same cell as data.path=a.npy, because the data are the same"
    )
    assert merged((*first, "seed=0x1"), (*first, "seed=1")) == (
        "seed=0x1 is the same cell as seed=1, because the settings are the same"
    )


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("data.path=glob(*.npy)", r"glob\(\*.npy\) matches no option; glob looks for .* as in data.path=a.npy,b.npy"),
        ("model=glob(x*)", r"glob\(x\*\) matches no option of model; use one of gaussian, bernoulli"),
        ("latent_dim=range(5,5)", r"latent_dim=range\(5,5\) has none"),
    ],
)
def test_a_key_without_a_value_is_refused(given, answer):
    options = {"model": ["gaussian", "bernoulli"]}
    loader = SimpleNamespace(get_group_options=lambda group, **_: options.get(group, []))
    parser = OverridesParser.create(config_loader=loader)
    check_values(parser.parse_overrides(["model=gaussian,bernoulli", "seed=1", "model=glob(g*)"]), loader)
    with pytest.raises(ValueError, match=answer):
        check_values(parser.parse_overrides([given]), loader)


def test_combinations_of_equal_data_are_one_cell_that_is_told_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("vaelab.app.hydra_sweeps.sweep.identity", lambda cfg, whole: whole.content)
    content = {"p/x.npy": "a", "q/x.npy": "b", "p_x.npy": "b"}

    def compose(overrides, number):
        found = content[overrides[0].removeprefix("data.path=")]
        hydra = {"overrides": {"task": overrides}, "sweep": {"subdir": "auto"}}
        return OmegaConf.create({"content": found, "hydra": hydra})

    sweep = object.__new__(Sweep)
    sweep.folder, sweep.revision, sweep.numbers, sweep.first, sweep.compose = tmp_path, None, {}, {}, compose
    batch = [[f"data.path={path}"] for path in content]
    cells = sweep.cells(batch, ["data.path"], range(3))
    assert [cell.config for cell in cells] == ["a", "b", "b"]
    assert cells[1].folder == cells[2].folder
    assert cells[1].folder.name == "data.path=q_x.npy"
    assert cells[0].folder.name.startswith("data.path=p_x.npy…")
    assert caplog.messages == [merged(batch[2], batch[1])]
    assert sweep.cells(batch[:1] * 2, ["data.path"], range(2)) == [cells[0]] * 2
    assert len(caplog.messages) == 1


def test_the_packages_of_a_config():
    config = {"model": {"_target_": "vaelab.families.Bernoulli"}, "callbacks": {"own": {"_target_": "mine.Hook"}}}
    config["trainer"] = {"_target_": "lightning.pytorch.Trainer", "plugins": [{"_target_": "ours.Plugin"}]}
    config["optimizer"] = {"_target_": "torch.optim.Adam"}
    assert packages(config) == ["mine", "ours"]
    config["optimizer"] = {"_target_": "torch.optim.NAdam"}
    assert packages(config) == ["mine", "ours", "torch"]


def test_a_folder_is_one_configs(tmp_path):
    cell = claim(tmp_path, "a", ["latent_dim=2"], "hash", "revision")
    assert read_state(tmp_path / "a") == State("pending", "", ("latent_dim=2",), "hash", "revision")
    write_state(cell.folder, State("failed", "why", ("latent_dim=2",), "hash"))
    assert claim(tmp_path, "a", ["latent_dim=2"], "hash", None) == cell
    assert read_state(tmp_path / "a").state == "failed"
    with pytest.raises(ValueError, match=r"holds another cell, which differs in seed=3; use another"):
        claim(tmp_path, "a", ["latent_dim=2", "seed=3"], "other", None)
    with pytest.raises(ValueError, match=r"which differs in its data or the files in conf/; use another"):
        claim(tmp_path, "a", ["latent_dim=2"], "other", None)


def test_a_cell_is_never_a_link_to_another_folder(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("mine")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "a").symlink_to(victim)
    with pytest.raises(ValueError, match=r"sweep/a must be a folder, but is a link to one; remove it, or use another"):
        claim(tmp_path / "sweep", "a", [], "hash", None)
    write_state(victim, State("pending", config="hash"))
    with pytest.raises(ValueError, match="is a link"):
        claim(tmp_path / "sweep", "a", [], "hash", None)
    with pytest.raises(ValueError, match="is a link"):
        claim(tmp_path / "sweep", "a/inner", [], "hash", None)
    with pytest.raises(OSError, match="a"):
        _clear(tmp_path / "sweep" / "a")
    assert sorted(path.name for path in victim.iterdir()) == ["precious.txt", "state.json"]


def test_what_a_dead_run_left_is_removed_and_what_its_links_lead_to_stays(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious.txt").write_text("mine")
    cell = claim(tmp_path, "a", [], "hash", None).folder
    (cell / "inner").mkdir()
    (cell / "inner" / "link").symlink_to(victim)
    (cell / "folder").symlink_to(victim)
    (cell / "file").symlink_to(victim / "precious.txt")
    _clear(cell)
    assert [path.name for path in cell.iterdir()] == ["state.json"]
    assert (victim / "precious.txt").read_text() == "mine"


def test_a_cell_is_found_by_its_config(tmp_path):
    for name, config in {"a": "one", "b": "two", "c": "one", "d/e": "three", "b/inside": "four"}.items():
        claim(tmp_path, name, [], config, None)
    (tmp_path / "f").mkdir()
    assert cells_in(tmp_path) == {"one": "a", "two": "b", "three": "d/e"}  # nothing inside a cell is one


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


SETTING = Setting(preload=PRELOAD)
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
    ended = run_cell([str(script)], ["--flag"], cell, ["vaelab"], ["threads=1"], lambda: None, SETTING)
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
    run_cell([str(script)], ["--flag"], cell, ["mine", "vaelab"], ["threads=1"], lambda: None, SETTING)
    asked = json.loads((cell.folder / "asked.json").read_text())
    changes = ["data.root=/moved", "threads=1"]
    assert asked == [f"resume={cell.folder}", "allow=mine,vaelab", *changes]


def test_a_cell_is_not_begun_when_the_sweep_is_to_stop(tmp_path):
    cell = Cell(tmp_path / "cell", ("seed=1",), "hash")
    assert run_cell(["nowhere.py"], [], cell, [], [], lambda: 15) is None
    assert not cell.folder.exists()
