"""Counts the tensor operations and Lightning hooks of a training step. Unlike times, these counts repeat."""

from collections import Counter
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer import call
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.runner import TINY, compose_config
from vaelab import VAE
from vaelab.app.start import train
from vaelab.data import Sine
from vaelab.families import Bernoulli, DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.steps import gradient, stepper
from vaelab.steps.traced_gradient import TracedGradient
from vaelab.training import VAEModule, epoch_loop

STEPS = 40  # in an epoch
BATCH = 5
BESIDE = 8  # operations of a step beside its gradient: 1 for the batch, 1 for the loss, 1 for the means, 5 for Adam


class Operations(TorchDispatchMode):
    """Counts tensor operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func._opname] += 1
        return func(*args, **(kwargs or {}))


def build(likelihood=DiagonalGaussian):
    return VAE.build((3,), DiagonalGaussian((2,)), likelihood((3,)), StandardNormal((2,)), partial(MLP, hidden=[32]))


def operations(function, *arguments):
    with Operations() as mode:
        function(*arguments)
    return mode.counts.total()


@pytest.mark.parametrize(("likelihood", "at_most"), [(DiagonalGaussian, 109), (Bernoulli, 87)])
def test_a_traced_gradient_takes_few_operations(likelihood, at_most):
    vae, x = build(likelihood), (torch.rand(7, 3) < 0.5).float()
    traced = operations(TracedGradient(vae, ELBO(), (x, x)), x, x)
    assert 50 < traced <= at_most
    assert traced < 0.8 * operations(gradient, vae, ELBO(), x, x)


class Watch(Callback):
    """Counts hooks and tensor operations in the second epoch of training, up to its validation."""

    def __init__(self, monkeypatch):
        self.hooks, self.operations = Counter(), Operations()
        self.monkeypatch = monkeypatch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            for name in ("_call_callback_hooks", "_call_lightning_module_hook", "_call_strategy_hook"):
                self.monkeypatch.setattr(call, name, self.counted(getattr(call, name)))
            self.monkeypatch.setattr(pl_module, "log", lambda *arguments, **options: self.hooks.update(["log"]))
            self.operations.__enter__()

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.operations.__exit__(None, None, None)

    def counted(self, function):
        def wrapper(trainer, name, *arguments, **options):
            self.hooks[name] += 1
            return function(trainer, name, *arguments, **options)

        return wrapper


@pytest.fixture
def watch(monkeypatch, tmp_path):
    """The counts of an epoch with all steps in the tight loop and traced gradients."""
    monkeypatch.setattr(stepper, "TRACE_AFTER", 5)
    torch.manual_seed(0)
    watch = Watch(monkeypatch)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        log_every_n_steps=STEPS,
        callbacks=[watch],
        logger=CSVLogger(tmp_path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    data = Sine(surface=True, batch_size=BATCH, train_size=BATCH * STEPS, val_size=7, test_size=5)
    trainer.fit(VAEModule(build(), ELBO(), partial(torch.optim.Adam, fused=True)), data)
    return watch


def test_lightnings_hooks_run_only_on_minibatches_with_an_event(watch):
    assert watch.hooks["on_train_batch_start"] == 3  # the callbacks', the module's and the strategy's, once each
    assert watch.hooks["log"] == 0
    assert max(watch.hooks.values()) <= 4


def test_a_step_waits_for_no_number_and_copies_no_batch(watch):
    counts = watch.operations.counts
    assert counts["_local_scalar_dense"] <= STEPS + 6  # each loss, and the terms of one point
    assert counts["_to_copy"] + counts["copy_"] == 0
    assert counts["index_select"] == STEPS  # one for each batch


def test_a_step_takes_few_operations_beside_its_gradient(watch):
    x = torch.randn(BATCH, 3)
    gradients = operations(TracedGradient(build(), ELBO(), (x, x)), x, x)
    assert gradients < watch.operations.counts.total() / STEPS <= gradients + BESIDE


@pytest.mark.parametrize("bar", ["true", "false"])
def test_a_default_run_is_stepped_in_the_tight_loop(bar, monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(epoch_loop, "allows_tight_loop", lambda trainer: found.append(allows(trainer)) or found[-1])
    train(compose_config(tmp_path, *TINY, "trainer.max_epochs=2", f"trainer.enable_progress_bar={bar}"))
    assert set(found) == {True}


allows = epoch_loop.allows_tight_loop
