"""Runs as `load_run` returns them, around a model and data made in Python: nothing is trained, written or read."""

from dataclasses import dataclass

import torch

from vaelab.data import DataModule
from vaelab.runs.load import Run


class Rows(DataModule):
    """The same examples in every split; each x reconstructs itself unless there is a target."""

    reads_columns = False

    def __init__(self, x, target=None, condition=None, classes=None, names=None):
        super().__init__()
        self.x_shape = tuple(x.shape[1:])
        self.target_shape = tuple((x if target is None else target).shape[1:])
        self.train = self.val = self.test = x if target is None else (x, target)
        self.given, self.classes, self.own_names = condition, classes, names

    @property
    def names(self):
        return self.own_names

    @property
    def condition_names(self):
        return self.classes

    def batches(self, split, batch_size=None):
        return WithConditions(super().batches(split, batch_size), self.given)

    def val_dataloader(self):
        return self.batches("val")

    def train_dataloader(self):
        return self.batches("train", 8)

    def describe(self, x_shape=None):
        return super().describe(x_shape) | ({} if self.given is None else {"condition": "label"})


class WithConditions:
    """Batches of (x, target), or of (x, target, condition) if there are conditions."""

    def __init__(self, batches, condition):
        self.batches, self.condition, self.x = batches, condition, batches.x

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        first = 0
        for x, target in self.batches:
            given = () if self.condition is None else (self.condition[first : first + len(x)],)
            yield x, target, *given
            first += len(x)


@dataclass(frozen=True)
class LoadedRun(Run):
    """A run whose data module is given."""

    data: DataModule | None = None
    condition_shape: tuple[int, ...] | None = None
    condition_names: tuple[str, ...] | None = None

    def datamodule(self, **overrides):
        return self.data

    def ready_datamodule(self, overrides):
        return self.data


def loaded_run(folder, vae, data, objective="ELBO", **options):
    """A run of a model on data; a conditional model's condition is that of the data."""
    shape = None if data.given is None else tuple(data.given.shape[1:])
    config = {"objective": {"_target_": f"vaelab.objectives.{objective}", **options}}
    return LoadedRun(
        folder=folder,
        checkpoint=folder / "checkpoints" / "best.ckpt",
        config=config,
        vae=vae.eval(),
        x_shape=data.x_shape,
        target_shape=data.target_shape,
        data=data,
        condition_shape=shape,
        condition_names=None if shape is None else data.condition_names,
    )


def one_hot(labels, classes):
    """(n,) whole numbers -> (n, classes)."""
    return torch.nn.functional.one_hot(torch.as_tensor(labels), classes).float()
