"""Searches: the draws, their results, and resuming."""

import csv
import json
import math
import os
import signal
import sqlite3
import struct
import time
from types import SimpleNamespace

import optuna
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from helpers.runner import SHORT, TINY, messages, run_train, start_train
from vaelab.app.hydra_sweeps.search import OptunaSearch
from vaelab.app.hydra_sweeps.search_space import check_searchable, distribution
from vaelab.figures.search import Search
from vaelab.runs.run_state import State, read_state, write_state
from vaelab.sweeps.cells import Cell, claim
from vaelab.sweeps.search import evaluate, write_results
from vaelab.sweeps.study import DATA_AND_FILES, check_comparable, is_pruned, open_study, storage
from vaelab.training import PruneTrial

SEARCH = (
    *("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=7", "hydra.sweep.dir=sweep"),
    *(
        "latent_dim=range(1,4)",
        "optimizer.lr=tag(log,interval(1e-4,1e-1))",
        "++network.activation=tanh,relu",
        *TINY,
        *SHORT,
        "trainer.max_epochs=3",
    ),
    *("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=1"),
)


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ("a=1,5,9", CategoricalDistribution(["1", "5", "9"])),
        ("a=choice(x,y)", CategoricalDistribution(["x", "y"])),
        ("a=range(2,9)", IntDistribution(2, 8)),
        ("a=range(2,9,3)", IntDistribution(2, 8, step=3)),
        ("a=range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("a=interval(0.5,2)", FloatDistribution(0.5, 2.0)),
        ("a=interval(2,9)", FloatDistribution(2.0, 9.0)),
        ("a=tag(log,interval(1e-4,0.1))", FloatDistribution(1e-4, 0.1, log=True)),
        ("a=tag(log,range(2,65))", IntDistribution(2, 64, log=True)),
        ("+a=choice(x,y)", CategoricalDistribution(["x", "y"])),
    ],
)
def test_what_is_drawn_is_what_the_override_says(given, drawn):
    (override,) = OverridesParser.create().parse_overrides([given])
    assert distribution(override) == drawn


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("a=range(5,5)", "the range is empty"),
        ("a=interval(0.1,0.001)", "low=0.1, high=0.001"),
        ("a=tag(log,interval(0,0.1))", "above 0 if it is tag"),
        ("a=tag(log,range(0,8))", "above 0 if it is tag"),
        ("a=tag(log,range(2,65,8))", "has a logarithmic scale"),
        ("a=tag(log,range(0.5,2.5))", "has a logarithmic scale"),
        ("a=tag(log,choice(1,2))", "has a logarithmic scale"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, answer):
    (override,) = OverridesParser.create().parse_overrides([given])
    with pytest.raises(ValueError, match=answer) as error:
        distribution(override)
    assert str(error.value).startswith(f"{given} leaves nothing to draw from")


def test_a_study_is_about_one_thing(tmp_path):
    about = {"latent_dim": "range(1,4)", "hydra.sweeper.metric": "val/elbo"}
    open_study(tmp_path, "minimize", {"latent_dim": "5"}).ask()
    for _ in range(2):  # nothing has come of what was there before
        study = open_study(tmp_path, "maximize", about)
    assert (len(study.trials), study.direction.name) == (0, "MAXIMIZE")
    study.tell(study.ask(), -3.0)
    with pytest.raises(
        ValueError, match=r"holds a search with hydra.sweeper.metric=val/elbo, and this one has .*=val/nll"
    ):
        open_study(tmp_path, "maximize", about | {"hydra.sweeper.metric": "val/nll"})
    with pytest.raises(ValueError, match=r"with trainer.max_epochs=its default, and this one has trainer.max_epochs=9"):
        open_study(tmp_path, "maximize", about | {"trainer.max_epochs": "9"})
    with pytest.raises(ValueError, match=r"the same search, but its data or the files in conf/ differ; use another"):
        open_study(tmp_path, "maximize", about | {DATA_AND_FILES: "other"})
    assert open_study(tmp_path, "maximize", about).trials[0].value == -3.0


