"""Every flag of Lightning's Trainer does what docs/trainer.md says."""

import inspect
import json
import re
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from torch.utils.data import DataLoader, TensorDataset

from helpers.runner import ROOT, SHORT, TINY, compose_config
from vaelab import VAE
from vaelab.app.start import train
from vaelab.app.trainer_flags import FLAGS, check_trainer
from vaelab.data import Sine
from vaelab.families import DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.runs.run_state import read_state
from vaelab.training import VAEModule

ALL = [name for name in inspect.signature(Trainer.__init__).parameters if name != "self"]
PAGE = (ROOT / "docs" / "trainer.md").read_text()

ACCEPTED = {
    "accelerator": ["auto", "cpu", "gpu"],
    "strategy": ["auto", "ddp", {"_target_": "mine.Strategy"}],
    "devices": [1, 2, "auto", "2", [0], "0,1", -1],
    "num_nodes": [1],
    "precision": ["64-true", "32-true", "16-true", "16-mixed", "bf16-true", "bf16-mixed", 16, 32, "64", "bf16"],
    "logger": [None],
    "callbacks": [None],
    "fast_dev_run": [True, False, 0, 3],
    "max_epochs": [-1, 0, 5, None],
    "min_epochs": [0, 2, None],
    "max_steps": [-1, 0, 5],
    "min_steps": [0, 7, None],
    "max_time": ["00:00:00:03", "1:12:00:00", {"minutes": 3}, None],
    "limit_train_batches": [0, 0.0, 1, 1.0, 0.5, 7, None],
    "limit_val_batches": [0, 0.0, 1, 1.0, None],
    "limit_test_batches": [0, 0.0, 1, 1.0, None],
    "limit_predict_batches": [None],
    "overfit_batches": [0.0, 0.1, 1, 3],
    "val_check_interval": [1, 7, 0.25, 1.0, "00:00:00:03", None],
    "check_val_every_n_epoch": [1, 5],
    "num_sanity_val_steps": [-1, 0, 2],
    "log_every_n_steps": [1, 50],
    "enable_checkpointing": [True, None],
    "enable_progress_bar": [True, False],
    "enable_model_summary": [True, False],
    "accumulate_grad_batches": [1, 4],
    "gradient_clip_val": [0, 0.5, 1, None],
    "gradient_clip_algorithm": ["norm", "value", None],
    "deterministic": [True, False, "warn", None],
    "benchmark": [True, False, None],
    "inference_mode": [True, False],
    "use_distributed_sampler": [True],
    "profiler": ["simple", "advanced", "pytorch", {"_target_": "mine.Profiler"}, None],
    "detect_anomaly": [True, False],
    "barebones": [False],
    "plugins": [[], [{"_target_": "mine.Plugin"}], None],
    "sync_batchnorm": [False],
    "reload_dataloaders_every_n_epochs": [0],
    "default_root_dir": [None],
    "enable_autolog_hparams": [True, False],
    "model_registry": [None],
}
REFUSED = {
    "strategy": ["ddp_spawn", "ddp_notebook", "fsdp", "nonsense"],
    "devices": ["many", 1.5, []],
    "num_nodes": [2],
    "precision": [8, "half", "transformer-engine"],
    "logger": [True, False, []],
    "callbacks": [[], {"mine": {}}],
    "fast_dev_run": [-1, 0.5, "yes"],
    "max_epochs": [1.5, -2, "soon", True],
    "min_epochs": [-1, 1.0],
    "max_steps": [None, -2, 1e3],
    "min_steps": [-1, 2.0],
    "max_time": [3, 0.5, "3", "00:03", {"second": 3}, True],
    "limit_train_batches": [-1, 2.0, 1.5, "all", True],
    "limit_val_batches": [-1, 2.0, 1.5],
    "limit_test_batches": [-0.5, 2.0],
    "limit_predict_batches": [1],
    "overfit_batches": [-1, 2.0],
    "val_check_interval": [0, 0.0, 2.0, -1, "3s"],
    "check_val_every_n_epoch": [0, 0.5, None],
    "num_sanity_val_steps": [-2, 1.5],
    "log_every_n_steps": [0, 0.5],
    "enable_checkpointing": [False],
    "enable_progress_bar": ["no"],
    "enable_model_summary": [1],
    "accumulate_grad_batches": [0, 2.0],
    "gradient_clip_val": [-1, "much"],
    "gradient_clip_algorithm": ["clip"],
    "deterministic": ["yes", 1],
    "benchmark": ["auto"],
    "inference_mode": [0],
    "use_distributed_sampler": [False],
    "profiler": ["xla", "fast", True],
    "detect_anomaly": ["nan"],
    "barebones": [True],
    "plugins": ["nonsense", ["x"]],
    "sync_batchnorm": [True],
    "reload_dataloaders_every_n_epochs": [1],
    "default_root_dir": ["x"],
    "enable_autolog_hparams": ["no"],
    "model_registry": ["mine"],
}


