"""Draws of discrete variables as functions of noise, and their relaxation.

With Gumbel noise g_k = −log e_k, e_k ~ Exp(1), argmax_k (log π_k + g_k) is a draw from the probabilities π (the
Gumbel-max trick). At the temperature τ, softmax_k ((log π_k + g_k) / τ) is the relaxed draw. It becomes the draw itself
as τ falls to 0 (Jang et al. 2017, arxiv.org/abs/1611.01144, §2; Maddison et al. 2017, arxiv.org/abs/1611.00712, §3).
"""

import torch
from torch import Tensor

from vaelab.precision import least_single


def logistic_noise(shape: torch.Size, like: Tensor) -> Tensor:
    """The difference of two Gumbel noises, which decides between two classes: log u − log(1 − u), u uniform.

    In the dtype of `like`, but at least float32: half precision would give infinite noise too often.
    """
    u = least_single(like).new_empty(shape).uniform_()
    return u.log() - (-u).log1p()


def gumbel_noise(shape: torch.Size, like: Tensor) -> Tensor:
    """−log e, e ~ Exp(1), in the dtype of `like`, but at least float32."""
    e = least_single(like).new_empty(shape).exponential_()
    return -e.clamp_min(torch.finfo(e.dtype).tiny).log()


def one_hot_of_largest(scores: Tensor) -> Tensor:
    """(…, K) -> 1 at the largest score and 0 elsewhere, (…, K)."""
    return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)


def straight_through(draw: Tensor, relaxed: Tensor) -> Tensor:
    """The value of the draw, with the gradient of the relaxed one (Jang et al. 2017, §2.2).

    >>> relaxed = torch.tensor([0.2, 0.8], requires_grad=True)
    >>> straight_through(torch.tensor([0.0, 1.0]), relaxed)
    tensor([0., 1.], grad_fn=<AddBackward0>)
    """
    return draw.detach() + (relaxed - relaxed.detach())
