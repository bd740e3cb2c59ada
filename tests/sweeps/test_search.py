"""Search: what is drawn, what is done with it, and that it goes on."""

import csv
import signal
import subprocess
import sys
import time

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.vaelab_sweeps.search import distribution
from runner import ROOT, SHORT, TINY, run_train
from vaelab.runs.state import read_state
from vaelab.sweeps.search import write_results

SEARCH = (
    *("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=7", "hydra.sweep.dir=sweep"),
    *("latent_dim=range(1,4)", "optimizer.lr=tag(log,interval(1e-4,1e-1))", *TINY, *SHORT, "trainer.max_epochs=3"),
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
    ],
)
def test_what_is_drawn_is_what_the_override_says(given, drawn):
    (override,) = OverridesParser.create().parse_overrides([given])
    assert distribution(override) == drawn


def test_the_results_tell_which_key_matters(tmp_path, capsys):
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
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert importances["matters"] > 0.8


def trials(cwd):
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{cwd / 'sweep' / 'study.db'}").trials


def test_a_search_that_is_killed_goes_on(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *SEARCH]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(list(tmp_path.glob("sweep/*/metrics.json"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = [trial for trial in trials(tmp_path) if trial.state.is_finished()]
    assert 2 <= len(before) < 7
    process = run_train(tmp_path, *SEARCH, timeout=300)
    assert process.returncode == 0, process.stderr
    after = trials(tmp_path)
    assert len(after) == 7
    assert all(trial.state.is_finished() for trial in after)
    assert [(t.number, t.params, t.value) for t in after[: len(before)]] == [
        (t.number, t.params, t.value) for t in before
    ]
    assert "best of 7 trials: val/elbo" in process.stdout
    rows = list(csv.DictReader((tmp_path / "sweep" / "summary.csv").open()))
    assert {row["state"] for row in rows} == {"done"}
    scores = {(row["latent_dim"], row["optimizer.lr"]): float(row["val/elbo"]) for row in rows}
    for trial in after:
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
    assert list(tmp_path.glob("sweep/*/evaluation_val.json"))


def test_a_search_over_nothing_is_refused(tmp_path):
    process = run_train(tmp_path, "-m", "hydra/sweeper=optuna", "latent_dim=2", "hydra.sweep.dir=sweep")
    assert process.returncode == 1
    (line,) = process.stderr.strip().splitlines()
    assert line.startswith("error: nothing is searched over, because every key has one value")
