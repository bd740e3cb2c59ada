"""The hash of a config: which runs are the same."""

import os
import shutil

import numpy as np
import pytest

from helpers.runner import compose_config
from vaelab.app.config_identity import filled_in, identity
from vaelab.runs.run_state import State, write_state
from vaelab.sweeps.config_hash import config_hash, flat


def hashes(here, *data):
    return [config_hash({"data": {"_target_": "mine.Rows", **values}}, here) for values in data]


@pytest.fixture
def files(tmp_path):
    """Two files with other rows, a copy of the first, and the same as folders."""
    chance = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "rows.npy", chance.normal(size=(7, 3)))
        shutil.copy(tmp_path / name / "rows.npy", tmp_path / f"{name}.npy")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    shutil.copy(tmp_path / "a.npy", tmp_path / "copy.npy")
    return tmp_path


def test_settings_that_affect_no_number_do_not_change_the_hash():
    config = {"seed": 1, "callbacks": {"last": {"seconds": 2}}}
    shown = {"seed": 1, "threads": 3, "trainer": {"enable_progress_bar": False}}
    assert config_hash(config) == config_hash(config | shown) == config_hash(config | {"threads": None})
    pruned = {"last": {"seconds": 2}, "prune": {"trial": 7}}
    assert config_hash(config) == config_hash(config | {"callbacks": pruned})
    assert config_hash(config) != config_hash(config | {"seed": 2})


@pytest.mark.parametrize(
    ("key", "suffix"),
    [(key, suffix) for key in ("path", "root", "file") for suffix in (".npy", "")] + [("own", ".npy")],
)
def test_data_are_known_by_their_content(key, suffix, files):
    a, b, copy, absolute, home = hashes(
        files,
        {key: f"a{suffix}"},
        {key: f"b{suffix}"},
        {key: f"./copy{suffix}"},
        {key: str(files / f"a{suffix}")},
        {key: os.path.relpath(files / f"a{suffix}", os.path.expanduser("~")).join(["~/", ""])},
    )
    assert a == copy == absolute == home
    assert a != b


def test_data_in_lists_and_tables_are_known_by_their_content(files):
    one, same, other, swapped = hashes(
        files,
        {"parts": ["a.npy", {"file": "b.npy"}]},
        {"parts": ["copy.npy", {"file": str(files / "b.npy")}]},
        {"parts": ["a.npy", {"file": "a.npy"}]},
        {"parts": ["b.npy", {"file": "a.npy"}]},
    )
    assert one == same
    assert len({one, other, swapped}) == 3


def test_patterns_stand_for_the_files_that_they_match(files):
    one, same, other, none, words = hashes(
        files,
        {"parts": "a/*.npy"},
        {"parts": str(files / "cop[xy]" / "*.npy")},
        {"parts": "b/*.npy"},
        {"parts": "gone/*.npy"},
        {"parts": "[1,2]\0*"},
    )
    assert one == same
    assert len({one, other, none, words}) == 4


def test_data_that_change_are_other_data(files):
    (before,) = hashes(files, {"path": "a.npy"})
    (folder,) = hashes(files, {"root": "a"})
    np.save(files / "a.npy", np.ones((7, 3)))
    np.save(files / "a" / "rows.npy", np.ones((7, 3)))
    assert hashes(files, {"path": "a.npy"}) != [before]
    assert hashes(files, {"root": "a"}) != [folder]


def test_the_same_relative_path_elsewhere_is_other_data(files):
    assert hashes(files / "a", {"path": "rows.npy"}) == hashes(files / "copy", {"path": "rows.npy"})
    assert hashes(files / "a", {"path": "rows.npy"}) != hashes(files / "b", {"path": "rows.npy"})


def test_the_names_in_a_folder_and_the_kind_of_a_file_count(files):
    (files / "copy" / "rows.npy").rename(files / "copy" / "lines.npy")
    assert len(set(hashes(files, {"root": "a"}, {"root": "copy"}))) == 2
    shutil.copy(files / "a.npy", files / "a.bin")
    assert len(set(hashes(files, {"path": "a.npy"}, {"path": "a.bin"}))) == 2


def test_linked_folders_are_read_and_loops_end(files):
    for name in ("x", "y", "z"):
        (files / name).mkdir()
        (files / name / "class").symlink_to(files / {"x": "a", "y": "copy", "z": "b"}[name])
        (files / name / "loop").symlink_to(files / name)
    x, y, z = hashes(files, {"root": "x"}, {"root": "y"}, {"root": "z"})
    assert x == y != z


