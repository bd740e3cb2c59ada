"""A number that is not finite ends a run with one sentence, and everything saved before stays valid."""

from math import inf

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from helpers.runner import SHORT, compose_config
from vaelab.app.errors import one_sentence
from vaelab.app.fit import build
from vaelab.app.start import train
from vaelab.objectives import Terms
from vaelab.steps import stepper
from vaelab.training import VAEModule
from vaelab.training.non_finite import Diverged

SIZES = ("data=sine_surface", "data.train_size=60", "data.val_size=11", "data.test_size=7")
OFTEN = ("callbacks.last.seconds=null", "callbacks.last.every_n_steps=1")


def ends(folder, *overrides):
    with pytest.raises(Diverged) as caught:
        train(compose_config(folder, *SHORT, *SIZES, *OFTEN, *overrides))
    return str(caught.value)


def trains_or_says_why(folder, *overrides):
    """A run must end with only one sentence, and must not have saved a number that is not finite."""
    said = ""
    try:
        train(compose_config(folder, *SHORT, *overrides))
    except ValueError as error:
        said = str(error)
    assert said == "" or "not finite" in said or "diverged" in said
    assert all(finite(path) for path in folder.glob("checkpoints/*.ckpt"))


def finite(checkpoint):
    return all(value.isfinite().all() for value in torch.load(checkpoint, weights_only=True)["state_dict"].values())


def spoil(monkeypatch, step, change):
    """The gradient of a step, counted from 1, is changed."""
    exact, calls = stepper.gradient, iter(range(1, 1000))

    def spoiled(*arguments):
        found = exact(*arguments)
        return change(found) if next(calls) == step else found

    monkeypatch.setattr(stepper, "gradient", spoiled)


def test_a_loss_that_is_not_finite_is_named_with_its_step_its_term_and_its_batch(monkeypatch, tmp_path):
    batches, sums = [], torch.tensor([-inf, -3.0, inf, -inf, inf])
    check = VAEModule._check_first
    monkeypatch.setattr(VAEModule, "_check_first", lambda self, batch: (batches.append(batch), check(self, batch)))
    spoil(monkeypatch, 5, lambda found: found._replace(loss=sums[-1], sums=sums))
    said = ends(tmp_path)
    assert said.startswith("the loss of step 5 is not finite, because kl is inf (q(z|x) overflowed")
    assert "try a lower optimizer.lr" in said
    assert torch.equal(torch.load(tmp_path / "checkpoints" / "bad_batch.pt", weights_only=True)["x"], batches[-1][0])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert finite(tmp_path / "checkpoints" / "last.ckpt")


def test_a_gradient_that_is_not_finite_is_found_behind_a_finite_loss(monkeypatch, tmp_path):
    def overflow(found):
        found.gradients[0].view(-1)[1] = float("inf")
        return found

    spoil(monkeypatch, 3, overflow)
    said = ends(tmp_path)
    assert said.startswith("encoder.network.layers.0.weight is not finite after step 3, so it is not saved")
    assert finite(tmp_path / "checkpoints" / "last.ckpt")
    spoil(monkeypatch, 3, overflow)
    said = ends(tmp_path / "seldom", "callbacks.last.every_n_steps=1000", "trainer.accelerator=cpu")
    assert said.startswith("the gradient of step 3 was not finite, and now encoder.network.layers.0.weight is not")
    assert finite(tmp_path / "seldom" / "checkpoints" / "last.ckpt")


def test_detect_anomaly_names_the_operation(monkeypatch, tmp_path):
    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("nan")

    def objective(vae, x, target):
        each = Root.apply(vae.encoder.network.layers[0].weight.sum()).expand(len(x))
        return Terms(each, each, each, each, each)

    module, data = build(compose_config(tmp_path, *SHORT, *SIZES))
    module.objective = objective
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=1, detect_anomaly=True, **quiet)
    with pytest.raises(RuntimeError) as caught:
        trainer.fit(module, data)
    assert one_sentence(caught.value).startswith("the gradient of RootBackward is nan")


def test_memory_that_is_not_there_is_named_in_gigabytes():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert one_sentence(caught.value).startswith(
        "this needs 4,194,304 GB of memory at once, which is more than is free;"
    )


@pytest.mark.parametrize(
    "keys",
    [
        ["optimizer.lr=10"],
        ["optimizer.lr=1e6"],
        ["model.min_std=0"],
        ["model.min_std=0", "optimizer.lr=3", "trainer.max_epochs=20"],
        ["latent_dim=50"],
        ["data.val_size=1"],
        ["data.test_size=1"],
        ["data.batch_size=5000"],
        ["data.train_size=1"],
        ["objective.beta=1e12"],
        ["objective.samples=200"],
        ["model=gaussian_full", "optimizer.lr=10"],
        ["objective=elbo_monte_carlo", "optimizer.lr=10", "trainer.max_epochs=5"],
        ["posterior=full", "prior=learned_full", "optimizer.lr=10", "trainer.max_epochs=5"],
        ["optimizer=sgd", "optimizer.lr=1e9"],
    ],
    ids=" ".join,
)
def test_extreme_settings_train_or_end_in_a_sentence(keys, tmp_path):
    trains_or_says_why(tmp_path, *SIZES, *keys)


def test_data_a_million_times_as_large(tmp_path):
    np.save(tmp_path / "rows.npy", 1e6 * np.random.default_rng(0).normal(size=(60, 3)))
    trains_or_says_why(tmp_path / "run", "data=array", f"data.path={tmp_path / 'rows.npy'}")
