"""Hydra's settings and flags, alone and in a sweep: docs/hydra.md lists them."""

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict

from helpers.runner import ROOT, SHORT, TINY, messages, run_train
from vaelab.app.absolute_paths import make_absolute
from vaelab.app.errors import one_sentence
from vaelab.app.hydra_sweeps.cell import NO_CONFIG_FILES, passed_on
from vaelab.app.hydra_sweeps.installed import check_installed
from vaelab.app.hydra_sweeps.parallel import side_by_side
from vaelab.app.hydra_sweeps.search import OptunaSearch
from vaelab.app.hydra_sweeps.search_space import distribution
from vaelab.app.lock_folder import LockFolder
from vaelab.platforms import processors
from vaelab.runs.folder import check_length
from vaelab.runs.run_state import read_state

CHDIR = ("hydra.job.chdir=true", "+hydra.job.env_set.OWN=given", "+callbacks.look._target_=own_classes.Look")
NAMED = ("hydra.output_subdir=settings", "hydra.job.name=mine", "hydra.verbose=true")
ROWS = ("data=rows", "data.val_size=7", "data.test_size=11")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and a separate folder with config files."""
    cwd = tmp_path_factory.mktemp("hydra")
    chance = np.random.default_rng(0)
    for name, scale in {"a": 1.0, "b": 5.0, "c": 2.0}.items():
        (cwd / "rows" / name).mkdir(parents=True)
        np.save(cwd / "rows" / name / "x.npy", scale * chance.normal(size=(53, 3)))
    (cwd / "own" / "data").mkdir(parents=True)
    (cwd / "own" / "data" / "rows.yaml").write_text(
        "_target_: own_classes.Rows\nfile: rows/a/x.npy\nval_size: 0.1\ntest_size: 0.1\nbatch_size: 8\n"
    )
    return cwd


def start(place, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTES", str(place / "notes.txt"))
        return run_train(place, "hydra.searchpath=[file://own]", *arguments)


def hashed(folder):
    """file -> hash of its content, of all files in a folder."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def alone(place):
    """A run under many settings at once: its folder, its process, and the files that were there before."""
    before = set(hashed(place))
    process = start(place, *ROWS, *SHORT, *CHDIR, *NAMED, "hydra.run.dir=${model._target_}/${data.val_size}")
    return place / "vaelab.families.DiagonalGaussian" / "7", process, before


def test_a_run_that_changes_its_folder_writes_there_alone(alone, place):
    folder, process, before = alone
    assert process.returncode == 0, process.stderr
    assert read_state(folder).state == "done"
    written = set(hashed(place)) - before
    assert written
    assert all(path.is_relative_to(folder) for path in written)
    assert (folder / "seen.txt").read_text() == "given"
    assert {path.name for path in (folder / "settings").iterdir()} == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert (folder / "mine.log").is_file()
    assert OmegaConf.load(folder / "hparams.yaml").data.file == str(place / "rows" / "a" / "x.npy")
    assert f"run     {folder}" in process.stdout


@pytest.mark.parametrize(
    "where",
    [
        "hydra.run.dir=${model._target_}/${data.val_size}",
        "hydra.run.dir=${oc.env:PLACE}/vaelab.families.DiagonalGaussian/7",
    ],
)
def test_a_run_that_is_refused_changes_nothing_of_another(where, alone, place, monkeypatch):
    """Within the process, as Hydra calls it before it writes anything."""
    monkeypatch.setenv("PLACE", str(place))
    monkeypatch.chdir(place)
    before = hashed(alone[0])
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", [where, "data.val_size=7"], return_hydra_config=True)
    with pytest.raises(SystemExit, match=r"^error: .*7 already holds a run; vaelab train resume=.* resumes it"):
        LockFolder().on_run_start(config)
    assert hashed(alone[0]) == before


def test_a_second_process_changes_nothing_of_the_first(alone, place):
    before = hashed(alone[0])
    process = start(place, "latent_dim=3", *TINY, "hydra.run.dir=${model._target_}/7")
    assert process.returncode == 1
    assert process.stderr.endswith("another hydra.run.dir starts a new one\n")
    assert hashed(alone[0]) == before


