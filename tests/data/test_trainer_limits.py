"""The reported part of a split is the part that Lightning serves."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from vaelab.data import Sine
from vaelab.data.trainer_limits import check_limits, what_is_scored

SIZES = {"train_size": 53, "val_size": 23, "test_size": 13}


class Plain(LightningModule):
    """Counts the rows that it is given to score."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.rows = {"val": 0, "test": 0}

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch, batch_idx):
        self.rows["val"] += len(batch[0])

    def test_step(self, batch, batch_idx):
        self.rows["test"] += len(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class OwnLoaders(Sine):
    """Data whose minibatches vaelab does not know."""

    def val_dataloader(self):
        return DataLoader(TensorDataset(*self.val), 3)


def trainer_with(flags):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    return Trainer(accelerator="cpu", enable_model_summary=False, max_epochs=1, **quiet, **flags)


def ready(kind=Sine, **options):
    data = kind(batch_size=8, eval_batch_size=5, **SIZES | options)
    data.setup()
    return data


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, {}),
        ({"limit_val_batches": 5, "limit_test_batches": 9}, {}),
        ({"limit_train_batches": 2}, {}),
        ({"limit_val_batches": 1}, {"val": 5}),
        ({"limit_val_batches": 4, "limit_test_batches": 0.7}, {"val": 20, "test": 10}),
        ({"overfit_batches": 2}, {"val": 10}),
        ({"overfit_batches": 0.3}, {"val": 5}),
        ({"overfit_batches": 0.15}, {"val": 3}),
        ({"fast_dev_run": 2}, {"val": 10, "test": 10}),
    ],
    ids=str,
)
def test_the_part_that_is_scored_is_the_one_that_lightning_serves(flags, said):
    module, data, trainer = Plain(), ready(), trainer_with(flags)
    check_limits(trainer, data)
    expected = {f"{split}_scored": f"first {rows} of {SIZES[f'{split}_size']}" for split, rows in said.items()}
    trial = {"fast_dev_run": "2 minibatches"} if "fast_dev_run" in flags else {}
    assert what_is_scored(trainer, data) == expected | trial
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    assert module.rows == {"val": 23, "test": 13} | said


@pytest.mark.parametrize("split", ["val", "test"])
def test_nothing_is_said_of_a_split_that_is_not_scored(split):
    assert what_is_scored(trainer_with({f"limit_{split}_batches": 0}), ready()) == {}


def test_minibatches_of_your_own_are_told_apart_by_the_flag():
    data = ready(OwnLoaders)
    assert what_is_scored(trainer_with({}), data) == {}
    assert what_is_scored(trainer_with({"limit_val_batches": 2}), data) == {"val_scored": "trainer.limit_val_batches=2"}
    check_limits(trainer_with({"limit_val_batches": 0.01}), data)  # Lightning knows how many there are


@pytest.mark.parametrize(
    ("flag", "split", "batches"),
    [
        ("limit_train_batches", "train", 7),
        ("limit_val_batches", "val", 5),
        ("limit_test_batches", "test", 3),
        ("overfit_batches", "train", 7),
    ],
)
def test_a_fraction_that_takes_no_minibatch_is_refused(flag, split, batches):
    with pytest.raises(ValueError, match=rf"^trainer.{flag} must .* {batches} minibatches of .* {split}, but is 0.01;"):
        check_limits(trainer_with({flag: 0.01}), ready())
