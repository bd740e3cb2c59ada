"""Checks that the data suit the model and its likelihood."""

from typing import Any

import torch
from torch import Tensor

from vaelab.precision import in_full
from vaelab.supports import outside
from vaelab.vae import VAE

PIXELS = 1 << 25  # the most pixels, or numbers, in a picture; drawing takes about 80 bytes for each

WANTED = {  # what a target must do for each support, and the cure
    "binary": ("be 0 or 1 everywhere", "binarise it, or use a Gaussian likelihood"),
    "unit_interval": ("lie between 0 and 1 everywhere", "rescale it"),
    "count": ("hold only whole numbers from 0", "use a likelihood for real numbers such as model=gaussian"),
    "levels": (
        "hold only grey levels k/{last} with k = 0, …, {last}",
        "set model.levels to the number of grey levels in the data, such as 17 for data=digits",
    ),
    "category": (
        "hold only whole numbers from 0 to {last}",
        "set model.categories to one more than the largest of them, or use a likelihood for real numbers",
    ),
}


def check_data(vae: VAE, x: Tensor, target: Tensor | None = None) -> None:
    """Checks the data before they reach the model. The formulas themselves check nothing.

    Args:
        vae: the model; the `support` of its likelihood decides which targets are allowed.
        x: (B, *x), the encoder's input.
        target: (B, *t), the decoder's target; None if nothing is scored.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: x or the target holds NaN or an infinite number, or the target holds a number outside the support.
    """
    _check_finite("x", x)
    if target is None:
        return
    if target is not x:
        _check_finite("the target", target)
    family: Any = getattr(vae.decoder, "family", None)
    support, count = support_of(vae), getattr(family, "levels", getattr(family, "categories", None))
    if bool((bad := outside(target, support, count)).any()):
        allowed, cure = WANTED[support]
        name, allowed = type(family).__name__, allowed.format(last=(count or 1) - 1)
        raise ValueError(
            f"the target must {allowed}, because {name} scores {support} data, but it holds "
            f"{in_full(target[bad][0])}; {cure}"
        )
    if support == "mixed":
        family.check_target(target)


def support_of(vae: VAE) -> str:
    """The targets that a VAE's likelihood scores, one of `vaelab.families.Support`. The default is `real`."""
    return str(getattr(getattr(vae.decoder, "family", None), "support", "real"))


def _check_finite(name: str, values: Tensor) -> None:
    if not isinstance(values, Tensor) or values.is_complex():
        kind = values.dtype if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise TypeError(f"{name} must be a tensor of real numbers, but is {kind}; use torch.as_tensor")
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        rows = values.flatten(1) if values.dim() > 1 else values.unsqueeze(-1)
        bad = int((~rows.isfinite()).any(1).sum())
        raise ValueError(
            f"{name} must hold only finite numbers, but {bad} of {len(rows)} examples hold NaN or an infinite number; "
            "remove those examples, or fill them in"
        )


def check_room(vae: VAE, images: int, condition: Tensor | None = None) -> None:
    """Raises a ValueError if a picture of this many draws from a VAE would fill the memory.

    Args:
        vae: the model.
        images: the number of draws.
        condition: (c,) or (n, c), for a conditional model.
    """
    one = condition if condition is None or condition.dim() == 1 else condition[0]
    z = next(vae.parameters(), torch.zeros(())).new_zeros(vae.latent_shape)
    with torch.no_grad(), torch.random.fork_rng([z.device] if z.is_cuda else []):
        size = vae.decode(z, one).event_shape.numel()
    if images * size > PIXELS:
        raise ValueError(
            f"a picture must hold at most {PIXELS:,} numbers, but {images:,} × {size:,} are more; draw at most "
            f"{PIXELS // size:,} images, for example with fewer steps"
        )
