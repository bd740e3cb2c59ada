"""A run says which latents are off, warns of a collapse, and the command that it prints cures it."""

import json
import re
import shlex
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer

from helpers.idx_files import write_idx_labels, write_small_mnist
from helpers.runner import SHORT, TINY, run_train
from vaelab import VAE
from vaelab.app.collapse_report import cause_and_cure, cure, describe, too_short
from vaelab.data import Sine
from vaelab.families import DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.training import VAEModule
from vaelab.training.collapse import FEWEST_STEPS, VALIDATIONS, CollapseWatch, LatentUse, latent_use

SMALL = ("data.train_size=5000", "data.batch_size=50", "data.val_size=300", "trainer.max_epochs=10", "latent_dim=3")


def elbo(folder):
    return json.loads((folder / "metrics.json").read_text())["test/elbo"]


def test_the_command_that_a_collapsed_run_prints_raises_its_elbo(tmp_path):
    common = [*SMALL, "callbacks.pictures=null"]
    ended = run_train(tmp_path, *common, "objective.beta_schedule=constant", "hydra.run.dir=collapsed")
    (note,) = re.findall("^posterior collapse: .*$", ended.stdout, flags=re.M)
    assert ended.stderr.count("the model ignores its latents so far") == 1
    cure = shlex.split(re.search(r"train\.py (.*) \(docs/collapse.md\)", note)[1])
    assert cure == [*common, "objective.beta_schedule=linear"]
    cured = run_train(tmp_path, *cure, "hydra.run.dir=cured")
    assert "posterior collapse" not in cured.stdout + cured.stderr
    assert "2 of 3 latents are off" in cured.stdout
    assert elbo(tmp_path / "cured") > elbo(tmp_path / "collapsed") + 0.15


@pytest.mark.parametrize(
    "options",
    [
        ("posterior=flow", "prior=vamp", "prior.components=3", *TINY),
        ("posterior=full", "prior=learned_full", "precision=bf16-true", *TINY),
        ("model=bernoulli", "data=mnist", "data.root=mnist", "data.val_size=7", "condition=label"),
    ],
)
def test_the_latents_of_any_model_are_measured(tmp_path, options):
    write_small_mnist(tmp_path / "mnist", 30, 11)
    for name, count in (("train", 30), ("t10k", 11)):
        write_idx_labels(tmp_path / "mnist" / f"{name}-labels-idx1-ubyte", torch.arange(count, dtype=torch.uint8) % 3)
    options = [option.replace("precision", "trainer.precision") for option in options]
    ended = run_train(tmp_path, *options, *SHORT)
    assert ended.returncode == 0, ended.stderr
    assert "are not listed" not in ended.stderr


def test_the_kl_of_each_latent_is_that_of_two_gaussians():
    data = Sine(train_size=30, val_size=17, test_size=11)
    vae = VAE.build((2,), DiagonalGaussian((3,)), DiagonalGaussian((1,)), StandardNormal((3,)), MLP)
    module = VAEModule(vae, ELBO(), partial(torch.optim.Adam, lr=0.01))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=2, enable_model_summary=False, **quiet)
    trainer.fit(module, data)
    q = vae.encode(data.examples("val")[0])
    mean, std = q.mean.double(), q.stddev.double()
    expected = ((mean**2 + std**2 - 1) / 2 - std.log()).mean(0)
    assert latent_use(trainer, module, 3.0).per_latent == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (LatentUse(3.0, [1.0, 2.0]), []),
        (
            LatentUse(1.0, [1.0, 0.009]),
            ["1 of 2 latents is off (latent 2; KL below 0.01 nats): the data may need only 1"],
        ),
        (
            LatentUse(0.2, [0.0, 0.2, 0.0]),
            ["2 of 3 latents are off (latents 1, 3; KL below 0.01 nats): the data may need only 1"],
        ),
        (
            LatentUse(5.0, [5.0] + 11 * [0.0]),
            ["11 of 12 latents are off (KL below 0.01 nats): the data may need only 1"],
        ),
    ],
)
def test_a_model_that_uses_z_gets_a_plain_fact(use, expected):
    assert describe(use, "CURE") == expected


@pytest.mark.parametrize("use", [LatentUse(0.05, [0.05]), LatentUse(1e-9, [0.0, 1e-9])])
def test_a_model_that_ignores_z_gets_the_cure(use):
    (sentence,) = describe(use, "CURE")
    assert sentence.startswith("posterior collapse: ")
    assert sentence.endswith("CURE")


@pytest.mark.parametrize(
    ("objective", "model", "expected"),
    [
        ({"beta": 4.0, "beta_schedule": "constant"}, {"init_std": 0.2}, "objective.beta=1"),
        ({"gradient": "score_function", "beta_schedule": "linear"}, {}, "objective.gradient=pathwise"),
        ({"beta_schedule": "constant"}, {"std": 1.0}, "model=gaussian"),
        ({"beta_schedule": "constant"}, {"init_std": 1.0}, "objective.beta_schedule=linear"),
        ({"beta_schedule": "linear", "warmup": 0.1}, {"init_std": 1.0}, "objective.warmup=0.5"),
        ({"beta_schedule": "linear", "warmup": 0.5}, {"init_std": 1.0}, "model.init_std=0.05"),
        ({"samples": 5}, {"init_std": 1.0}, "model.init_std=0.05"),
        ({"beta_schedule": "cyclical"}, {}, "optimizer.lr=0.001"),
        ({"alpha": 1.0, "lam": 100.0}, {"init_std": 0.2}, "posterior.init_std=0.1"),
    ],
)
def test_the_cure_fits_the_cause(objective, model, expected):
    config = {"objective": objective, "model": model, "posterior": {"init_std": 1.0}, "optimizer": {"lr": 0.01}}
    assert cause_and_cure(config)[1] == expected


def test_a_run_of_few_steps_is_told_to_train_longer():
    config = {"trainer": {"max_epochs": 3, "max_steps": -1}, "objective": {"beta_schedule": "constant"}, "model": {}}
    assert cure(config, FEWEST_STEPS - 1).startswith("A likely cause: training took only 499 steps. To cure it: ")
    assert "training took" not in cure(config, FEWEST_STEPS)
    assert too_short(config, 7)[1] == "trainer.max_epochs=858"  # 6,006 / 7 of 3 epochs: 2,002 steps
    assert too_short({"trainer": {"max_epochs": -1, "max_steps": 40}}, 1) == (
        "training took only 1 step",
        "trainer.max_steps=2000",
    )


def test_the_watch_warns_once_and_only_with_the_final_weight_of_the_kl(caplog):
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    module = SimpleNamespace(beta=0.5, objective=SimpleNamespace(beta=1.0), fraction_done=lambda: 0.6, global_step=500)
    watch, said = CollapseWatch("CURE"), []
    caplog.clear()
    for beta, kl in [(0.5, 0.01)] * 9 + [(1.0, 0.01)] * (VALIDATIONS - 1) + [(1.0, 0.4)] + [(1.0, 0.01)] * 9:
        module.beta = beta
        trainer.callback_metrics["val/kl"] = torch.tensor(kl)
        watch.on_validation_end(trainer, module)
        said.append(len(caplog.records))
    assert said == [0] * (9 + VALIDATIONS - 1 + 1 + VALIDATIONS - 1) + [1] * (9 - VALIDATIONS + 1)
