"""Pictures of decoded values of z that cover the prior."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from vaelab.checks import check_number, check_whole
from vaelab.evaluation.data_checks import check_room
from vaelab.evaluation.discrete import Variables, variables_of
from vaelab.evaluation.gaussian import is_gaussian
from vaelab.evaluation.views.arrays import Names, array, images, is_image, t_given
from vaelab.figures import DISTANCE, ImageManifold, ImageTraversals, Picture, PointManifold, PointTraversals
from vaelab.seeded import seeded
from vaelab.vae import VAE

TRAVERSED = 10  # how many latents a picture shows by default
STEPS, MANIFOLD_STEPS = 11, 20  # values per latent in a traversal and in a manifold
SPAN = 3.0  # standard deviations of the prior to either side
DRAWS = 10_000  # draws that show which z a prior covers if it is not Gaussian


@torch.no_grad()
def manifold(
    vae: VAE, steps: int = MANIFOLD_STEPS, names: Names = None, condition: Tensor | None = None, given: str = ""
) -> Picture:
    """The mean of p(t|z) over `steps` × `steps` values of a latent space of two dimensions.

    Images lie at quantiles of the prior's marginals (Kingma & Welling 2014, arxiv.org/abs/1312.6114, figure 4). Points
    lie on an even grid within three standard deviations of the prior. If the prior is not Gaussian, its quantiles are
    estimated from 10,000 draws, and the grid covers as much probability as three standard deviations of a Gaussian.

    Args:
        vae: the model.
        steps: the number of values per latent.
        names: the names of the target's dimensions, if it is not an image.
        condition: (c,), for a conditional model.
        given: how the title writes the condition.

    Raises:
        ValueError: latent_dim is not 2, there are fewer than two steps, or the picture is too large.
    """
    check_whole("steps", steps, 2)
    prior = vae.prior_given(condition)
    if variables_of(prior):
        raise ValueError("a manifold needs latents over real numbers, but these are discrete; draw traversals")
    if prior.event_shape != (2,):
        raise ValueError(
            f"latent_dim must be 2 to draw a manifold, but is {prior.event_shape.numel()}; draw traversals, or train "
            "with latent_dim=2"
        )
    check_room(vae, steps**2, condition)
    even = _even_grid(prior, steps)
    drawn_as_images = is_image(vae.decode(even[0], condition).event_shape)
    values = _quantiles(prior, (torch.arange(steps) + 0.5) / steps) if drawn_as_images else even
    z1, z2 = values.unbind(-1)  # (steps,) each
    grid = torch.stack(torch.meshgrid(z1, z2, indexing="xy"), dim=-1)  # (steps, steps, 2), row r at z2[r]
    mean = vae.decode(grid, condition).mean  # (steps, steps, *t)
    title = f"Mean of {t_given(given)}"
    if drawn_as_images:
        return ImageManifold(images(mean.flatten(0, 1), steps), array(z1), array(z2), title)
    return PointManifold(array(mean.flatten(2)), array(z1), array(z2), names, title)


@torch.no_grad()
def traversals(
    vae: VAE,
    steps: int = STEPS,
    span: float = SPAN,
    origin: Tensor | None = None,
    names: Names = None,
    dimensions: Sequence[int] | None = None,
    condition: Tensor | None = None,
    given: str = "",
) -> Picture:
    """The mean of p(t|z) while one latent at a time moves through the prior's mean. A discrete one takes each class.

    Args:
        vae: the model.
        steps: the number of values per latent.
        span: how far each latent moves to either side, in standard deviations of the prior. Discrete latents need
            neither `steps` nor `span`.
        origin: (p,), the values of the other latents. None stands for the prior's mean, or for the likeliest of 10,000
            draws if the prior is not Gaussian, because the mean of a mixture may be very unlikely.
        names: the names of the target's dimensions, if it is not an image.
        dimensions: the latents to move, counted from 0; by default the first ten.
        condition: (c,), for a conditional model.
        given: how the title writes the condition.

    Raises:
        ValueError: `steps` or `span` is too small, a latent does not exist, or the picture is too large.
    """
    check_whole("steps", steps, 2)
    check_number("span", span, 0, above=True)
    variables = variables_of(prior := vae.prior_given(condition))
    chosen = _chosen(dimensions, prior.event_shape.numel() // (variables.columns if variables else 1))
    distances = torch.arange(variables.classes) if variables else torch.linspace(-span, span, steps)
    check_room(vae, len(chosen) * len(distances), condition)
    start = _centre(prior) if origin is None else origin
    z = _class_paths(variables, start, chosen) if variables else _paths(prior, distances, start, chosen)
    p = vae.decode(z, condition)  # batch_shape (dimensions, values)
    others = "" if is_gaussian(prior) or origin is not None else ", the others at the likeliest z"
    shown, axis = (array(distances), np.array(chosen)), "class" if variables else DISTANCE
    if is_image(p.event_shape):
        title = f"Mean of {t_given(given)}, one latent moved{others}"
        return ImageTraversals(images(p.mean.flatten(0, 1), len(chosen)), *shown, title, axis)
    title = f"One latent moved{others}{given and f', {given}'}"
    return PointTraversals(
        array(p.mean.flatten(2)), array(p.stddev.flatten(2)), *shown, names, title, axis, bool(variables)
    )


def _class_paths(variables: Variables, start: Tensor, chosen: Sequence[int]) -> Tensor:
    """z = start (p,), except that in row r variable `chosen[r]` takes each class -> (rows, classes, p)."""
    return torch.stack([variables.walk(start, index) for index in chosen])


def _chosen(dimensions: Sequence[int] | None, latent_dim: int) -> list[int]:
    """The latents that a picture shows, counted from 0: the given ones, or else the first ten."""
    chosen = list(range(min(latent_dim, TRAVERSED)) if dimensions is None else dimensions)
    if not chosen or not all(0 <= index < latent_dim for index in chosen):
        raise ValueError(f"dimensions must be one or more latents from 0 to {latent_dim - 1}, but is {chosen}")
    return chosen


def _paths(prior: Distribution, distances: Tensor, start: Tensor, chosen: Sequence[int]) -> Tensor:
    """z = start (p,), except that in row r latent `chosen[r]` takes n values around its mean -> (rows, n, p)."""
    values = _even(prior, distances)  # (n, p)
    z = start.expand(len(chosen), *values.shape).clone()
    for row, index in enumerate(chosen):
        z[row, :, index] = values[:, index]
    return z


def _even(prior: Distribution, distances: Tensor) -> Tensor:
    """Distances (n,) from the prior's mean, in its standard deviations -> values of each latent, (n, p)."""
    return prior.mean + distances.to(prior.mean).unsqueeze(-1) * prior.stddev