def test_no_flag_is_left_out():
    described = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert sorted(described) == sorted(FLAGS)
    assert FLAGS.keys() >= set(ALL)  # an older Lightning has fewer
    assert ACCEPTED.keys() == FLAGS.keys()
    assert REFUSED.keys() == FLAGS.keys() - {"accelerator"}  # Lightning lists those of the machine


@pytest.mark.parametrize("flag", ACCEPTED)
def test_what_lightning_takes_is_taken(flag):
    for value in ACCEPTED[flag]:
        config = {flag: value}
        check_trainer(config)
        assert config == {flag: value}


@pytest.mark.parametrize("flag", REFUSED)
def test_a_meaningless_value_ends_in_one_sentence(flag):
    for value in REFUSED[flag]:
        with pytest.raises(ValueError, match=rf"^.*trainer\.{flag}\b.*$"):
            check_trainer({flag: value})


def test_a_bare_number_of_seconds_is_shown_how_to_be_typed():
    with pytest.raises(ValueError, match=r"but is 3; trainer.max_time=00:00:00:03 is 3 second"):
        check_trainer({"max_time": 3})
    assert Timer("00:00:00:03").time_remaining() == 3  # Lightning reads it as the sentence says


def test_validation_by_minibatches_of_all_epochs_needs_their_number():
    check_trainer({"check_val_every_n_epoch": None, "val_check_interval": 7})
    for interval in (None, 0.5, "00:00:00:03"):
        with pytest.raises(ValueError, match="must be a whole number of minibatches"):
            check_trainer({"check_val_every_n_epoch": None, "val_check_interval": interval})


def test_a_refused_flag_ends_the_run_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"trainer\.max_time must be"):
        train(compose_config(tmp_path, *SHORT, *TINY, "trainer.max_time=3"))
    assert read_state(tmp_path).state == "failed"
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    "keys",
    [
        "trainer.precision=64-true trainer.deterministic=true trainer.benchmark=false",
        "trainer.precision=bf16-mixed trainer.strategy=auto trainer.devices=auto trainer.accelerator=cpu",
        "trainer.accumulate_grad_batches=99 trainer.gradient_clip_val=0.1 trainer.gradient_clip_algorithm=value "
        "trainer.min_epochs=1 trainer.min_steps=2 trainer.max_time={minutes:3}",
        "+trainer.inference_mode=false +trainer.enable_autolog_hparams=false +trainer.num_nodes=1 "
        "trainer.num_sanity_val_steps=-1 trainer.val_check_interval=2 trainer.detect_anomaly=true",
        "trainer.check_val_every_n_epoch=null trainer.val_check_interval=3 trainer.log_every_n_steps=1 "
        "trainer.enable_model_summary=true",
    ],
)
def test_flags_that_work_end_with_all_numbers(keys, tmp_path, capsys):
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        train(compose_config(tmp_path, *SHORT, *TINY, *keys.split()))
    finally:
        torch.use_deterministic_algorithms(deterministic)
    assert read_state(tmp_path).state == "done"
    assert json.loads((tmp_path / "metrics.json").read_text()).keys() >= {"val/elbo", "test/elbo"}
    assert ("Trainable params" in capsys.readouterr().out) == ("summary" in keys)


@pytest.mark.parametrize(("profiler", "report"), [("simple", "run_training_epoch"), ("advanced", "ncalls")])
def test_a_profiler_reports(profiler, report, tmp_path, caplog):
    caplog.set_level("INFO")
    train(compose_config(tmp_path, *SHORT, *TINY, f"trainer.profiler={profiler}"))
    assert "FIT Profiler Report" in caplog.text
    assert report in caplog.text


