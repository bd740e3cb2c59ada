"""Pictures of samples from the model."""

import torch
from torch import Tensor

from vaelab.checks import check_choice, check_whole
from vaelab.evaluation.data_checks import check_room
from vaelab.evaluation.views.arrays import Names, images, is_image, points, seeded, t_given
from vaelab.figures import ImageGrid, Picture, PointDraws
from vaelab.vae import VAE


@torch.no_grad()
def prior_samples(
    vae: VAE,
    n: int = 64,
    show: str = "mean",
    data: Tensor | None = None,
    names: Names = None,
    seed: int = 0,
    condition: Tensor | None = None,
    given: str = "",
    row_names: Names = None,
) -> Picture:
    """What the model generates: n times z ~ p(z), then the mean of p(t|z) or a draw from it.

    Args:
        vae: the model.
        n: how many.
        show: `mean` or `sample`.
        data: (m, *t) targets to draw points beside.
        names: of the target's dimensions, if it is no image.
        seed: of every draw.
        condition: (c,), or (n, c) for one of each, for a conditional model.
        given: what the title calls the condition.
        row_names: of the rows of a picture of images: image i stands in row i modulo their number, as it does if the
            conditions are the classes in turn.

    Raises:
        ValueError: n or `show` makes no sense, or the picture is too large.
    """
    check_whole("n", n, 1)
    check_choice("show", show, ("mean", "sample"))
    check_room(vae, n, condition)
    with seeded(seed):
        p = vae.decode(vae.prior().sample((n,)), condition)
        t = p.mean if show == "mean" else p.sample()
    title = f"{'means of' if show == 'mean' else 'draws from'} {t_given(given)}"
    if is_image(t.shape[1:]):
        return ImageGrid(images(t), f"Prior samples: {title}, z ~ p(z)", row_names)
    title += "" if given else ", z ~ p(z)"  # a panel has no room for both
    return PointDraws(points(t), None if data is None else points(data.float()), names, title)