def test_runs_and_sweeps_in_a_folder_of_data_are_no_data(files):
    (before,) = hashes(files, {"root": "a"})
    sweep = "hydra:\n  sweeper:\n    _target_: hydra_plugins.vaelab_sweepers.GridSweeper\n"
    for place, mark in {"cell": "state.json", "sweep": "multirun.yaml", "begun": ".hydra/hydra.yaml"}.items():
        (files / "a" / place / "below").mkdir(parents=True)
        (files / "a" / place / mark).parent.mkdir(exist_ok=True)
        (files / "a" / place / mark).write_text(sweep)
        (files / "a" / place / "below" / "metrics.json").write_text(place)
    (files / "a" / ".lock").touch()  # of a download
    write_state(files / "a" / "cell", State("pending", overrides=("seed=1",)))
    assert hashes(files, {"root": "a"}) == [before]


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("mark", ["state.json", ".lock", "multirun.yaml"])
def test_files_that_are_called_like_those_of_a_run_hide_no_data(mark, top, files):
    """A data set of Hugging Face has a state.json."""
    folder = files / "a" if top else files / "a" / "train"
    folder.mkdir(exist_ok=True)
    (folder / mark).write_text('{"_fingerprint": "3f1c", "_split": "train"}')
    np.save(folder / "rows.npy", np.zeros(3))
    (before,) = hashes(files, {"root": "a"})
    np.save(folder / "rows.npy", np.ones(3))
    assert hashes(files, {"root": "a"}) != [before]


def test_the_folder_of_data_itself_is_never_left_out(files):
    write_state(files / "a", State("done"))
    (before,) = hashes(files, {"root": "a"})
    np.save(files / "a" / "rows.npy", np.ones(3))
    assert hashes(files, {"root": "a"}) != [before]


def test_words_stay_words_though_a_folder_is_called_so(files):
    """Empty files and folders hold no data, so they never stand for each other."""
    (files / "train").mkdir()
    (files / "val").mkdir()
    assert len(set(hashes(files, {"split": "train"}, {"split": "val"}, {"split": "test"}))) == 3


def test_words_that_files_and_folders_are_called_by_differ_whatever_those_hold(files):
    """`data.missing=drop,refuse` are two cells; a word may name data all the same, so its content counts too."""
    assert len(set(hashes(files, {"missing": "a"}, {"missing": "copy"}, {"missing": "b"}))) == 3
    (before,) = hashes(files, {"part": "a"})
    np.save(files / "a" / "rows.npy", np.ones((7, 3)))
    assert hashes(files, {"part": "a"}) != [before]


@pytest.mark.parametrize("text", ["a.npy,b.npy", "a.npy, b.npy", "file://{}/a.npy"])
def test_lists_in_a_text_and_addresses_of_files_stand_for_contents(text, files):
    given = {"sources": text.format(files)}
    (before,) = hashes(files, given)
    assert hashes(files, {"sources": given["sources"].replace("a.npy", "copy.npy")}) == [before]
    np.save(files / "a.npy", np.ones((7, 3)))
    assert hashes(files, given) != [before]


def test_what_cannot_be_read_is_known_by_its_path(files, tmp_path):
    os.mkfifo(files / "pipe")  # which would wait for ever
    long, nul = "x" * 5000, "a\0b"
    assert len(set(hashes(files, {"path": "pipe"}, {"path": long}, {"path": nul}, {"path": ""}, {"path": "gone"}))) == 5


def test_large_data_are_known_by_names_sizes_and_dates(files, monkeypatch):
    monkeypatch.setattr("vaelab.sweeps.config_hash.LARGEST", 100)
    a, b = hashes(files, {"path": "a.npy"}, {"path": "b.npy"})
    assert a != b
    folder = hashes(files, {"root": "a"})
    os.utime(files / "a" / "rows.npy", (1, 1))
    assert hashes(files, {"root": "a"}) != folder


def test_a_config_is_flattened():
    config = {"a": {"b": [1, {"c": 2}], "d": {}, "e": []}}
    assert dict(flat(config)) == {"a.b.0": 1, "a.b.1.c": 2, "a.d": {}, "a.e": []}


def test_values_that_change_from_start_to_start_are_not_filled_in(tmp_path, monkeypatch):
    """`${oc.env:…}` decides what is read; the run's own folder and the time do not."""
    from hydra.core.hydra_config import HydraConfig

    found = {}
    for name in ("a", "b"):
        monkeypatch.setenv("OWN", name)
        own = ("data=array", "data.path=${oc.env:OWN}.npy", "+logger.prefix=${now:%f}", "seed=${latent_dim}")
        cfg = compose_config(tmp_path / name, *own)
        plain = filled_in(cfg, HydraConfig.instance().cfg)
        assert (plain["data"]["path"], plain["seed"]) == (f"{name}.npy", 2)
        assert plain["logger"]["prefix"] == "${now:%f}"
        assert plain["callbacks"]["last"]["dirpath"] == "${hydra:runtime.output_dir}/checkpoints"
        found[name] = identity(cfg, HydraConfig.instance().cfg)
        assert identity(compose_config(tmp_path, *own), HydraConfig.instance().cfg) == found[name]
    assert found["a"] != found["b"]
