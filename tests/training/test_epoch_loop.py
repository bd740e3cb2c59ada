"""Steps in the tight loop equal Lightning's own steps: weights, counters, curves, callbacks."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from helpers.labelled_rows import LabelledRows, conditional_model, flow_model
from helpers.remains import plain
from vaelab import VAE
from vaelab.data import Sine
from vaelab.families import DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.steps import stepper
from vaelab.training import LastCheckpoint, VAEModule, epoch_loop

STEPS = 37  # in an epoch: 366 examples in batches of 10, and the last one of 6
SIZES = {"train_size": 366, "val_size": 23, "test_size": 5}


class Module(VAEModule):
    """Counts its steps in the tight loop, its steps with a traced gradient, and the calls of overridden methods."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.tight = self.traced = self.calls = 0

    def take_steps(self, batches):
        before = self.stepper.eager_steps.total() if self.stepper else 0
        for _ in super().take_steps(batches):
            self.tight += 1
            eager = self.stepper.eager_steps.total()
            self.traced += eager == before
            before = eager
            yield


class PerStep(Module):
    """The schedule moves after each step."""

    def configure_optimizers(self):
        optimizer = self.optimizer(self.vae.parameters())
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "frequency": 3}}


class Plateau(Module):
    """The schedule moves by a metric."""

    def configure_optimizers(self):
        optimizer = self.optimizer(self.vae.parameters())
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=0, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val/loss"}}


ADAM = partial(torch.optim.Adam, lr=1e-2)


def build(kind=Module, optimizer=ADAM, **options):
    torch.manual_seed(3)
    likelihood = DiagonalGaussian((3,))
    vae = VAE.build((3,), DiagonalGaussian((2,)), likelihood, StandardNormal((2,)), partial(MLP, hidden=[9]))
    return kind(vae, ELBO(), optimizer, **options)


def fit(folder, module, ordinary, callbacks=(), ckpt_path=None, data=None, **options):
    """-> the fitted trainer; `ordinary` leaves every minibatch to Lightning."""
    options = {"max_epochs": 2, "log_every_n_steps": 10, **options}
    logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
    trainer = Trainer(
        accelerator="cpu",
        logger=logger,
        callbacks=[*callbacks, ModelCheckpoint(folder, "best", "val/elbo", mode="max")],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    torch.manual_seed(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepper, "TRACE_AFTER", 5)
        if ordinary:
            patch.setattr(epoch_loop, "allows_tight_loop", lambda trainer: False)
        trainer.fit(module, data or Sine(surface=True, batch_size=10, **SIZES), ckpt_path=ckpt_path)
    return trainer


def outcome(trainer, folder):
    """Everything that a run leaves."""
    module = trainer.lightning_module
    return {
        "weights": [parameter.detach() for parameter in module.parameters()],
        "optimizer": [
            value
            for state in trainer.optimizers[0].state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ],
        "random": torch.rand(3),
        "global_step": trainer.global_step,
        "loops": plain(trainer.fit_loop.state_dict()),
        "rate": trainer.optimizers[0].param_groups[0]["lr"],
        "curves": (folder / "metrics.csv").read_text(),
        "files": sorted(path.name for path in folder.glob("*.ckpt")),
        "metrics": {tag: value.item() for tag, value in trainer.callback_metrics.items()},
    }


def assert_equal(one, other):
    for key in ("weights", "optimizer"):
        pairs = zip(one.pop(key), other.pop(key), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), key
    assert torch.equal(one.pop("random"), other.pop("random"))
    assert one == other


CASES = {
    "as it is": {},
    "clipped by norm": {"gradient_clip_val": 0.05},
    "clipped by value": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    "max_steps": {"max_epochs": -1, "max_steps": 51},
    "limited": {"limit_train_batches": 13},
    "a fraction": {"limit_train_batches": 0.5},
    "validated within the epoch": {"val_check_interval": 7},
    "validated by steps": {"val_check_interval": 23, "check_val_every_n_epoch": None},
    "logged at every step": {"log_every_n_steps": 1},
    "never logged within": {"log_every_n_steps": 1000},
    "overfitted": {"overfit_batches": 3},
    "accumulated": {"accumulate_grad_batches": 2},
    "a schedule by epochs": {"module": {"scheduler": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)}},
    "a schedule by steps": {"module": {"kind": PerStep}, "callbacks": lambda: [LearningRateMonitor("step")]},
    "a schedule by a metric": {"module": {"kind": Plateau}, "max_epochs": 4},
    "stopped early": {"callbacks": lambda: [EarlyStopping("val/elbo", mode="max", min_delta=9e9)], "max_epochs": 5},
    "min_steps": {
        "callbacks": lambda: [EarlyStopping("val/elbo", mode="max", min_delta=9e9, patience=1)],
        "max_epochs": 9,
        "min_steps": 100,
    },
    "SGD": {"module": {"optimizer": partial(torch.optim.SGD, lr=1e-3, momentum=0.9)}},
    "LBFGS": {"module": {"optimizer": partial(torch.optim.LBFGS, lr=1e-3, max_iter=3)}},
}


