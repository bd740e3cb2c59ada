"""Chooses the pictures that suit a model and its data."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.escapes import for_terminal, short
from vaelab.evaluation import views
from vaelab.evaluation.discrete import representative, variables_of
from vaelab.figures import Picture
from vaelab.training.examples_shown import Examples
from vaelab.vae import VAE

IMAGES, POINTS = 10, 300  # how many reconstructions are shown
SAMPLES = 64  # how many sampled images are shown
TRAVERSED_POINTS = 6  # how many latents are traversed for points, each in its own panel
ESTIMATED = 200  # how many examples are shown if the mean of each q(z|x) is estimated from draws
COARSE = 4  # and then every fourth point of a surface in each direction
LONGEST = 20  # the most letters in a class's name in a title


@torch.no_grad()
def posterior(vae: VAE, examples: Examples) -> tuple[Distribution, Examples]:
    """q(z|x), and the examples that it holds: fewer than given if its mean is estimated from draws, which is slow."""
    if hasattr(vae.encode(*_given(examples.first(1))), "moments_by"):
        examples = examples.first(ESTIMATED).with_coarse_surface(COARSE)
    return vae.encode(*_given(examples)), examples


@torch.no_grad()
def is_finite(vae: VAE, q: Distribution, examples: Examples) -> bool:
    """True if q(z|x), and p(t|z) at its mean, have finite moments."""
    p = vae.decode(representative(q), examples.condition)
    return all(bool(numbers.isfinite().all()) for numbers in (q.mean, q.stddev, p.mean, p.stddev))


def pictures_of(vae: VAE, q: Distribution, examples: Examples) -> dict[str, Callable[[], Picture]]:
    """The pictures that suit a model and its data: name -> a function that makes it. The slowest to draw come first.

    Args:
        vae: the model.
        q: q(z|x) of the examples.
        examples: the examples to show. A conditional model shows its first class if a picture has room for only one.
    """
    prior, images = vae.prior_given(examples.condition), views.is_image(examples.target.shape[1:])
    first_class = _first_class(examples)
    found: dict[str, Callable[[], Picture]] = {}
    if examples.surface is not None:
        x_grid, truth = examples.surface
        found["surface"] = lambda: views.surface(vae, x_grid, truth, first_class.get("condition"))
    discrete = variables_of(q)
    if prior.event_shape == (2,) and not discrete:
        found["manifold"] = lambda: views.manifold(vae, names=examples.names, **first_class)
    else:
        moved = views.informative_dimensions(q, prior, views.TRAVERSED if images else TRAVERSED_POINTS)
        origin = representative(q)[0] if discrete else None
        options: dict[str, Any] = {"names": examples.names, "dimensions": moved, "origin": origin, **first_class}
        found["traversals"] = lambda: views.traversals(vae, **options)
    found["kl_per_dimension"] = lambda: views.kl_per_dimension_bars(q, prior)
    found["latents"] = lambda: views.latents(q, prior, examples.labels, examples.label_names)
    found["prior_samples"] = lambda: (_image_samples if images else _point_samples)(vae, examples)
    if images and examples.condition is not None:
        found["styles"] = lambda: _styles(vae, examples)
    found["reconstructions"] = lambda: _reconstructions(vae, examples.first(IMAGES if images else POINTS))
    return found


def curves_of(trainer: Any, pl_module: Any) -> Picture | None:
    """The ELBO of a `VAEModule` over epochs so far, with its landmarks; None if it has no points."""
    elbos = pl_module.elbos
    if not elbos.train[0] and not elbos.val[0]:
        return None
    return views.curves(elbos.train, elbos.val, views.landmarks_of(trainer.callback_metrics))


def _reconstructions(vae: VAE, shown: Examples) -> Picture:
    return views.reconstructions(vae, shown.x, shown.target, shown.names, condition=shown.condition)


def _image_samples(vae: VAE, examples: Examples) -> Picture:
    """The means of sampled images, with a row for each class of a conditional model."""
    if examples.condition is None:
        return views.prior_samples(vae, SAMPLES)
    classes = len(examples.classes)
    in_turn = torch.eye(classes).repeat(-(-SAMPLES // classes), 1)[:SAMPLES].to(examples.condition)
    row_names = examples.classes[:SAMPLES]
    return views.prior_samples(vae, SAMPLES, condition=in_turn, given="c", row_names=row_names)


def _styles(vae: VAE, examples: Examples) -> Picture:
    """The same styles in each class of a conditional model."""
    shown = [short(for_terminal(name), LONGEST) for name in examples.classes[: views.CONDITIONS]]
    every = torch.eye(len(examples.classes)).to(examples.x)[: len(shown)]
    return views.styles(vae, every, tuple(shown))


def _point_samples(vae: VAE, examples: Examples) -> Picture:
    """Draws beside the data. A conditional model gets the conditions of the data."""
    given = "" if examples.condition is None else "c"
    options: dict[str, Any] = {"condition": examples.condition, "given": given}
    count = max(len(examples.x), POINTS) if examples.condition is None else len(examples.x)
    return views.prior_samples(vae, count, "sample", examples.target, examples.names, **options)


def _first_class(examples: Examples) -> dict[str, Any]:
    """The first class of a conditional model, or the condition of its first example, and its name in titles."""
    if examples.condition is None:
        return {}
    if not examples.classes:
        return {"condition": examples.condition[0], "given": "c of the first example"}
    condition = torch.zeros_like(examples.condition[0])
    condition[0] = 1
    return {"condition": condition, "given": f"c = {short(for_terminal(examples.classes[0]), LONGEST)}"}


def _given(examples: Examples) -> tuple[Tensor, ...]:
    return (examples.x,) if examples.condition is None else (examples.x, examples.condition)