@pytest.mark.parametrize("name", ["study.db", "study.db-journal", "study.db-wal", "study.db-shm"])
@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_a_study_is_made_of_files_of_its_own_folder(name, how, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "victim").write_text("mine")
    getattr(tmp_path / "sweep" / name, how)(tmp_path / "victim")
    with pytest.raises(ValueError, match=rf"{name} must be a file of only this folder, but is not; remove it"):
        open_study(tmp_path / "sweep", "maximize", {})
    assert (tmp_path / "victim").read_text() == "mine"


def hot_journal(folder, ending=b""):
    """Leaves a study like a process that was killed while writing."""
    optuna.create_study(storage=storage(folder), study_name="sweep", direction="maximize")
    database, journal = folder / "study.db", folder / "study.db-journal"
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("pragma cache_size = 1")
    connection.execute("begin")
    connection.execute("create table t(x)")
    for _ in range(100):
        connection.execute("insert into t values (randomblob(2000))")
    whole, left = database.read_bytes(), journal.read_bytes()
    connection.execute("rollback")
    connection.close()
    database.write_bytes(whole)
    page = struct.unpack(">I", left[24:28])[0]
    journal.write_bytes(left + (struct.pack(">I", 0x40000000 // page + 1) + ending if ending else b""))


def test_a_journal_removes_no_file(tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    name = os.fsencode(victim)
    named = name + struct.pack(">2I", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    (tmp_path / "sweep").mkdir()
    hot_journal(tmp_path / "sweep", named)
    with pytest.raises(ValueError, match=r"study.db-journal must belong only to study.db, but names a file"):
        open_study(tmp_path / "sweep", "maximize", {})
    assert victim.read_text() == "mine"


def test_a_study_survives_a_process_that_was_killed_while_it_wrote(tmp_path):
    hot_journal(tmp_path)
    assert open_study(tmp_path, "maximize", {}).trials == []
    tables = sqlite3.connect(tmp_path / "study.db").execute("select name from sqlite_master").fetchall()
    assert ("t",) not in tables


def test_a_study_lies_in_its_folder_whatever_that_is_called(tmp_path):
    folder = tmp_path / "what? 100 % o'clock #1"
    folder.mkdir()
    optuna.create_study(storage=storage(folder), study_name="sweep")
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_a_trial_of_the_values_of_a_pruned_one_is_pruned(tmp_path):
    study, space = optuna.create_study(), {"a": IntDistribution(1, 3)}
    for _ in range(2):
        study.ask(space)
    cells = [claim(tmp_path, name, [], name, None) for name in ("cut", "whole")]
    for cell in cells:
        write_state(cell.folder, State("done", config=cell.config))
    study.ask(space).set_user_attr("pruned", 4)
    assert is_pruned(study, 2, cells[0])
    assert read_state(cells[0].folder).reason == "pruned after epoch 4"
    assert is_pruned(study, 1, cells[0])
    assert not is_pruned(study, 0, cells[1])


def finished(folder, name, **data):
    """A finished cell with numbers from these data."""
    cell = claim(folder, name, [f"model={name}"], name, None)
    write_state(cell.folder, State("done", overrides=cell.overrides, config=name))
    (cell.folder / "data.json").write_text(json.dumps({"data": "MNIST", **data}))
    (cell.folder / "metrics.json").write_text('{"val/elbo": -45.0}')
    return cell


def test_a_search_ranks_only_what_compares(tmp_path):
    study = optuna.create_study()
    check_comparable(study, finished(tmp_path, "gaussian", measure="log-density", read="read from a"), "val/elbo")
    check_comparable(study, finished(tmp_path, "gaussian_full", measure="log-density", read="read from b"), "val/elbo")
    bernoulli = finished(tmp_path, "bernoulli", measure="log-probability")
    with pytest.raises(ValueError, match=r"bernoulli has measure: log-probability, and .* has log-density; search"):
        check_comparable(study, bernoulli, "val/elbo")
    with pytest.raises(ValueError, match=r"has measure: none, and the first"):
        check_comparable(study, finished(tmp_path, "own"), "val/elbo")
    with pytest.raises(ValueError, match=r"has noise: 0.2, and the first finished trial has none"):
        check_comparable(study, finished(tmp_path, "noisy", measure="log-density", noise="0.2"), "val/elbo")


def test_a_search_ranks_bounds_of_one_objective_only(tmp_path):
    """The ELBO and the NLL compare under every objective."""
    cells = [finished(tmp_path, name) for name in ("elbo", "iwae")]
    for cell, name in zip(cells, ("ELBO", "IWAE"), strict=True):
        (cell.folder / "metrics.json").write_text(json.dumps({"val/elbo": -45.0, "val/bound": -40.0}))
        (cell.folder / "hparams.yaml").write_text(f"objective:\n  _target_: vaelab.objectives.{name}\n  samples: 5\n")
    for metric in ("val/elbo", "val/nll"):
        study = optuna.create_study()
        for cell in cells:
            check_comparable(study, cell, metric)
        assert study.user_attrs["first"]["objective"] == "ELBO"
    study = optuna.create_study()
    check_comparable(study, cells[0], "val/bound")
    with pytest.raises(
        ValueError, match=r"iwae has objective: IWAE\(samples=5\), and .* has ELBO\(samples=5\); search"
    ):
        check_comparable(study, cells[1], "val/bound")


def test_a_search_ends_at_a_score_that_does_not_compare(tmp_path):
    """The study gets only the first score, not the better one of another kind."""
    cells = [finished(tmp_path, "gaussian", measure="log-density"), finished(tmp_path, "bernoulli", measure="other")]
    sweeper, study = object.__new__(OptunaSearch), optuna.create_study(direction="maximize")
    sweeper.metric, sweeper.samples, sweeper.pruner = "val/elbo", 1, None
    sweeper.all = SimpleNamespace(
        cells=lambda *_: cells,
        launch=lambda *_: None,
        stopped=False,
        folder=tmp_path,
        compose=lambda _: OmegaConf.create(),
    )
    asked = [study.ask({"model": CategoricalDistribution(["gaussian", "bernoulli"])}) for _ in cells]
    with pytest.raises(ValueError, match="must be comparable, but bernoulli has measure: other"):
        sweeper._run(study, [(trial.number, trial.params) for trial in asked], [], ["model"])
    assert [trial.value for trial in study.trials] == [-45.0, None]
    assert cells[1].done


@pytest.mark.parametrize("key", ["data", "data.path", "+data.root"])
def test_a_search_over_data_is_refused(key):
    check_searchable(["data.batch_size", "model", "latent_dim"])
    with pytest.raises(ValueError, match=r"must have one value in a search, because scores on different data"):
        check_searchable(["latent_dim", key])


def test_a_run_is_evaluated_with_as_many_samples_as_are_asked_for(tmp_path, monkeypatch):
    cell, asked = Cell(tmp_path, (), ""), []

    def run_python(command, stop):
        asked.append((command, stop()))
        (tmp_path / "evaluation_val.json").write_text('{"nll": 2.5, "samples": 50}')

    monkeypatch.setattr("vaelab.sweeps.search.run_python", run_python)
    for _ in range(2):
        assert evaluate(cell, "val/nll", 50, ["-m", "vaelab"], ["mine", "vaelab"], lambda: 15) == 2.5
    (call,) = asked
    command = ["-m", "vaelab", "evaluate", str(tmp_path), "--split", "val", "--samples=50"]
    assert call == ([*command, "--allow=mine", "--allow=vaelab"], 15)
    assert math.isnan(evaluate(cell, "val/nll", 60, ["-m", "vaelab"], [], lambda: None))
    with pytest.raises(ValueError, match=r"hydra.sweeper.metric must be a key of .*, but is val/nothing"):
        evaluate(cell, "val/nothing", 60, ["-m", "vaelab"], [], lambda: None)


@pytest.mark.parametrize(("metric", "reported"), [("val/nll", [5.0, 3.0]), ("val/elbo", [-5.0, -3.0])])
def test_a_pruner_hears_what_is_searched_for(metric, reported, tmp_path):
    study = optuna.create_study(storage=storage(tmp_path), study_name="sweep", direction="minimize")
    study.ask({"a": IntDistribution(1, 3)})
    callback = PruneTrial(storage(tmp_path), 0, metric, optuna.pruners.NopPruner())
    trainer = SimpleNamespace(
        is_global_zero=True,
        sanity_checking=False,
        current_epoch=0,
        callback_metrics={},
        strategy=SimpleNamespace(broadcast=lambda value: value),
        should_stop=False,
    )
    callback.on_fit_start(trainer, None)
    callback.on_validation_end(trainer, None)
    for epoch, elbo in enumerate([-5.0, -3.0]):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/elbo": torch.tensor(elbo)}
        callback.on_validation_end(trainer, None)
    assert list(study.trials[0].intermediate_values.values()) == reported


def test_the_results_tell_which_key_matters(tmp_path, capsys, monkeypatch):
    drawn, of = [], Search.of
    monkeypatch.setattr(Search, "of", lambda *given: drawn.append(given) or of(*given))
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=3))
    space = {"matters": FloatDistribution(-1, 1), "does_not": FloatDistribution(-1, 1)}
    for _ in range(60):
        trial = study.ask(space)
        study.tell(trial, -((trial.params["matters"] - 0.3) ** 2))
    study.tell(study.ask(space), state=optuna.trial.TrialState.FAIL)
    write_results(study, tmp_path, "val/elbo")
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [int(row["trial"]) for row in rows] == list(range(61))
    assert [float(row["val/elbo"]) for row in rows[:-1]] == [trial.value for trial in study.trials[:-1]]
    assert rows[-1]["state"] == "fail"
    assert "best of 61 trials: val/elbo -0.000 with matters=0.2983 does_not=-0.443 (trial 6)" in capsys.readouterr().out
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    ((*_, names, importances),) = drawn
    assert dict(zip(names, importances, strict=True))["matters"] > 0.8


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_an_infinite_score_wins_no_search(direction, tmp_path, capsys):
    study, space = optuna.create_study(direction=direction), {"a": FloatDistribution(0, 1)}
    for value in (1.0, math.inf, 3.0, -math.inf, 2.0):
        study.tell(study.ask(space), value)
    write_results(study, tmp_path, "val/elbo")
    said = capsys.readouterr().out
    assert f"val/elbo {3 if direction == 'maximize' else 1}.000 with a=" in said
    assert "part of the score is luck" in said
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "answer"), [("NaN", math.nan), ("-Infinity", math.nan), ('"3"', math.nan), ("3", 3.0)]
)
def test_a_score_that_is_no_finite_number_counts_for_nothing(value, answer, tmp_path):
    (tmp_path / "metrics.json").write_text(f'{{"val/elbo": {value}}}')
    (tmp_path / "evaluation_val.json").write_text(f'{{"nll": {value}, "samples": 50}}')
    cell = Cell(tmp_path, (), "")
    found = evaluate(cell, "val/elbo", 50, ["-m", "vaelab"], [], lambda: None)
    assert found == pytest.approx(answer, nan_ok=True)
    if math.isfinite(answer):  # otherwise it would be evaluated again
        assert evaluate(cell, "val/nll", 50, ["-m", "vaelab"], [], lambda: None) == answer


def test_choices_and_keys_control_no_spreadsheet_terminal_or_picture(tmp_path, capsys):
    study = optuna.create_study(direction="maximize")
    space = {"=$key\x1b": CategoricalDistribution(["=1+1", "\x1b[2J"]), "b$": FloatDistribution(0, 1)}
    for _ in range(6):
        trial = study.ask(space)
        study.tell(trial, trial.params["b$"])
    write_results(study, tmp_path, "val/elbo")
    assert "\x1b" not in capsys.readouterr().out + (tmp_path / "trials.csv").read_text()
    cells = {cell for line in csv.reader((tmp_path / "trials.csv").open()) for cell in line}
    assert not [cell for cell in cells if cell.startswith("=")]
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def trials(cwd):
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{cwd / 'sweep' / 'study.db'}").trials


def test_a_search_that_is_killed_goes_on(tmp_path):
    process = start_train(tmp_path, *SEARCH)
    deadline = time.monotonic() + 90
    while len(list(tmp_path.glob("sweep/*/metrics.json"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'sweep' / 'study.db'}")
    before = [trial for trial in study.trials if trial.state.is_finished()]
    assert 2 <= len(before) < 7
    study.ask()  # as if it had been killed while it drew
    process = run_train(tmp_path, *SEARCH, timeout=300)
    assert process.returncode == 0, process.stderr
    after = trials(tmp_path)
    assert len(after) == 7
    assert all(trial.state.is_finished() for trial in after)
    assert len({trial.params.get("optimizer.lr") for trial in after}) == 7
    assert [(t.number, t.params, t.value) for t in after[: len(before)]] == [
        (t.number, t.params, t.value) for t in before
    ]
    assert "best of 7 trials: val/bound" in process.stdout
    rows = list(csv.DictReader((tmp_path / "sweep" / "summary.csv").open()))
    assert {row["state"] for row in rows} == {"done"}
    scores = {(row["latent_dim"], row["optimizer.lr"]): float(row["val/elbo"]) for row in rows}
    for trial in filter(lambda trial: trial.params, after):
        key = str(trial.params["latent_dim"]), f"{trial.params['optimizer.lr']:.4g}"
        if trial.state == optuna.trial.TrialState.COMPLETE:
            assert trial.value == pytest.approx(scores[key], rel=1e-6)
    pruned = {trial.user_attrs["pruned"] for trial in after if trial.state == optuna.trial.TrialState.PRUNED}
    reasons = {read_state(path.parent).reason for path in tmp_path.glob("sweep/*/state.json")} - {""}
    assert reasons == {f"pruned after epoch {epoch}" for epoch in pruned}


def test_a_search_by_nll_evaluates_each_run(tmp_path):
    keys = ("hydra.sweeper.metric=val/nll", "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=1")
    process = run_train(tmp_path, *SEARCH, *keys, "hydra.sweeper.samples=30", timeout=300)
    assert process.returncode == 0, process.stderr
    (trial,) = trials(tmp_path)
    (row,) = csv.DictReader((tmp_path / "sweep" / "summary.csv").open())
    assert trial.value < -float(row["val/elbo"]) + 0.5  # −log p̂ lies below −ELBO, but for noise
    assert min(trial.intermediate_values.values()) == pytest.approx(-float(row["val/elbo"]), rel=1e-5)
    assert list(tmp_path.glob("sweep/*/evaluation_val.json"))


def test_a_search_over_nothing_is_refused(tmp_path):
    process = run_train(tmp_path, "-m", "hydra/sweeper=optuna", "latent_dim=2", "hydra.sweep.dir=sweep")
    assert process.returncode == 1
    (line,) = messages(process.stderr)
    assert line.startswith("error: a search needs a key with several values, but every key has only one")


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (
            ("hydra.sweeper.metric=val/nll", "hydra.sweeper.direction=maximize"),
            "hydra.sweeper.direction must be minimize",
        ),
        (("optimizer.rl=interval(0.1,0.2)",), "optimizer.rl is not a key"),
    ],
)
def test_a_mistake_leaves_no_study(given, answer, tmp_path):
    process = run_train(tmp_path, *SEARCH, *given)
    assert process.returncode == 1
    assert answer in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "sweep" / "study.db").exists()


def test_a_metric_that_no_run_has_may_be_corrected(tmp_path):
    keys = ("hydra.sweeper.n_trials=1", "hydra.sweeper.pruner=null")
    process = run_train(tmp_path, *SEARCH, *keys, "hydra.sweeper.metric=val/nothing", timeout=300)
    assert process.returncode == 1
    (line,) = messages(process.stderr)
    assert line.startswith("error: hydra.sweeper.metric must be a key of ")
    process = run_train(tmp_path, *SEARCH, *keys, timeout=300)
    assert process.returncode == 0, process.stderr
    (trial,) = trials(tmp_path)
    assert trial.value == pytest.approx(
        float(next(csv.DictReader((tmp_path / "sweep/summary.csv").open()))["val/elbo"])
    )


def test_trials_are_drawn_apart():
    sweeper = object.__new__(OptunaSearch)
    sweeper.sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": 0}
    study = optuna.create_study()
    for trial in range(9):
        study.sampler = sweeper._sampler(trial)
        study.ask({"a": FloatDistribution(0, 1)})
    drawn = [trial.params["a"] for trial in study.trials]
    assert max(drawn) - min(drawn) > 0.5