@pytest.mark.parametrize("case", CASES)
def test_the_tight_loop_leaves_what_single_steps_leave(case, tmp_path):
    options = dict(CASES[case])
    made, callbacks = options.pop("module", {}), options.pop("callbacks", list)
    outcomes, steps = [], []
    for ordinary in (True, False):
        folder = tmp_path / str(ordinary)
        checkpoints = ModelCheckpoint(folder, "{step}", every_n_train_steps=9, save_top_k=-1)
        module = build(**made)
        outcomes.append(outcome(fit(folder, module, ordinary, [*callbacks(), checkpoints], **options), folder))
        steps.append((module.tight, module.traced))
    assert steps[0] == (0, 0)
    if case not in ("accumulated", "logged at every step", "overfitted", "LBFGS"):
        assert steps[1][0] > 0.6 * outcomes[1]["global_step"]
        assert steps[1][1] > 0
    assert_equal(*outcomes)


def test_a_checkpoint_in_mid_epoch_is_that_of_single_steps(tmp_path):
    saved = []
    for ordinary in (True, False):
        folder = tmp_path / str(ordinary)
        fit(folder, build(), ordinary, [ModelCheckpoint(folder, "{step}", every_n_train_steps=17, save_top_k=-1)])
        saved.append({path.name: torch.load(path, weights_only=True) for path in folder.glob("step*.ckpt")})
    assert [len(files) for files in saved] == [4, 4]
    for name, one in saved[0].items():
        other = saved[1][name]
        assert plain(one["loops"]) == plain(other["loops"])
        assert one["global_step"] == other["global_step"]
        assert all(torch.equal(one["state_dict"][key], other["state_dict"][key]) for key in one["state_dict"])


@pytest.mark.parametrize("at", ["end of an epoch", "middle of an epoch"])
def test_a_run_resumes_as_single_steps_resume(at, tmp_path):
    outcomes = []
    for ordinary in (True, False):
        folder = tmp_path / str(ordinary)
        every = {"every_n_train_steps": 15} if at == "middle of an epoch" else {"save_on_train_epoch_end": True}
        fit(folder, build(), ordinary, [ModelCheckpoint(folder, "on", **every)], max_epochs=1)
        module = build()
        trainer = fit(tmp_path / f"{ordinary} on", module, ordinary, ckpt_path=folder / "on.ckpt", max_epochs=3)
        assert bool(module.tight) != ordinary
        outcomes.append(outcome(trainer, tmp_path / f"{ordinary} on"))
    assert_equal(*outcomes)


@pytest.mark.parametrize("model", [flow_model, conditional_model])
def test_flows_and_conditions_take_the_same_steps_in_the_tight_loop(model, tmp_path):
    outcomes = []
    for ordinary in (True, False):
        folder, data = tmp_path / str(ordinary), LabelledRows(conditional=model is conditional_model)
        torch.manual_seed(3)
        module = Module(*model(), ADAM)
        outcomes.append(outcome(fit(folder, module, ordinary, data=data, log_every_n_steps=4, max_epochs=3), folder))
        assert module.tight == (0 if ordinary else 24)  # 3 epochs of 8 batches
        assert module.traced == (
            0 if ordinary else 16
        )  # of 21 full batches the first 5 are eager, and of 3 short ones all
    assert {"val/bound", "train/bound"} <= outcomes[0]["metrics"].keys()
    assert outcomes[0]["metrics"]["val/bound"] == -outcomes[0]["metrics"]["val/loss"]
    assert_equal(*outcomes)


