"""Pictures of samples from the model."""

import torch
from torch import Tensor

from vaelab.checks import check_choice, check_whole
from vaelab.evaluation.data_checks import check_room
from vaelab.evaluation.views.arrays import Names, images, is_image, points, t_given, z_given
from vaelab.figures import ImageGrid, Picture, PointDraws
from vaelab.seeded import seeded
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
    """Samples from the model: z ~ p(z) or p(z|c), then the mean of p(t|z) or a draw from it, n times.

    Args:
        vae: the model.
        n: the number of samples.
        show: `mean` or `sample`.
        data: (m, *t), targets to show beside sampled points.
        names: the names of the target's dimensions, if it is not an image.
        seed: the seed of all draws.
        condition: (c,), or (n, c) for one per sample, for a conditional model.
        given: how the title writes the condition.
        row_names: the names of the rows in a picture of images. Image i is in row i modulo the number of rows, as it is
            if the conditions are the classes in turn.

    Raises:
        ValueError: n is not a whole number of at least 1, `show` is unknown, or the picture is too large.
    """
    check_whole("n", n, 1)
    check_choice("show", show, ("mean", "sample"))
    check_room(vae, n, condition)
    with seeded(seed):
        p = vae.decode(vae.sample_prior(n, condition), condition)
        t = p.mean if show == "mean" else p.sample()
    title = f"{'means of' if show == 'mean' else 'draws from'} {t_given(given)}"
    if is_image(t.shape[1:]):
        kind = "Samples" if hasattr(vae.prior, "text") else "Prior samples"
        return ImageGrid(images(t), f"{kind}: {title}, z\u00a0~\u00a0{z_given(vae)}", row_names)  # lines break before z
    title += "" if given else f", z ~ {z_given(vae)}"  # a panel's title has no room for both
    return PointDraws(points(t), None if data is None else points(data.float()), names, title)
