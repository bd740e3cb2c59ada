"""`vaelab list`: states, scores, the keys that differ, and folders from strangers."""

import json
import os
import subprocess
import sys

import pytest

from helpers.run_folders import write_object, write_run
from vaelab.app.cli import main
from vaelab.runs.folder import locked
from vaelab.runs.run_state import State, write_state
from vaelab.sweeps.composed_config import read_config
from vaelab.sweeps.list_runs import list_runs

CONFIG = """latent_dim: {latent_dim}
scheduler: null
model:
  _target_: vaelab.families.{family}
  init_std: {init_std}
posterior:
  event_shape:
  - ${{latent_dim}}
network:
  hidden:
  - 64
  - 64
data:
  root: {root}
"""


def write_config(folder, latent_dim=2, family="DiagonalGaussian", init_std=1, root="/a"):
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(latent_dim=latent_dim, family=family, init_std=init_std, root=root)
    (folder / ".hydra" / "config.yaml").write_text(text)
    return folder


def shown(runs, folder):
    return [(os.path.relpath(run.row.folder, folder), run.state, run.why) for run in runs]


def test_runs_are_sorted_by_state_and_score_or_date(tmp_path):
    for at, (name, score) in enumerate([("2026/a", -3.0), ("2026/b", -1.5), ("sweep/x/c", -2.0)]):
        for file in write_run(tmp_path / name, score).iterdir():
            os.utime(file, (at, at))
    (tmp_path / "ended").mkdir()
    write_state(tmp_path / "ended", State("failed", "no room"))
    (tmp_path / "cut").mkdir()
    write_state(tmp_path / "cut", State("running"))  # but no process holds its lock
    (tmp_path / "waits").mkdir()
    write_state(tmp_path / "waits", State("pending"))
    (tmp_path / "trains").mkdir()
    write_state(tmp_path / "trains", State("running"))
    with locked(tmp_path / "trains"):
        command = [sys.executable, "-m", "vaelab", "list", str(tmp_path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    finished = [("2026/b", "finished", ""), ("sweep/x/c", "finished", ""), ("2026/a", "finished", "")]
    rest = [("cut", "interrupted", "was killed"), ("ended", "failed", "no room"), ("waits", "not started", "")]
    found = json.loads(done.stdout)
    listed = [(os.path.relpath(run["folder"], tmp_path), run["state"], run["why"]) for run in found]
    assert listed == [("trains", "running", ""), *finished, *rest]
    assert found[1]["score"] == {"name": "val/elbo", "value": -1.5, "meaning": "ELBO"}
    assert (found[1]["metrics"]["test/kl"], found[1]["seconds"], found[0]["score"]) == (0.5, 12.5, None)
    by_date, _ = list_runs(tmp_path / "2026", "date")
    assert [run.row.folder.name for run in by_date] == ["b", "a"]
    assert shown(list_runs(tmp_path / "2026" / "a")[0], tmp_path) == [("2026/a", "finished", "")]


def test_the_keys_that_differ_come_from_the_composed_configs(tmp_path):
    write_config(write_run(tmp_path / "a", -1.0, ["latent_dim=2"]), 2)
    write_config(write_run(tmp_path / "b", -2.0, ["latent_dim=3"]), 3, root="/b")
    assert list_runs(tmp_path)[1] == ["latent_dim", "data.root"]
    write_config(write_run(tmp_path / "c", -3.0, ["model=laplace"]), 2, "Laplace", init_std=7)
    runs, keys = list_runs(tmp_path)
    assert keys == ["latent_dim", "model._target_", "data.root"]  # init_std came with the model
    assert [run.config["latent_dim"] for run in runs] == ["2", "3", "2"]
    write_config(write_run(tmp_path / "d", -4.0, ["model=laplace"]), 2, "Laplace", init_std=5)
    assert "model.init_std" in list_runs(tmp_path)[1]
    (tmp_path / "d" / ".hydra" / "config.yaml").write_text("scheduler:\n  _target_: a.Cosine\n")
    assert "scheduler._target_" in list_runs(tmp_path)[1]


def test_the_table_is_short_and_says_how_it_is_sorted(tmp_path, capsys):
    for number in range(3):
        folder = write_config(write_run(tmp_path / f"r{number}", -float(number)), number)
        text = (folder / ".hydra" / "config.yaml").read_text()
        more = "".join(f"key{key}: {'long' * 50}{number}\n" for key in range(9))
        (folder / ".hydra" / "config.yaml").write_text(more + text)
    main(["list", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["state", "val/elbo", "key0", "key1"]
    assert lines[1].split()[:2] == ["finished", "-0.000"]
    assert max(map(len, lines)) < 300
    assert "3 runs: 3 finished; sorted by state, then by score, the best first." in lines
    assert "4 more keys differ; --json lists all." in lines
    main(["list", str(tmp_path), "--json"])
    assert len(json.loads(capsys.readouterr().out)[0]["differs"]) == 10


def test_saved_runs_have_only_hparams(tmp_path):
    write_object(write_run(tmp_path / "a", -1.0) / "hparams.yaml", {"latent_dim": 2, "folder": "/x", "n": [1, [2]]})
    write_object(write_run(tmp_path / "b", -2.0) / "hparams.yaml", {"latent_dim": 5, "folder": "/y", "n": [1, [2]]})
    runs, keys = list_runs(tmp_path)
    assert keys == ["latent_dim"]
    assert dict(runs[0].config) == {"latent_dim": "2", "n": "[1, [2]]"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x]\nb: [*a, *a]", "must hold no references"),
        ("a: " + "[" * 100_000, "at most 1000 brackets"),
        ("".join(f"{' ' * level}k:\n" for level in range(100)), "30 levels deep"),
        ("- a\n- b", "must hold keys and values"),
        ("a: 'b", "must be YAML"),
        ("? [a]\n: b", "must hold plain keys"),
        ("x" * 300_000, "must be a small text file"),
    ],
)
def test_configs_of_strangers_are_refused_and_named(text, words, tmp_path, capsys):
    write_config(write_run(tmp_path / "good", -2.0))
    (write_config(write_run(tmp_path / "bad", -1.0)) / ".hydra" / "config.yaml").write_text(text)
    bad, good = list_runs(tmp_path)[0]
    assert (bad.state, good.state, good.why) == ("finished", "finished", "")
    assert words in bad.why
    main(["list", str(tmp_path)])
    assert "-1.000" in capsys.readouterr().out


def test_tags_in_a_config_build_nothing(tmp_path):
    folder = write_config(tmp_path / "a")
    (folder / ".hydra" / "config.yaml").write_text(f'a: !!python/object/apply:os.mkdir ["{tmp_path}/made"]\n')
    assert read_config(folder) == {"a": f"[{tmp_path}/made]"}
    assert not (tmp_path / "made").exists()


def test_folders_of_strangers_are_named_and_escape_nothing(tmp_path, capsys):
    write_run(tmp_path / "good", -1.0)
    for name, text in {
        "foreign": '{"_data_files": []}',
        "broken": "{",
        "esc\x1b[2J": '{"state": "fa\\u001b[0m"}',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(text)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "state.json")
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "failed").mkdir()
    write_state(tmp_path / "failed", State("failed", "\x1b]0;x\x07\u202e\nnext", ("model=\x1b[31m",)))
    runs = {run.row.folder.name: run for run in list_runs(tmp_path)[0]}
    assert {name for name, run in runs.items() if run.state == "unreadable"} == {
        *("foreign", "broken", "esc\x1b[2J", "pipe", "empty")
    }
    assert "must be one of pending, running, done, failed" in runs["foreign"].why
    assert runs["empty"].why == "holds no state.json, so it is not a run of vaelab"
    for options in ([], ["--json"]):
        main(["list", str(tmp_path), *options])
        said = capsys.readouterr().out
        assert said.replace("\n", "").isprintable()
        assert "unreadable" in said


def test_wrong_folders_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"FOLDER must be a folder of runs, but .*file is a file"):
        list_runs(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="gone does not exist; name a folder of runs"):
        list_runs(tmp_path / "gone")
    with pytest.raises(ValueError, match="empty must hold a run, but neither it nor a folder below it does"):
        list_runs(tmp_path / "empty")


def test_listing_imports_no_torch(tmp_path):
    write_config(write_run(tmp_path / "a", -1.0))
    code = (
        "import sys; from vaelab.app.cli import main; main(['list', sys.argv[1]]); "
        "print(*{'torch', 'lightning', 'hydra', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == ""