# Lightning's debugging switches, beside a plain LightningModule with a DataLoader

SIZES = {"train_size": 53, "val_size": 23, "test_size": 13}


class Plain(LightningModule):
    """A linear map."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.training_step(batch, batch_idx))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class Events(Callback):
    """Records events by optimiser step. It needs no training minibatch, so those run in the tight loop."""

    def __init__(self):
        self.seen = []

    def on_sanity_check_start(self, trainer, pl_module):
        self.seen.append("sanity")

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.seen.append(("val", trainer.global_step, batch_idx))

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.seen.append(("test", batch_idx))

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen.append(("epoch", trainer.global_step))


def events(module, loaders, flags):
    seen = Events()
    options = {"max_epochs": 3, "num_sanity_val_steps": 0, "log_every_n_steps": 4, **flags}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", enable_model_summary=False, callbacks=[seen], **quiet, **options)
    if isinstance(loaders, Sine):
        trainer.fit(module, loaders)
        trainer.test(module, loaders, verbose=False)
    else:
        trainer.fit(module, *loaders[:2])
        trainer.test(module, loaders[2], verbose=False)
    return seen.seen


def vae_module():
    vae = VAE.build(
        (3,), DiagonalGaussian((2,)), DiagonalGaussian((3,)), StandardNormal((2,)), partial(MLP, hidden=[4])
    )
    return VAEModule(vae, ELBO(), partial(torch.optim.Adam, lr=1e-3))


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"overfit_batches": 1},
        {"overfit_batches": 0.4},
        {"fast_dev_run": True},
        {"fast_dev_run": 3},
        {"limit_train_batches": 3, "limit_val_batches": 1, "limit_test_batches": 0.5},
        {"limit_train_batches": 0.5, "limit_val_batches": 0},
        {"num_sanity_val_steps": 2},
        {"num_sanity_val_steps": -1, "val_check_interval": 0.3},
        {"val_check_interval": 5},
        {"val_check_interval": 8, "check_val_every_n_epoch": None},
        {"check_val_every_n_epoch": 2},
        {"max_steps": 13},
        {"min_steps": 10, "max_epochs": 1},
        {"max_time": "00:00:00:00"},
        {"accumulate_grad_batches": 3},
    ],
    ids=str,
)
def test_a_switch_does_what_it_does_in_lightning(flags):
    sizes = [SIZES[name] for name in ("train_size", "val_size", "test_size")]
    splits = [TensorDataset(torch.rand(size, 3)) for size in sizes]
    loaders = [
        DataLoader(split, batch_size, shuffle=batch_size == 8)
        for split, batch_size in zip(splits, (8, 5, 5), strict=True)
    ]
    data = Sine(surface=True, batch_size=8, eval_batch_size=5, **SIZES)
    assert events(vae_module(), data, flags) == events(Plain(), loaders, flags)


class Batches(Callback):
    """Every training minibatch, by epoch."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append([])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.epochs[-1].append(torch.cat(list(batch), 1))


class Redrawn(Sine):
    """Draws new noise for each minibatch."""

    redraw = staticmethod(lambda x: x + 0.01 * torch.randn_like(x))


@pytest.mark.parametrize(("overfit", "count"), [(1, 1), (3, 3), (0.3, 2)])
def test_overfitting_sees_the_same_minibatches_each_epoch(overfit, count):
    """The first minibatches in order, as in Lightning, with the same draws."""
    seen = Batches()
    data = Redrawn(surface=True, batch_size=8, **SIZES)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    trainer = Trainer(
        accelerator="cpu", enable_model_summary=False, callbacks=[seen], max_epochs=3, overfit_batches=overfit, **quiet
    )
    trainer.fit(vae_module(), data)
    first, *others = (torch.cat(epoch) for epoch in seen.epochs)
    assert len(first) == 8 * count
    assert all(torch.equal(first, other) for other in others)
    noise = (first[:, :3] - data.train[: 8 * count]) / 0.01  # of these rows, in this order
    assert 0.7 < noise.std() < 1.3
    assert not torch.allclose(noise[:4], noise[4:8], atol=1e-3)
    before = torch.get_rng_state()
    next(iter(data.train_dataloader()))
    assert torch.equal(torch.get_rng_state(), before)
