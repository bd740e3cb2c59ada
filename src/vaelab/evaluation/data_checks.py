"""Checks that the data suit the model and its likelihood."""

from typing import Any

import torch
from torch import Tensor

from vaelab.precision import in_full
from vaelab.vae import VAE

PIXELS = 1 << 25  # the most pixels, or numbers, in a picture; drawing takes about 80 bytes for each


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
    support = support_of(vae)
    if support == "binary" and not bool(((target == 0) | (target == 1)).all()):
        found = target[(target != 0) & (target != 1)][0]
        name = type(vae.decoder.family).__name__
        raise ValueError(
            f"the target must be 0 or 1 everywhere, because {name} scores binary data, but it holds {in_full(found)}; "
            "binarise it, or use a Gaussian likelihood"
        )
    if support == "unit_interval" and not bool(((target >= 0) & (target <= 1)).all()):
        found = target[(target < 0) | (target > 1)][0]
        raise ValueError(f"the target must lie between 0 and 1 everywhere, but it holds {in_full(found)}; rescale it")
    if support == "mixed":
        family: Any = vae.decoder.family
        family.check_target(target)


def support_of(vae: VAE) -> str:
    """The targets that a VAE's likelihood scores: `binary`, `unit_interval` or `real`. The default is `real`."""
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
    z = next(vae.parameters(), torch.zeros(())).new_zeros(vae.prior().event_shape)
    with torch.no_grad(), torch.random.fork_rng([z.device] if z.is_cuda else []):
        size = vae.decode(z, one).event_shape.numel()
    if images * size > PIXELS:
        raise ValueError(
            f"a picture must hold at most {PIXELS:,} numbers, but {images:,} × {size:,} are more; draw at most "
            f"{PIXELS // size:,} images, for example with fewer steps"
        )
