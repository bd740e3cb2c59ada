"""`score` decides which weights are best, when a run ends early, and how a search ranks its trials."""

import csv
import json
import re

import optuna
import pytest

from helpers.runner import SHORT, TINY, compose_config, run_train
from vaelab.app.compose import compose_with_hydra
from vaelab.app.resume import resume
from vaelab.app.score import better, score_of
from vaelab.app.start import train
from vaelab.checkpoint import read_checkpoint
from vaelab.sweeps.study import storage

BETA = ("objective.beta=3.0", "score=val/loss")  # so that the loss is not the negative ELBO


@pytest.mark.parametrize("score", ["val/elbo", "val/bound", "val/log_likelihood", "val/accuracy"])
def test_higher_is_better(score):
    assert better(score) == "max"


@pytest.mark.parametrize("score", ["val/loss", "val/nll", "val/kl", "val/my_loss", "val/mse", "loss"])
def test_lower_is_better(score):
    assert better(score) == "min"


def test_the_score_reaches_everything_that_looks_for_the_best():
    cfg = compose_with_hydra(["score=val/loss", "callbacks=early_stopping", "hydra/sweeper=optuna"])
    for callback in (cfg.callbacks.best, cfg.callbacks.early_stopping):
        assert (callback.monitor, callback.mode) == ("val/loss", "min")
    assert (cfg.hydra.sweeper.metric, cfg.hydra.sweeper.direction) == ("val/loss", "minimize")
    cfg = compose_with_hydra(["callbacks=early_stopping", "hydra/sweeper=optuna"])
    assert (cfg.callbacks.best.mode, cfg.callbacks.early_stopping.mode) == ("max", "max")
    assert cfg.hydra.sweeper.direction == "maximize"
    assert compose_with_hydra(["hydra/sweeper=optuna", "hydra.sweeper.metric=val/nll"]).hydra.sweeper.direction == (
        "minimize"
    )


def test_a_run_and_its_resumption_go_by_the_score(tmp_path):
    returned = train(compose_config(tmp_path, *SHORT, *TINY, *BETA, "trainer.max_epochs=2"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert returned == metrics["val/loss"] != -metrics["val/elbo"]
    resume({"resume": str(tmp_path), "trainer.max_epochs": "4"})
    content = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert score_of(content["hyper_parameters"]) == "val/loss"
    (best,) = (state for key, state in content["callbacks"].items() if key.startswith("ModelCheckpoint"))
    assert best["monitor"] == "val/loss"
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert best["best_model_score"].item() == pytest.approx(again["val/loss"], rel=1e-5)
    assert again["val/loss"] < metrics["val/loss"]


@pytest.mark.parametrize(
    ("score", "answer"),
    [
        (
            "val/nothing",
            "score must be a number that the run logs, but is val/nothing; use one of val/bound, val/elbo, val/kl,",
        ),
        ("test/elbo", "score must be a number of the validation split, but is test/elbo"),
    ],
)
def test_a_score_that_is_not_there_is_named(score, answer, tmp_path):
    with pytest.raises(ValueError, match=answer):
        train(compose_config(tmp_path, *SHORT, *TINY, f"score={score}"))


def test_a_search_with_pruning_looks_for_the_score(tmp_path):
    keys = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "latent_dim=range(1,4)", "trainer.max_epochs=2")
    pruned = ("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0")
    process = run_train(tmp_path, "-m", *SHORT, *TINY, *BETA, *keys, *pruned, "hydra.sweep.dir=sweep")
    assert process.returncode == 0, process.stderr
    assert re.search(r"^done .* val/loss \d", process.stdout, re.M)  # of each cell, when it ends
    study = optuna.load_study(study_name="sweep", storage=storage(tmp_path / "sweep"))
    assert study.direction.name == "MINIMIZE"
    with (tmp_path / "sweep" / "summary.csv").open() as file:
        losses = {row["latent_dim"]: float(row["val/loss"]) for row in csv.DictReader(file)}
    ended = [trial for trial in study.trials if trial.value is not None]
    assert ended
    for trial in ended:
        assert trial.value == losses[str(trial.params["latent_dim"])]
        assert min(trial.intermediate_values.values()) == pytest.approx(trial.value, rel=1e-5)
