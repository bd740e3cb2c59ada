"""A VAE and tensors -> pictures: pure functions that draw nothing themselves and leave torch's generators as they were.

Images are events of shape (rows, columns), (1, rows, columns) or (3, rows, columns); any other event is a vector of
numbers, called points. Reconstructing means to decode the posterior mean.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from vaelab.checks import check_choice, check_number, check_whole
from vaelab.evaluation.data_checks import check_data, check_room
from vaelab.evaluation.latents import kl_per_dimension
from vaelab.figures import (
    ImageGrid,
    ImageManifold,
    ImageReconstructions,
    ImageTraversals,
    KLBars,
    LatentScatter,
    Picture,
    PointDraws,
    PointManifold,
    PointReconstructions,
    PointTraversals,
    Surface,
)
from vaelab.vae import VAE

Array = np.ndarray[Any, Any]
Names = tuple[str, ...] | None
Labels = tuple[str, Tensor]
TRAVERSED = 10  # latents, where nobody names them


@torch.no_grad()
def reconstructions(vae: VAE, x: Tensor, target: Tensor, names: Names = None, seed: int = 0) -> Picture:
    """Targets beside the mean of p(t|z) and a draw from it, z the mean of q(z|x).

    Args:
        vae: the model.
        x: (n, *x).
        target: (n, *t).
        names: of the target's dimensions, where it is no image.
        seed: of the draw.

    Raises:
        TypeError: x or the target is no tensor of real numbers.
        ValueError: one of them holds a number that does not fit, or the picture is too large.
    """
    check_data(vae, x, target)
    check_room(vae, len(x))
    p, target = vae.decode(vae.encode(x).mean), target.float()
    if is_image(target.shape[1:]):
        std = _images(p.stddev) if _learns_std(p) else None
        return ImageReconstructions(_images(target), _images(p.mean), _images(_draw(p, seed)), std)
    return PointReconstructions(_points(target), _points(p.mean), _points(p.stddev), _points(_draw(p, seed)), names)


@torch.no_grad()
def prior_samples(
    vae: VAE, n: int = 64, show: str = "mean", data: Tensor | None = None, names: Names = None, seed: int = 0
) -> Picture:
    """What the model generates: n times z ~ p(z), then the mean of p(t|z) or a draw from it.

    Args:
        vae: the model.
        n: how many.
        show: `mean` or `sample`.
        data: (m, *t) targets to draw points beside.
        names: of the target's dimensions, where it is no image.
        seed: of every draw.

    Raises:
        ValueError: n or `show` makes no sense, or the picture is too large.
    """
    check_whole("n", n, 1)
    check_choice("show", show, ("mean", "sample"))
    check_room(vae, n)
    with _seeded(vae.prior().mean.device, seed):
        p = vae.decode(vae.prior().sample((n,)))
        t = p.mean if show == "mean" else p.sample()
    title = f"{'means of' if show == 'mean' else 'draws from'} p(t|z), z ~ p(z)"
    if is_image(t.shape[1:]):
        return ImageGrid(_images(t), f"Prior samples: {title}")
    return PointDraws(_points(t), None if data is None else _points(data.float()), names, title)


@torch.no_grad()
def manifold(vae: VAE, steps: int = 20, names: Names = None) -> Picture:
    """The mean of p(t|z) over `steps` × `steps` values of a latent space of two dimensions.

    Images lie at quantiles of the prior's marginals (Kingma & Welling 2014, arxiv.org/abs/1312.6114, figure 4), points
    on an even grid within three of its standard deviations.

    Raises:
        ValueError: latent_dim is not 2, there are fewer than two steps, or the picture is too large.
    """
    check_whole("steps", steps, 2)
    prior = vae.prior()
    if prior.event_shape != (2,):
        raise ValueError(
            f"a manifold of latent_dim={prior.event_shape.numel()} cannot be drawn, because a page has two dimensions; "
            "draw traversals, or train with latent_dim=2"
        )
    check_room(vae, steps**2)
    t_shape = vae.decode(prior.mean).event_shape
    standard = torch.linspace(-3, 3, steps)
    if is_image(t_shape):
        quantiles = (torch.arange(steps) + 0.5) / steps
        standard = Normal(0.0, 1.0).icdf(quantiles)
    z1, z2 = (prior.mean + standard.to(prior.mean).unsqueeze(-1) * prior.stddev).unbind(-1)  # (steps,) each
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), dim=-1)  # (steps, steps, 2), row r at z2[r]
    mean = vae.decode(grid).mean  # (steps, steps, *t)
    if is_image(t_shape):
        return ImageManifold(_images(mean.flatten(0, 1), steps), _array(z1), _array(z2))
    return PointManifold(_array(mean.flatten(2)), _array(z1), _array(z2), names)


@torch.no_grad()
def traversals(
    vae: VAE,
    steps: int = 11,
    span: float = 3.0,
    origin: Tensor | None = None,
    names: Names = None,
    dimensions: Sequence[int] | None = None,
) -> Picture:
    """The mean of p(t|z) as one latent at a time moves away from an origin.

    Args:
        vae: the model.
        steps: values per latent.
        span: how far it moves to either side, in standard deviations of the prior.
        origin: (p,), where the other latents stay; None is the prior's mean.
        names: of the target's dimensions, where it is no image.
        dimensions: the latents that move, from 0; None means the first ten.

    Raises:
        ValueError: `steps` or `span` makes no sense, or there is no such latent, or the picture is too large.
    """
    check_whole("steps", steps, 2)
    check_number("span", span, 0, above=True)
    prior = vae.prior()
    latent_dim = prior.event_shape.numel()
    chosen = list(range(min(latent_dim, TRAVERSED)) if dimensions is None else dimensions)
    if not chosen or not all(0 <= index < latent_dim for index in chosen):
        raise ValueError(f"dimensions must be latents from 0 to {latent_dim - 1}, at least one, but is {chosen}")
    check_room(vae, len(chosen) * steps)
    values = torch.linspace(-span, span, steps).to(prior.mean)
    start = prior.mean if origin is None else origin
    z = start.expand(len(chosen), steps, latent_dim).clone()
    for row, index in enumerate(chosen):
        z[row, :, index] = prior.mean[index] + values * prior.stddev[index]
    p = vae.decode(z)  # batch_shape (dimensions, steps)
    if is_image(p.event_shape):
        return ImageTraversals(_images(p.mean.flatten(0, 1), len(chosen)), _array(values), np.array(chosen))
    return PointTraversals(
        _array(p.mean.flatten(2)), _array(p.stddev.flatten(2)), _array(values), np.array(chosen), names
    )


@torch.no_grad()
def latents(vae: VAE, x: Tensor, labels: Labels | None = None) -> Picture:
    """Posterior means over the two dimensions of most KL, coloured by label.

    Args:
        vae: the model.
        x: (n, *x).
        labels: what they are called and the labels, (n,).
    """
    check_data(vae, x)
    q = vae.encode(x)
    shown = informative_dimensions(vae, x, 2)
    name, values = labels or ("", None)
    return LatentScatter(
        _array(q.mean)[:, shown],
        np.array(shown),
        q.event_shape.numel(),
        None if values is None else _array(values),
        name,
    )


@torch.no_grad()
def kl_per_dimension_bars(vae: VAE, x: Tensor) -> Picture:
    """KL(q(z_j|x) ‖ p(z_j)) of each dimension, mean over the examples (n, *x), in nats."""
    check_data(vae, x)
    return KLBars(_array(kl_per_dimension(vae.encode(x), vae.prior()).mean(0)))


@torch.no_grad()
def surface(vae: VAE, x_grid: Tensor, truth: Tensor) -> Picture:
    """The last target dimension as a surface over the first two input dimensions, beside the true one.

    Args:
        vae: the model.
        x_grid: (n·n, *x), a grid of inputs, its rows and columns as those of `truth`.
        truth: (n, n), the true surface.
    """
    p = vae.decode(vae.encode(x_grid).mean)
    x, y = (x_grid.flatten(1)[:, index].reshape(truth.shape) for index in range(2))
    mean, std = (values.flatten(1)[:, -1].reshape(truth.shape) for values in (p.mean, p.stddev))
    return Surface(_array(x), _array(y), _array(truth), _array(mean), _array(std))


@torch.no_grad()
def informative_dimensions(vae: VAE, x: Tensor, count: int) -> list[int]:
    """The `count` dimensions of z of most KL over the examples (n, *x), in ascending order."""
    kl = kl_per_dimension(vae.encode(x), vae.prior()).mean(0)
    return sorted(kl.topk(min(count, len(kl))).indices.tolist())


def is_image(shape: Sequence[int]) -> bool:
    """Whether an event of this shape is drawn as an image: grey, or red, green and blue."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def _learns_std(p: Distribution) -> bool:
    """Whether the standard deviation of p(t|z) says more than its mean: it does not for binary data or a constant."""
    binary = torch.allclose(p.variance, p.mean * (1 - p.mean), atol=1e-5)
    return not binary and bool(p.stddev.std() > 1e-4 * p.stddev.mean())


def _draw(p: Distribution, seed: int) -> Tensor:
    with _seeded(p.mean.device, seed):
        return p.sample()


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Draws the same every time, and leaves torch's generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _images(images: Tensor, rows: int | None = None) -> Array:
    """(n, [c,] h, w) -> (n, h, w[, 3]), or, with `rows`, (rows, n / rows, h, w[, 3])."""
    if images.dim() == 4:
        images = images.squeeze(1) if images.shape[1] == 1 else images.movedim(1, -1)
    return _array(images if rows is None else images.unflatten(0, (rows, -1)))


def _points(points: Tensor) -> Array:
    """(n, *t) -> (n, d)."""
    return _array(points.flatten(1))


def _array(tensor: Tensor) -> Array:
    """Floating-point numbers of any precision become float32, which numpy knows."""
    tensor = tensor.detach().cpu()
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