@pytest.mark.drill
def test_compiled_steps_are_those_of_single_steps_up_to_rounding(tmp_path):
    weights = []
    for ordinary in (True, False):
        module = build(compile=not ordinary)
        fit(tmp_path / str(ordinary), module, ordinary, limit_train_batches=13)
        assert module.traced == module.tight == (0 if ordinary else 26)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


class Counts(Callback):
    """Listens to every minibatch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append((batch_idx, trainer.global_step, outputs["loss"].item()))


def test_a_callback_that_listens_to_minibatches_gets_each(tmp_path):
    counts, module = Counts(), build()
    fit(tmp_path, module, False, [counts])
    assert [index for index, _, _ in counts.seen] == [*range(STEPS), *range(STEPS)]
    assert [step for _, step, _ in counts.seen] == [*range(1, 2 * STEPS + 1)]
    assert module.tight == 0


class Hooked(Module):
    """Overrides a hook of the step."""

    def on_before_optimizer_step(self, optimizer):
        self.calls += 1


def test_an_overridden_hook_is_called_at_each_step(tmp_path):
    module = build(Hooked)
    fit(tmp_path, module, False)
    assert module.calls == 2 * STEPS
    assert module.tight == 0


class Own(Module):
    """Has its own training step."""

    def training_step(self, batch, batch_idx):
        self.calls += 1
        return super().training_step(batch, batch_idx)


def test_your_own_training_step_takes_each_step(tmp_path):
    module = build(Own)
    fit(tmp_path, module, False)
    assert module.calls == 2 * STEPS
    assert module.tight == 0


def test_a_trainer_that_is_used_again_decides_again(tmp_path):
    trainer = fit(tmp_path, build(), False)
    module, data = build(Own), Sine(surface=True, batch_size=10, **SIZES)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, data)
    assert module.calls == STEPS
    assert module.tight == 0


@pytest.mark.parametrize("options", [{"precision": "bf16-mixed"}, {"detect_anomaly": True}, {"profiler": "simple"}])
def test_options_that_need_each_minibatch_get_lightnings_loop(options, tmp_path):
    module = build()
    fit(tmp_path, module, False, **options)
    assert module.tight == 0


def test_a_new_weight_of_the_kl_is_not_missed(tmp_path):
    """A callback changes the objective between epochs: a trace of the old one must not be replayed."""

    class Warm(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            pl_module.objective = ELBO(beta=0.25 * (trainer.current_epoch + 1))

    outcomes = []
    for ordinary in (True, False):
        folder = tmp_path / str(ordinary)
        outcomes.append(outcome(fit(folder, build(), ordinary, [Warm()], max_epochs=3), folder))
    assert_equal(*outcomes)


def test_the_last_checkpoint_is_written_seldom_and_at_the_end(tmp_path):
    class Times(Callback):
        def __init__(self):
            self.written = []

        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            self.written.append(trainer.current_epoch)

    def written(seconds, every_n_steps=None, **options):
        times, folder = Times(), tmp_path / f"{seconds} {every_n_steps} {options}"
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[LastCheckpoint(seconds, every_n_steps, folder), times],
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        )
        module = build()
        trainer.fit(module, Sine(surface=True, batch_size=50, **SIZES))
        saved = torch.load(folder / "last.ckpt", weights_only=True)
        assert saved["global_step"] == trainer.global_step
        assert all(torch.equal(value, saved["state_dict"][key]) for key, value in module.state_dict().items())
        return times.written

    assert written(1000.0, max_epochs=4) == [0, 4]  # before the first minibatch, and after the last
    assert written(0.0, max_epochs=2) == [0] * 8 + [1] * 8 + [2]  # before each
    assert written(1000.0, max_epochs=-1, max_steps=20) == [0, 3]
    assert written(None, every_n_steps=6, max_epochs=2) == [0, 0, 1, 2]
    with pytest.raises(ValueError, match=r"seconds must be .*, but is -1"):
        LastCheckpoint(-1)