def test_the_folder_of_a_second_process_is_in_use(place, monkeypatch, tmp_path):
    from vaelab.runs.folder import locked

    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", [f"hydra.run.dir={tmp_path / 'run'}"], return_hydra_config=True)
    with locked(tmp_path / "run"), pytest.raises(SystemExit, match="run is in use by another process; wait for it"):
        LockFolder().on_run_start(config)
    monkeypatch.setenv("VAELAB_STARTED_BY", str(os.getppid()))
    with locked(tmp_path / "run"):
        LockFolder().on_run_start(config)  # one of the first process's own


@pytest.fixture(scope="module")
def sweeps(place):
    """A sweep under the same settings, then the same command with another file before the others."""
    counted = "+hydra.callbacks.count._target_=own_classes.Count"
    keys = (*ROWS, *SHORT, *CHDIR, *NAMED, counted, "~hydra.callbacks.summary")  # its imports take time
    where = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=cells/${hydra.job.num}", "hydra/launcher=joblib")
    first = start(place, "-m", *keys, *where, "hydra.launcher.n_jobs=1", "data.file=rows/a/x.npy,rows/b/x.npy")
    before = hashed(place / "sweep" / "cells")
    again = start(place, "-m", *keys, *where, "data.file=rows/c/x.npy,./rows/b/x.npy,rows/a/x.npy")
    return place / "sweep" / "cells", before, (first, again)


def test_a_cell_runs_under_the_settings_of_its_sweep(sweeps, alone, place):
    folder, before, processes = sweeps
    for process in processes:
        assert process.returncode == 0, process.stderr
    for place_of, (name, number) in enumerate({"a": 0, "b": 1, "c": 0}.items()):  # the first of its own command
        cell = folder / str(place_of)
        assert read_state(cell).state == "done"
        assert (cell / "seen.txt").read_text() == "given"
        assert (cell / "mine.log").is_file()
        config = OmegaConf.load(cell / "settings" / "config.yaml")
        assert Path(config.data.file) == Path("rows", name, "x.npy")
        assert OmegaConf.load(cell / "settings" / "hydra.yaml").hydra.job.num == number
    assert (folder / "0" / "metrics.json").read_text() == (alone[0] / "metrics.json").read_text()
    scores = {json.loads((folder / str(number) / "metrics.json").read_text())["val/elbo"] for number in range(3)}
    assert len(scores) == 3
    assert {path: digest for path, digest in hashed(folder).items() if path in before} == before
    assert (place / "notes.txt").read_text().split("\n") == ["job 0", "job 1", "job 0", ""]  # once for each


@pytest.mark.parametrize(
    ("flags", "code", "shown"),
    [
        (("--help", "--config-dir", "own", "data=rows"), 0, "file: rows/a/x.npy"),
        (("--experimental-rerun", "job.pickle"), 1, "error: --experimental-rerun reads a pickle, which can run code"),
        (("--config-dir", "nowhere"), 1, "error: --config-dir must name a folder of config files, but "),
        (("--config-path=nowhere",), 1, "error: --config-path must name a folder of config files, but "),
        (
            ("--nonsense",),
            1,
            "error: unrecognized arguments: --nonsense; `python train.py --hydra-help` lists the flags",
        ),
        (("nonsense",), 1, "error: nonsense must be a key and its value, such as latent_dim=5, or an option"),
        (("--config-name", "nowhere"), 1, "error: --config-name=nowhere is in no folder of config files"),
        (("hydra.verbose=3",), 1, "error: hydra.verbose must be true, false, or names of loggers; use hydra"),
        (("latent_dim=1,2", "-m", "hydra.sweep.dir="), 1, "error: hydra.sweep.dir must name a folder, but is empty"),
    ],
)
def test_flags(flags, code, shown, place):
    process = run_train(place, *flags)
    assert process.returncode == code
    assert shown in (process.stderr if code else process.stdout)
    assert not code or len(messages(process.stderr)) == 1


