"""Pictures of reconstructed data: encoded, then decoded."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.evaluation.data_checks import check_data, check_room, support_of
from vaelab.evaluation.discrete import representative, variables_of
from vaelab.evaluation.styles import with_style
from vaelab.evaluation.views.arrays import Names, array, images, is_image, points, t_given
from vaelab.figures import ImageReconstructions, Picture, PointReconstructions, Surface
from vaelab.seeded import seeded
from vaelab.vae import VAE


@torch.no_grad()
def reconstructions(
    vae: VAE,
    x: Tensor,
    target: Tensor,
    names: Names = None,
    seed: int = 0,
    condition: Tensor | None = None,
    decode_as: Tensor | None = None,
    given: str = "",
) -> Picture:
    """Targets beside the mean of p(t|z) and a draw from it, where z is the mean of q(z|x), or the mode of a discrete z.

    Args:
        vae: the model.
        x: (n, *x).
        target: (n, *t).
        names: the names of the target's dimensions, if it is not an image.
        seed: the seed of the draw.
        condition: (n, c), or (c,) for all, for a conditional model.
        decode_as: (c,), the condition to decode with, if it is another one.
        given: how the title writes that condition.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: x or the target holds a number that does not fit the model, or the picture is too large.
    """
    check_data(vae, x, target)
    check_room(vae, len(x), condition)
    q, other = vae.encode(x, condition), condition if decode_as is None else decode_as
    decoded = t_given(given), "posterior mode" if variables_of(q) else "posterior mean"
    z = with_style(vae, representative(q), condition, other)
    p, target = vae.decode(z, other), target.float()
    with seeded(seed):
        draw = p.sample()
    if is_image(target.shape[1:]):
        std = images(p.stddev) if _std_is_news(vae, p) else None
        return ImageReconstructions(images(target), images(p.mean), images(draw), std, *decoded)
    return PointReconstructions(points(target), points(p.mean), points(p.stddev), points(draw), names, *decoded)


@torch.no_grad()
def surface(vae: VAE, x_grid: Tensor, truth: Tensor, condition: Tensor | None = None) -> Picture:
    """The last target dimension as a surface over the first two input dimensions, beside the true one.

    Args:
        vae: the model.
        x_grid: (n·n, *x), a grid of inputs in the order of `truth`.
        truth: (n, n), the true surface.
        condition: (c,), for a conditional model.
    """
    p = vae.decode(representative(vae.encode(x_grid, condition)), condition)
    x, y = (x_grid.flatten(1)[:, index].reshape(truth.shape) for index in range(2))
    mean, std = (values.flatten(1)[:, -1].reshape(truth.shape) for values in (p.mean, p.stddev))
    return Surface(array(x), array(y), array(truth), array(mean), array(std))


def _std_is_news(vae: VAE, p: Distribution) -> bool:
    """True if the standard deviation of p(t|z) adds to the mean: not for binary data, and not if it is constant."""
    return support_of(vae) != "binary" and bool(p.stddev.std() > 1e-4 * p.stddev.mean())
