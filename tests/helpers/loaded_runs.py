"""Runs as `load_run` returns them, around a model and data made in Python: nothing is trained, written or read."""

from dataclasses import dataclass

from vaelab.checks import SPLITS
from vaelab.data import DataModule
from vaelab.runs.run import Run


class Rows(DataModule):
    """The same examples in every split; x reconstructs itself."""

    def __init__(self, x, conditions=None, classes=None):
        super().__init__()
        self.x_shape = self.target_shape = tuple(x.shape[1:])
        self.train = self.val = self.test = x
        if conditions is not None:
            self.condition, self.condition_names = "label", classes
            self.conditions = dict.fromkeys(SPLITS, conditions)


@dataclass(frozen=True, repr=False)
class LoadedRun(Run):
    """A run whose data module is given."""

    data: DataModule | None = None

    def datamodule(self, **overrides):
        return self.data

    def ready_datamodule(self, overrides):
        return self.data


def loaded_run(folder, vae, data, objective="ELBO", **options):
    """A run of a model on data; a conditional model's condition is that of the data."""
    return LoadedRun(
        folder=folder,
        checkpoint=folder / "checkpoints" / "best.ckpt",
        config={"objective": {"_target_": f"vaelab.objectives.{objective}", **options}},
        vae=vae.eval(),
        x_shape=data.x_shape,
        target_shape=data.target_shape,
        condition_shape=data.condition_shape,
        condition_names=data.condition_names,
        data=data,
    )
