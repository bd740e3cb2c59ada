"""Checks that data are numbers which the model and its likelihood can take."""

import torch
from torch import Tensor

from vaelab.precision import in_full
from vaelab.vae import VAE

PIXELS = 1 << 25  # of a picture, or numbers of its points; drawing takes about 80 bytes for each


def check_data(vae: VAE, x: Tensor, target: Tensor | None = None) -> None:
    """Checks data before a model sees them; the formulas themselves check nothing.

    Args:
        vae: the model; its likelihood's `support` says which targets it scores.
        x: (B, *x), what the encoder sees.
        target: (B, *t), what the decoder is scored on; None if nothing is scored.

    Raises:
        TypeError: x or the target is no tensor of real numbers.
        ValueError: one of them holds NaN or an infinite number, or the target a number outside the support.
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
        raise ValueError(f"the target must lie from 0 to 1 everywhere, but it holds {in_full(found)}; rescale it")


def support_of(vae: VAE) -> str:
    """Which targets the likelihood of a VAE scores: `binary`, `unit_interval` or `real`; `real` if it does not say."""
    return str(getattr(getattr(vae.decoder, "family", None), "support", "real"))


def _check_finite(name: str, values: Tensor) -> None:
    if not isinstance(values, Tensor) or values.is_complex():
        kind = values.dtype if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise TypeError(f"{name} must be a tensor of real numbers, but is {kind}; use torch.as_tensor")
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        rows = values.flatten(1) if values.dim() > 1 else values.unsqueeze(-1)
        bad = int((~rows.isfinite()).any(1).sum())
        raise ValueError(
            f"{name} must hold finite numbers only, but {bad} of {len(rows)} examples hold NaN or an infinite number; "
            "leave those examples out, or fill them in"
        )


def check_room(vae: VAE, images: int, condition: Tensor | None = None) -> None:
    """Raises a ValueError if a picture of so many draws of a VAE would fill the memory.

    Args:
        vae: the model.
        images: how many draws.
        condition: (c,) or (n, c), for a conditional model.
    """
    one = condition if condition is None or condition.dim() == 1 else condition[0]
    z = next(vae.parameters(), torch.zeros(())).new_zeros(vae.prior().event_shape)
    with torch.no_grad(), torch.random.fork_rng([z.device] if z.is_cuda else []):
        size = vae.decode(z, one).event_shape.numel()
    if images * size > PIXELS:
        raise ValueError(
            f"a picture must hold at most {PIXELS:,} numbers, but {images:,} times {size:,} are more; draw at most "
            f"{PIXELS // size:,} images, such as with fewer steps"
        )
