"""Pictures of the same styles under several conditions."""

import torch
from torch import Tensor

from vaelab.checks import check_choice, check_whole
from vaelab.evaluation.data_checks import check_data, check_room
from vaelab.evaluation.discrete import representative
from vaelab.evaluation.styles import with_style
from vaelab.evaluation.views.arrays import images, is_image
from vaelab.figures import ImageStyles, Picture
from vaelab.seeded import seeded
from vaelab.vae import VAE

STYLES, CONDITIONS = 10, 20  # how many rows a picture has by default, and how many columns at most


def style_draws(vae: VAE, n: int, conditions: Tensor, seed: int = 0) -> Tensor:
    """n styles under each of k conditions, from the same noise: conditions (k, c) -> z (n, k, p).

    If p(z) does not depend on the condition, the k draws of a style are equal.

    Args:
        vae: the model.
        n: the number of styles.
        conditions: (k, c).
        seed: the seed of the draws.
    """
    draws = []
    for condition in conditions:
        with seeded(seed):
            draws.append(vae.sample_prior(n, condition))
    return torch.stack(draws, 1)


@torch.no_grad()
def styles(
    vae: VAE, conditions: Tensor, names: tuple[str, ...], n: int = STYLES, seed: int = 0, show: str = "mean"
) -> Picture:
    """n styles in k conditions: each row decodes one z, each column has one condition.

    Args:
        vae: a conditional model of images.
        conditions: (k, c).
        names: the k names of the conditions.
        n: the number of styles.
        seed: the seed of all draws.
        show: the `mean` of p(t|z, c), or a `sample` of it.

    Raises:
        ValueError: n is not a whole number of at least 1, `show` is unknown, the targets are no images, or the picture
            is too large.
    """
    check_whole("n", n, 1)
    check_choice("show", show, ("mean", "sample"))
    check_room(vae, n * len(conditions), conditions)
    z = style_draws(vae, n, conditions, seed)
    shown = _decoded(vae, z, conditions, show, seed)
    title = f"{'Mean' if show == 'mean' else 'Draw'} of p(t|z, c), one style per row"
    return ImageStyles(images(shown.flatten(0, 1), n), names, title=title)


@torch.no_grad()
def restyled(
    vae: VAE, x: Tensor, target: Tensor, condition: Tensor, conditions: Tensor, names: tuple[str, ...]
) -> Picture:
    """Each example in k conditions, beside the example itself: z is the mean of q(z|x, c) with its own condition.

    Args:
        vae: a conditional model of images.
        x: (n, *x).
        target: (n, *t).
        condition: (n, c), or (c,) for all: the conditions that the examples are encoded with.
        conditions: (k, c), the conditions to decode with.
        names: their k names.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: x or the target holds a number that does not fit the model, the targets are no images, or the
            picture is too large.
    """
    check_data(vae, x, target)
    check_room(vae, len(x) * len(conditions), conditions)
    z = representative(vae.encode(x, condition)).unsqueeze(1)  # (n, 1, p)
    own = condition.expand(len(x), -1).unsqueeze(1)
    shown = _decoded(vae, with_style(vae, z, own, conditions).expand(-1, len(conditions), -1), conditions)
    title = "Mean of p(t|z, c) with the z of each input"
    return ImageStyles(images(shown.flatten(0, 1), len(x)), names, images(target.float()), title)


def _decoded(vae: VAE, z: Tensor, conditions: Tensor, show: str = "mean", seed: int = 0) -> Tensor:
    """z (n, k, p), conditions (k, c) -> means or draws, (n, k, *t)."""
    p = vae.decode(z, conditions)
    if not is_image(p.event_shape):
        raise ValueError(
            f"a picture of styles needs images, but the targets have the shape {tuple(p.event_shape)}; write a table "
            "such as -o styles.csv"
        )
    with seeded(seed):
        return p.mean if show == "mean" else p.sample()
