"""What a minibatch costs, in counts: times are noisy, and these are not."""

import sys
from collections import Counter
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer import call
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab import VAE
from vaelab.data import Sine
from vaelab.families import Bernoulli, DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.steps import stepper, traced_gradient
from vaelab.training import VAEModule

STEPS = 40  # in an epoch


class Operations(TorchDispatchMode):
    """Counts tensor operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func._opname] += 1
        return func(*args, **(kwargs or {}))


def vae(likelihood=DiagonalGaussian):
    return VAE.build((3,), DiagonalGaussian((2,)), likelihood((3,)), StandardNormal((2,)), partial(MLP, hidden=[32]))


def operations(replay):
    with Operations() as mode:
        replay()
    return mode.counts


@pytest.mark.parametrize(("likelihood", "at_most"), [(DiagonalGaussian, 105), (Bernoulli, 86)])
def test_a_recorded_gradient_takes_few_operations(likelihood, at_most):
    model, x = vae(likelihood), (torch.rand(7, 3) < 0.5).float()
    replay = traced_gradient.TracedGradient(model, ELBO(), (x, x))
    counts = operations(lambda: replay(x, x))
    assert 50 < sum(counts.values()) <= at_most
    assert sum(counts.values()) < 0.8 * sum(operations(lambda: traced_gradient.gradient(model, ELBO(), x, x)).values())


class Watch(Callback):
    """Counts what the second epoch of training does, up to its validation."""

    def __init__(self, monkeypatch):
        self.hooks, self.calls, self.mode = Counter(), 0, None
        self.monkeypatch = monkeypatch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch != 1:
            return
        for name in ("_call_callback_hooks", "_call_lightning_module_hook", "_call_strategy_hook"):
            self.monkeypatch.setattr(call, name, self.counted(getattr(call, name)))
        self.monkeypatch.setattr(pl_module, "log", lambda *arguments, **options: self.hooks.update(["log"]))
        if self.mode is None:
            sys.setprofile(self.count)
        else:
            self.mode.__enter__()

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            sys.setprofile(None)
            if self.mode is not None:
                self.mode.__exit__(None, None, None)

    def counted(self, function):
        def wrapper(trainer, name, *arguments, **options):
            self.hooks[name] += 1
            return function(trainer, name, *arguments, **options)

        return wrapper

    def count(self, frame, event, argument):
        self.calls += event == "call"


@pytest.fixture
def watched(monkeypatch, tmp_path):
    return partial(train, monkeypatch, tmp_path)


def train(monkeypatch, tmp_path, mode=None):
    monkeypatch.setattr(stepper, "TRACE_AFTER", 5)
    torch.manual_seed(0)
    watch = Watch(monkeypatch)
    watch.mode = mode
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
    data = Sine(surface=True, batch_size=5, train_size=5 * STEPS, val_size=7, test_size=5)
    trainer.fit(VAEModule(vae(), ELBO(), partial(torch.optim.Adam, fused=True)), data)
    return watch


def test_lightning_sees_the_minibatches_at_which_something_happens_alone(watched):
    hooks = watched().hooks
    assert hooks["on_train_batch_start"] == 3  # the callbacks', the module's and the strategy's, for one minibatch
    assert hooks["log"] == 0
    assert max(hooks.values()) <= 4


def test_nothing_waits_for_a_number_or_copies_a_batch(watched):
    counts = watched(Operations()).mode.counts
    assert (
        counts["_local_scalar_dense"] <= STEPS + 6
    )  # each loss, for which a CPU waits not, and the terms of one point
    assert counts["_to_copy"] + counts["copy_"] == 0
    assert counts["index_select"] == STEPS  # one batch each


def test_a_step_takes_few_operations_and_few_calls(watched):
    assert sum(watched(Operations()).mode.counts.values()) / STEPS < 130
    # Of Python functions, with those of the epoch: 235, most of them the optimiser's, 241 beside torch's compiler.
    assert watched().calls / STEPS < 245
