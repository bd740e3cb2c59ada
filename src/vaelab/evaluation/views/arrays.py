"""Turns tensors into the arrays that pictures are made of, and makes draws reproducible."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vaelab.vae import VAE

Array = np.ndarray[Any, Any]
Names = tuple[str, ...] | None


def is_image(shape: Sequence[int]) -> bool:
    """True if an event of this shape is drawn as an image: grey, or red, green and blue."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


def images(pixels: Tensor, rows: int | None = None) -> Array:
    """(n, [c,] h, w) -> (n, h, w[, 3]), or, with `rows`, (rows, n / rows, h, w[, 3])."""
    if pixels.dim() == 4:
        pixels = pixels.squeeze(1) if pixels.shape[1] == 1 else pixels.movedim(1, -1)
    return array(pixels if rows is None else pixels.unflatten(0, (rows, -1)))


def points(numbers: Tensor) -> Array:
    """(n, *t) -> (n, d)."""
    return array(numbers.flatten(1))


def array(tensor: Tensor) -> Array:
    """Tensor -> array. Floating-point numbers of any precision become float32, because numpy lacks some of them."""
    tensor = tensor.detach().cpu()
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()


def t_given(given: str = "") -> str:
    """The likelihood as titles write it: `p(t|z)`, or `p(t|z, c = 3)` if given `c = 3`."""
    return f"p(t|z, {given})" if given else "p(t|z)"


def z_given(vae: VAE) -> str:
    """The prior as titles write it: its `text`, or `p(z)`, or `p(z|c)` if it is conditional."""
    text = "p(z|c)" if getattr(vae.prior, "condition_size", 0) else "p(z)"
    return str(getattr(vae.prior, "text", text))
