"""Pictures of the path between two examples in latent space."""

import torch
from torch import Tensor

from vaelab.evaluation.data_checks import check_room
from vaelab.evaluation.views.arrays import Names, images, is_image, points, t_given
from vaelab.figures import ImageInterpolation, Picture, PointInterpolation
from vaelab.vae import VAE


@torch.no_grad()
def interpolation(
    vae: VAE,
    z: Tensor,
    originals: Tensor | None = None,
    names: Names = None,
    condition: Tensor | None = None,
    given: str = "",
    ends: str = "",
) -> Picture:
    """The mean of p(t|z) along a path, such as that of `vaelab.evaluation.latent_path`.

    Args:
        vae: the model.
        z: (n, p), the points of the path, evenly spaced.
        originals: (2, *t), the targets at its ends, to show beside them.
        names: the names of the target's dimensions, if it is not an image.
        condition: (c,), for a conditional model.
        given: how the title writes the condition.
        ends: how the title writes the ends, such as `A = test:3, B = test:17`.

    Raises:
        ValueError: the picture is too large.
    """
    check_room(vae, len(z), condition)
    p = vae.decode(z, condition)  # batch_shape (n,)
    originals = None if originals is None else originals.float()
    title = f"Mean of {t_given(given)}{ends and f', {ends}'}"
    if is_image(p.event_shape):
        return ImageInterpolation(images(p.mean), None if originals is None else images(originals), title)
    shown = None if originals is None else points(originals)
    return PointInterpolation(points(p.mean), points(p.stddev), shown, names, ends)