def test_what_a_sweep_decides_is_not_passed_on():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        given = [
            *("hydra.sweep.dir=s", "hydra.run.dir=r", "hydra.mode=MULTIRUN", "hydra/sweeper=optuna"),
            *("hydra.sweeper.n_trials=3", "hydra.output_subdir=null", "hydra/job_logging=stdout"),
            *("+hydra.callbacks.own._target_=own.Callback", "~hydra.callbacks.summary", "hydra.job.num=3"),
        ]
        chosen = compose("train", [*given, NO_CONFIG_FILES], return_hydra_config=True).hydra
    assert passed_on(chosen) == [
        *("hydra.output_subdir=null", "hydra/job_logging=stdout", "+hydra.callbacks.own._target_=own.Callback"),
        *("~hydra.callbacks.summary", "hydra.job.num=3", "~hydra.callbacks.own"),
    ]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("+experiment=mnist", "experiment already has an option, so leave out the +; use experiment=mnist"),
        ("+model=bernoulli", "model already has an option, so leave out the +; use model=bernoulli"),
        ("+seed=3", "seed is already a key; leave out the +"),
        (
            "~nonsense",
            "nonsense cannot be removed, because it is not in the config; `vaelab train --cfg job` lists the keys",
        ),
        ("optimizer@second=adam", "optimizer@second is not a key, so nothing would read it"),
        ("hydra.job.env_copy=[NO_SUCH]", "hydra.job.env_copy names NO_SUCH, which is not in the environment; set it"),
        ("hydra.run.dir=null", "hydra.run.dir=null is not possible (field 'hydra.run.dir' is not Optional)"),
        ("hydra.mode=nonsense", "hydra.mode=nonsense is not possible (Invalid value 'nonsense', expected one of"),
        ("hydra.searchpath=own", "hydra.searchpath must be a list of folders, but is own; write hydra.searchpath=["),
        ("hydra/job_logging=nonsense", "hydra/job_logging=nonsense is not known; use one of default, disabled, none"),
        ("hydra/launcher=nonsense", "hydra/launcher=nonsense is not known; use one of basic"),
        ("hydra/launcher=submitit_gone", "needs a package that is not installed; run pip install -c constraints.txt"),
        ("hydra.nonsense=3", "hydra.nonsense is not a key, so nothing would read it"),
    ],
)
def test_what_cannot_be_composed_is_explained(typed, answer):
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        with pytest.raises(Exception) as error:  # noqa: PT011, Hydra's own of many kinds
            compose("train", [typed], return_hydra_config=True)
        assert answer in one_sentence(error.value)
        assert "\n" not in one_sentence(error.value)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("hydra.run.dir=", "hydra.run.dir must name a folder, but is empty; name one, or leave it out"),
        ("hydra.run.dir=${nothing.there}/x", "a value refers to nothing.there, which has no value here; set it"),
        ("hydra.run.dir=${hydra.job.num}", "a value refers to hydra.job.num, which has no value here; set it"),
        ("hydra.run.dir=${oc.env:NO_SUCH}", "the config takes a value from NO_SUCH, which is not in the environment"),
        ("hydra.run.dir=file", "hydra.run.dir must be a folder, but file is a file; choose another"),
        (f"hydra.run.dir={'x' * 300}", "hydra.run.dir must be made of names of at most 255 bytes, but one has 300"),
        (f"hydra.run.dir={'long/' * 800}", "hydra.run.dir must be a path of at most 3584 bytes, but has "),
    ],
)
def test_impossible_folders_are_refused_before_training(typed, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("as it was")
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", [typed], return_hydra_config=True)
    with pytest.raises(SystemExit) as error:
        LockFolder().on_run_start(config)
    assert str(error.value.code).startswith(f"error: {answer}")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def test_a_sweeper_of_another_kind_is_refused():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", ["hydra/sweeper=basic"], return_hydra_config=True)
    with pytest.raises(SystemExit, match=r"^error: hydra/sweeper must be one that .*, but is basic; use hydra"):
        LockFolder().on_multirun_start(config)


def test_errors_are_shown_even_if_logging_is_switched_off(capsys):
    from vaelab.app.ending import log, tell

    try:
        log.disabled = True
        tell("error: a sentence")
    finally:
        log.disabled = False
    assert capsys.readouterr().err == "error: a sentence\n"


@pytest.mark.parametrize("option", ["vaelab", "default", "stdout", "none", "disabled"])
def test_every_kind_of_logging_can_be_set_up(option, tmp_path):
    """Handlers of one option do not leak into another."""
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", [f"hydra/job_logging={option}"], return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir, config.hydra.job.name = str(tmp_path), "train"
    settings = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    if settings["root"] is not None and not settings["disable_existing_loggers"]:
        handlers = settings.get("handlers", {})
        assert all("class" in handler for handler in handlers.values())
        assert set(settings["root"]["handlers"]) <= set(handlers)
    else:
        assert not settings.get("handlers")


def test_a_home_directory_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        config = compose("train", ["hydra.run.dir='~/run'", "hydra.sweep.dir='~/sweep'"], return_hydra_config=True)
    LockFolder().on_run_start(config)
    LockFolder().on_multirun_start(config)
    assert (config.hydra.run.dir, config.hydra.sweep.dir) == (f"{tmp_path}/run", f"{tmp_path}/sweep")


def test_paths_may_be_as_long_as_the_system_allows(tmp_path):
    check_length(tmp_path / ("x" * 255), "key")
    with pytest.raises(ValueError, match="key must be made of names of at most 255 bytes, but one has 256; shorten it"):
        check_length(tmp_path / ("ä" * 128), "key")


def test_relative_paths_mean_the_folder_where_they_were_typed(tmp_path):
    (tmp_path / "rows.npy").touch()
    (tmp_path / "drop").mkdir()
    config = OmegaConf.create(
        {
            "data": {
                "path": "rows.npy",
                "parts": ["./rows.npy", "gone.npy"],
                "missing": "drop",
                "root": None,
                "folders": ["drop"],
            },
            "callbacks": {"best": {"dirpath": "best"}, "own": {"dirpath": "/there"}, "none": None},
            "logger": {"save_dir": "~/logs", "name": "rows.npy", "version": "???"},
            "trainer": {"default_root_dir": "root", "plugins": [{"log_dir": "plugin"}]},
        }
    )
    make_absolute(config, tmp_path)
    assert config.data == {
        "path": f"{tmp_path}/rows.npy",
        "parts": [f"{tmp_path}/rows.npy", "gone.npy"],
        "missing": "drop",  # a word, though a folder is called so
        "root": None,
        "folders": [f"{tmp_path}/drop"],
    }
    assert config.callbacks == {"best": {"dirpath": f"{tmp_path}/best"}, "own": {"dirpath": "/there"}, "none": None}
    assert config.logger.save_dir == os.path.expanduser("~/logs")
    assert config.logger.name == "rows.npy"
    assert config.trainer == {"default_root_dir": f"{tmp_path}/root", "plugins": [{"log_dir": f"{tmp_path}/plugin"}]}


@pytest.mark.parametrize(("given", "cells"), [(3, 3), (-1, processors()), (-1000, 1)])
def test_how_many_cells_run_at_a_time(given, cells):
    assert side_by_side(given) == cells


@pytest.mark.parametrize("given", [0, "many", None, 1.5])
def test_a_number_of_cells_that_makes_no_sense(given):
    with pytest.raises(ValueError, match=r"hydra.launcher.n_jobs must be a whole number other than 0, but is"):
        side_by_side(given)


def test_a_value_that_needs_quotes_is_told_so():
    with pytest.raises(HydraException) as error:
        OverridesParser.create().parse_overrides(["data.path=größe/t.csv"])
    assert "quote a value with spaces, commas, brackets, ~ or letters beyond ASCII" in one_sentence(error.value)
    (override,) = OverridesParser.create().parse_overrides(["data.path='größe/t.csv'"])
    assert override.value() == "größe/t.csv"


def test_a_package_that_is_missing_is_named_with_its_cure():
    check_installed("this test", "pytest")
    with pytest.raises(ValueError, match=r"hydra/sweeper=optuna needs no_such, .*; run pip install -c .*\[sweep\]'$"):
        check_installed("hydra/sweeper=optuna", "no_such")


def test_a_search_over_other_data_is_another_search():
    sweeper, content = object.__new__(OptunaSearch), {"a": 1, "b": 2, "copy": 1, "c": 3}
    sweeper.all = SimpleNamespace(
        identity=lambda overrides: str([content.get(each.partition("=")[2], each) for each in overrides])
    )

    def digest(*given):
        parsed = OverridesParser.create().parse_overrides(list(given))
        constants = [each.input_line for each in parsed if not each.is_sweep_override()]
        space = {each.key_or_group: distribution(each) for each in parsed if each.is_sweep_override()}
        return sweeper._data_and_files(constants, space)

    searched = "latent_dim=range(1,4)"
    assert digest(searched, "data.path=a") == digest(searched, "data.path=copy")
    assert digest(searched, "data.path=a") != digest(searched, "data.path=b")
    assert digest(searched, "data.path=a,b") == digest(searched, "data.path=copy,b")
    assert digest(searched, "data.path=a,b") != digest(searched, "data.path=a,c")
    assert digest(searched, "data=a,b") != digest(searched, "data=a,c")