def _even_grid(prior: Distribution, steps: int) -> Tensor:
    """Evenly spaced values of each latent, (steps, p), between the quantiles that lie at ±3 σ for a Gaussian."""
    if is_gaussian(prior):
        return _even(prior, torch.linspace(-SPAN, SPAN, steps))
    low, high = _quantiles(prior, Normal(0.0, 1.0).cdf(torch.tensor([-SPAN, SPAN])))
    return low + torch.linspace(0, 1, steps).to(low).unsqueeze(-1) * (high - low)


def _quantiles(prior: Distribution, probabilities: Tensor) -> Tensor:
    """The quantiles of each latent's marginal: probabilities (n,) -> (n, p)."""
    if is_gaussian(prior):
        return _even(prior, Normal(0.0, 1.0).icdf(probabilities))
    draws = _draws(prior)
    return draws.float().quantile(probabilities.to(draws.device), dim=0).to(draws.dtype)


def _centre(prior: Distribution) -> Tensor:
    """A z to start from, (p,): the mean of a Gaussian prior, or else the likeliest of its draws."""
    if is_gaussian(prior):
        return prior.mean
    draws = _draws(prior)
    return draws[prior.log_prob(draws).argmax()]


def _draws(prior: Distribution) -> Tensor:
    with seeded(0):
        return prior.sample((DRAWS,))
