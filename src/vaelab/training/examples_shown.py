"""The validation examples that the pictures of a training run show."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor

SURFACE = 50  # points along x, and along y


class Examples(NamedTuple):
    """The examples in the pictures, on the model's device.

    Attributes:
        x: (n, *x), the first validation examples.
        target: (n, *t).
        names: the names of the target's dimensions, or None.
        labels: the name of the labels, and the labels, (n,); or None.
        surface: inputs on a grid (m·m, *x), and the true surface over them (m, m); or None.
        condition: (n, c), for a conditional model; or None.
        classes: the names of the c classes of a condition; empty without a condition, or if it is columns of a table.
        label_names: the names of the classes 0, 1, …, if the labels are their numbers; or None.
    """

    x: Tensor
    target: Tensor
    names: tuple[str, ...] | None
    labels: tuple[str, Tensor] | None
    surface: tuple[Tensor, Tensor] | None
    condition: Tensor | None = None
    classes: tuple[str, ...] = ()
    label_names: tuple[str, ...] | None = None

    def first(self, count: int) -> "Examples":
        """The first `count` examples."""
        return self._replace(
            x=self.x[:count],
            target=self.target[:count],
            labels=None if self.labels is None else (self.labels[0], self.labels[1][:count]),
            condition=None if self.condition is None else self.condition[:count],
        )

    def with_coarse_surface(self, step: int) -> "Examples":
        """The same examples, with every `step`-th row and column of the surface if there is one."""
        if self.surface is None:
            return self
        x_grid, truth = self.surface
        rows = x_grid.unflatten(0, tuple(truth.shape))[::step, ::step].flatten(0, 1)
        return self._replace(surface=(rows, truth[::step, ::step]))


def gather(trainer: Trainer, count: int) -> Examples:
    """Takes the first `count` examples of the validation split, with their names, labels and classes.

    Raises:
        ValueError: there is no validation split.
    """
    data: Any = getattr(trainer, "datamodule", None)
    loader = data.val_dataloader() if data is not None else trainer.val_dataloaders
    batches: list[Any] = []
    with torch.random.fork_rng([]):  # an iterator may draw a seed for its workers
        for batch in _one_loader(loader):
            batches.append(batch)
            if sum(len(x) for x, *_ in batches) >= count:
                break
    if not batches:
        raise ValueError("the data must have validation examples to show, but have none; add a validation split")
    x, target, *given = (_to_device(trainer, torch.cat(parts)[:count]) for parts in zip(*batches, strict=True))
    labels = data.labels("val") if hasattr(data, "labels") else None
    surface = data.surface(SURFACE) if callable(getattr(data, "surface", None)) else None
    return Examples(
        x=x,
        target=target,
        names=getattr(data, "names", None),
        labels=None if labels is None else (labels[0], labels[1][: len(x)]),
        surface=None if surface is None else (_to_device(trainer, surface[0]), surface[1]),
        condition=given[0] if given else None,
        classes=_classes(data, given[0]) if given else (),
        label_names=getattr(data, "label_names", None),
    )


def _classes(data: Any, condition: Tensor) -> tuple[str, ...]:
    """The names of the numbers in a condition (n, c), or their numbers from 0; empty if they are no classes."""
    if isinstance(getattr(data, "condition", None), list | tuple):
        return ()
    return tuple(getattr(data, "condition_names", None) or map(str, range(condition.shape[-1])))


def _one_loader(loaders: Any) -> Iterable[Any]:
    """The first of several loaders, or an empty list if there is none."""
    if isinstance(loaders, dict):
        loaders = list(loaders.values())
    return (loaders[0] if loaders else []) if isinstance(loaders, list | tuple) else loaders or []


def _to_device(trainer: Trainer, tensor: Tensor) -> Tensor:
    """Moves a tensor to the model's device, in the precision that the model computes in."""
    moved: Tensor = trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(tensor))
    return moved
