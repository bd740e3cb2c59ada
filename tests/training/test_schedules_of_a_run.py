"""The learning rate and the weight of the KL follow the fraction of the run that is done, however it is limited."""

import math
import re
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.runner import SHORT, TINY, run_train
from vaelab.checkpoint import read_checkpoint
from vaelab.training import CosineDecay
from vaelab.training.schedule_length import RunFraction, unfinished_schedule
from vaelab.training.time_left import TimeLeft

BASE = (*SHORT[1:], *TINY, "optimizer.lr=0.02", "hydra.run.dir=run", "callbacks.last.seconds=1000")


def rate(folder):
    """The learning rate in last.ckpt: that of the next step."""
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"][0]["lr"]


def test_the_rate_is_half_a_cosine_between_its_two_ends():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.4)
    schedule, rates = CosineDecay(optimizer, eta_min=0.1), []
    for step in range(8):
        schedule.follow(lambda step=step: step / 7)
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(3)], lr=0.4), 7, eta_min=0.1)
    assert rates == pytest.approx([reference._get_closed_form_lr()[0]] + [_closed(reference, t) for t in range(1, 8)])
    assert schedule.state_dict().keys().isdisjoint({"fraction", "optimizer"})


def _closed(reference, epoch):
    reference.last_epoch = epoch
    return reference._get_closed_form_lr()[0]


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        (["trainer.max_epochs=3"], 12),
        (["trainer.max_epochs=-1", "trainer.max_steps=7"], 7),
        (["trainer.max_epochs=9", "trainer.max_steps=5"], 5),
        (["trainer.max_epochs=1", "trainer.accumulate_grad_batches=3"], 2),
    ],
)
def test_the_rate_ends_at_zero_with_the_last_step(tmp_path, limits, steps):
    assert run_train(tmp_path, *BASE, *limits).returncode == 0
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == steps
    assert rate(tmp_path / "run") == pytest.approx(0, abs=1e-9)


def test_more_epochs_stretch_the_schedule_of_a_resumed_run(tmp_path):
    run_train(tmp_path, *BASE, "trainer.max_epochs=2", "trainer.log_every_n_steps=1")
    resumed = run_train(tmp_path, "resume=run", "trainer.max_epochs=6")
    assert resumed.returncode == 0, resumed.stderr
    state = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert state["global_step"] == 24
    assert state["lr_schedulers"][0]["_last_lr"] == pytest.approx([0], abs=1e-9)
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    betas = {point.step: point.value for point in events.Scalars("train/weight_of_kl")}
    assert betas[1] == pytest.approx(min(1, 1 / 8 / 0.25))
    assert betas[8] == 1  # a third of the longer run


def test_without_a_limit_both_stay_constant_and_the_run_says_so(tmp_path):
    stopper = (
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=9",
    )
    ended = run_train(tmp_path, *BASE, *stopper, "trainer.max_epochs=-1", "trainer.log_every_n_steps=1")
    assert ended.returncode == 0, ended.stderr
    assert "stay constant, because neither trainer.max_epochs nor trainer.max_steps limits the run" in ended.stderr
    assert rate(tmp_path / "run") == 0.02
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {point.value for point in events.Scalars("train/weight_of_kl")} == {1.0}


def test_a_run_that_ends_early_says_how_far_its_schedules_came(tmp_path):
    stopper = (
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=9",
    )
    ended = run_train(tmp_path, *BASE, *stopper, "trainer.max_epochs=10")
    assert re.search(r"training ended after 20 % of the run that its schedules were made for", ended.stdout)


@pytest.mark.parametrize(
    ("beta", "names"),
    [
        (0.4, "the learning rate and the weight of the KL had not reached their final values;"),
        (2.0, "the learning rate had not reached its final value;"),
        (None, "the learning rate had not reached its final value;"),
    ],
)
def test_the_end_names_only_schedules_that_had_not_ended(beta, names):
    schedule = SimpleNamespace(scheduler=SimpleNamespace(follow=None))
    trainer = SimpleNamespace(fast_dev_run=False, lr_scheduler_configs=[schedule])
    fraction = FractionOf(0.7)
    module = SimpleNamespace(fraction_done=fraction, beta=beta, objective=SimpleNamespace(beta=2.0))
    assert names in unfinished_schedule(trainer, module)[0]
    trainer.lr_scheduler_configs = []
    assert bool(unfinished_schedule(trainer, module)) == (beta == 0.4)


class FractionOf(RunFraction):
    def __init__(self, done):
        self.done, self.has_time_limit = done, True

    def __call__(self):
        return self.done


def test_a_time_limit_alone_makes_the_schedules_follow_the_clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    trainer = Trainer(max_epochs=-1, max_time="00:00:00:40", logger=False, accelerator="cpu", barebones=False)
    timer = next(each for each in trainer.callbacks if isinstance(each, Timer))
    timer.on_train_start(trainer, None)
    fraction, left = RunFraction(trainer), TimeLeft(trainer)
    assert (fraction(), fraction.is_known) == (0, True)
    clock.now = 130.0
    assert fraction() == pytest.approx(0.75)
    assert left.seconds() == pytest.approx(10)


def test_the_time_left_is_that_of_all_epochs(monkeypatch):
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    trainer = SimpleNamespace(estimated_stepping_batches=80, callbacks=[], world_size=1, global_step=20)
    left = TimeLeft(trainer)  # resumed at a quarter
    assert left.seconds() is None
    trainer.global_step, clock.now = 30, 9.0
    assert left.seconds() == pytest.approx(4 * 50 / 10)
    assert math.isfinite(left.fraction.steps)
