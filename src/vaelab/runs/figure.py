"""Draws the pictures of a loaded run, which are those that training draws."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_choice
from vaelab.evaluation import views
from vaelab.figures import Picture
from vaelab.figures.picture import import_matplotlib
from vaelab.progress import import_bars_quietly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vaelab.data import DataModule
    from vaelab.runs.run import Run
    from vaelab.training.examples_shown import Examples

NAMES = (
    *("curves", "latents", "reconstructions", "prior_samples", "manifold", "traversals", "kl_per_dimension"),
    *("surface", "styles"),
)
EXAMPLES, SURFACE = 1000, 50  # how many examples are shown, and how many points of a surface along each axis
WHY_NOT = {
    "surface": "only data=sine and data=sine_surface have a true surface",
    "styles": "it needs a conditional model of images",
    "manifold": "it needs two latents over real numbers; use traversals",
    "traversals": "with two latents, the manifold shows more",
}


def figure(run: "Run", name: str, data: Any = None) -> "Figure":
    """Draws a picture of a run. See `Run.figure`."""
    check_choice("name", name, NAMES)
    import_matplotlib()  # before Lightning imports it, which would fail if MPLBACKEND names no backend
    import_bars_quietly()
    from vaelab.figures.notebook_figure import for_notebook

    return for_notebook((_curves(run) if name == "curves" else _picture(run, name, data)).draw())


def _curves(run: "Run") -> Picture:
    """The ELBO over epochs, beside its landmarks."""
    curves = run.curves()
    epochs = (curves["step"] + 1) / (run.steps_per_epoch or max(len(curves["step"]), 1))
    train, val = ((epochs, curves[tag]) if tag in curves else None for tag in ("train/elbo", "val/elbo"))
    if train is None and val is None:
        raise ValueError(
            f"{run.folder} must hold curves of the ELBO, but holds none; train with logger=tensorboard or logger=csv"
        )
    return views.curves(train, val, views.landmarks_of(run.metrics))


@torch.no_grad()
def _picture(run: "Run", name: str, data: Any) -> Picture:
    from vaelab.training.pictures_of import pictures_of, posterior

    q, examples = posterior(run.vae, _examples(run, name, data))
    found = pictures_of(run.vae, q, examples)
    if name not in found:
        raise ValueError(
            f"name must be one of {', '.join(['curves', *found])} for this run, but is {name}: {WHY_NOT[name]}"
        )
    return found[name]()


def _examples(run: "Run", name: str, data: Any) -> "Examples":
    """The examples that a picture shows: of a split of the run's data, of another data module, or given ones."""
    from vaelab.data import DataModule

    if data is None or isinstance(data, str):
        split = check_choice("data", data or "val", SPLITS)
        try:
            return _of_module(run, run.ready_datamodule({}), split)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"the picture {name} needs examples, but {error}; in Python, pass data=run.datamodule(root=FOLDER), "
                "data=run.datamodule(path=FILE), or a tensor"
            ) from error
    if isinstance(data, DataModule):
        if not hasattr(data, "train"):
            data.setup()
        return _of_module(run, data, "val")
    return _of_tensors(run, data if isinstance(data, tuple) else (data,))


def _of_module(run: "Run", module: "DataModule", split: str) -> "Examples":
    from vaelab.training.examples_shown import Examples

    x, target, *given = next(iter(module.batches(split, EXAMPLES)))
    labels, surface = module.labels(split), module.surface(SURFACE)
    return Examples(
        x=_to_model(run, x),
        target=_to_model(run, target),
        names=module.names,
        labels=None if labels is None else (labels[0], labels[1][: len(x)]),
        surface=None if surface is None else (_to_model(run, surface[0]), surface[1]),
        condition=_to_model(run, given[0]) if given else None,
        classes=_classes(run) if given else (),
        label_names=module.label_names,
    )


def _of_tensors(run: "Run", data: Sequence[Any]) -> "Examples":
    """Examples from x, (x, target) or (x, target, condition), as tensors or arrays.

    Raises:
        ValueError: one of them has another shape than the model's.
    """
    from vaelab.training.examples_shown import Examples

    shapes = {"x": run.x_shape, "target": run.target_shape, "condition": run.condition_shape}
    given = [torch.as_tensor(np.asarray(each)) if not isinstance(each, Tensor) else each for each in data]
    if len(given) == 1 and run.x_shape == run.target_shape:
        given.append(given[0])
    needed = [name for name, shape in shapes.items() if shape is not None]
    if len(given) != len(needed):
        raise ValueError(f"data must be ({', '.join(needed)}) for this run, but has {len(given)} parts; pass a tuple")
    for name, tensor in zip(needed, given, strict=True):
        if tuple(tensor.shape) != (len(given[0]), *(shapes[name] or ())):
            wanted = ", ".join(map(str, ("n", *(shapes[name] or ()))))
            raise ValueError(f"{name} in data must have the shape ({wanted}), but has {tuple(tensor.shape)}")
    x, target, *condition = (_to_model(run, tensor[:EXAMPLES]) for tensor in given)
    classes = _classes(run) if condition else ()
    return Examples(x, target, None, None, None, condition[0] if condition else None, classes)


def _classes(run: "Run") -> tuple[str, ...]:
    """The names of the classes of a conditional run, or their numbers; empty if its condition is columns."""
    if isinstance(run.config.get("condition"), list):
        return ()
    return run.condition_names or tuple(map(str, range((run.condition_shape or (0,))[0])))


def _to_model(run: "Run", tensor: Tensor) -> Tensor:
    like = next(run.vae.parameters())
    return tensor.to(like) if tensor.is_floating_point() else tensor.to(like.device)
