"""Estimates how much memory a model needs for one example."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaelab.evaluation.draws import draw, score_draws
from vaelab.torch_private import TorchDispatchMode
from vaelab.vae import VAE


@torch.no_grad()
def decode_bytes(vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> int:
    """An upper bound on the memory for one draw of z, in bytes: every tensor made between the draw and log w."""
    q, prior = vae.encode(x, condition), vae.prior_given(condition)
    return bytes_made(lambda: score_draws(vae, q, prior, draw(q, 1), target, condition))


@torch.no_grad()
def encode_bytes(vae: VAE, x: Tensor, condition: Tensor | None = None) -> int:
    """An upper bound on the memory for q(z|x) and one draw from it, in bytes.

    A full covariance, for example, takes p × p numbers per row. The draws that estimate a mean are not counted, because
    their memory does not grow with the number of rows.
    """

    def encode() -> None:
        q = vae.encode(x, condition)
        draw(q, 1)
        if not hasattr(q, "moments_by"):
            _ = q.mean, q.stddev

    return bytes_made(encode)


@torch.no_grad()
def bytes_made(compute: Callable[[], object]) -> int:
    """The total bytes of all tensors that a computation makes, at least 1. They don't all exist at the same time."""
    compute()  # the first call may fill caches, which don't count
    with _Meter() as meter:
        compute()
    return max(1, meter.bytes)


class _Meter(TorchDispatchMode):
    """Adds up the bytes of all tensors made inside this context. Views take no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor) and not func.is_view:
                self.bytes += item.numel() * item.element_size()
        if func is torch.ops.aten.convolution.default:
            self.bytes += _copied_bytes(args[0], args[1], result)
        return result


def _copied_bytes(given: Tensor, weight: Tensor, result: Tensor) -> int:
    """The memory that a convolution needs besides its result.

    On a CPU, oneDNN copies input and result into a layout of its own. It has no float64, so torch then lays out the
    input itself: each number once for each place of the kernel.
    """
    if result.device.type != "cpu":
        return 0
    double = result.dtype == torch.float64
    numbers = result[:, 0].numel() * weight[0].numel() if double else given.numel() + result.numel()
    return numbers * result.element_size()
