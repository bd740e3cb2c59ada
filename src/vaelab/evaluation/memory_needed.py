"""How much memory one example takes on its way through a model."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaelab.evaluation.draws import draw, score_draws
from vaelab.torch_private import TorchDispatchMode
from vaelab.vae import VAE


@torch.no_grad()
def decode_bytes(vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> int:
    """An upper bound on the memory that one draw of z takes: every tensor made on the way from it to log w."""
    q, prior = vae.encode(x, condition), vae.prior()
    return bytes_made(lambda: score_draws(vae, q, prior, draw(q, 1), target, condition))


@torch.no_grad()
def encode_bytes(vae: VAE, x: Tensor, condition: Tensor | None = None) -> int:
    """An upper bound on the memory that q(z|x) and one draw from it take: a full covariance has p × p numbers a row.

    The draws that estimate a mean are not counted: there are at most so many at once, whatever the number of rows.
    """

    def encode() -> None:
        q = vae.encode(x, condition)
        draw(q, 1)
        if not hasattr(q, "moments_by"):
            _ = q.mean, q.stddev

    return bytes_made(encode)


@torch.no_grad()
def bytes_made(compute: Callable[[], object]) -> int:
    """The bytes of every tensor that a computation makes, at least 1; many of them do not live at the same time."""
    compute()  # the first call may fill caches, which must not count
    with _Meter() as meter:
        compute()
    return max(1, meter.bytes)


class _Meter(TorchDispatchMode):
    """Adds up the bytes of the tensors that the operations inside make; views take none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor) and not func.is_view:
                self.bytes += item.numel() * item.element_size()
        return result
