"""A mixture of the ELBO and the importance-weighted bound."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.checks import check_number
from vaelab.objectives.importance import log_mean, mean
from vaelab.objectives.many_sample_bound import ManySampleBound


@dataclass(frozen=True)
class CIWAE(ManySampleBound):
    """β·ELBO + (1 − β)·IW_K, both from the same draws (Rainforth et al. 2018, arxiv.org/abs/1802.04537, §5).

    The other arguments are those of `ManySampleBound`.

    >>> CIWAE(beta=0.25).bound(torch.tensor([[1.0], [3.0]]).log())
    tensor([0.6572])

    Args:
        beta: β, from 0 to 1; the weight of the ELBO, not of the KL.

    Raises:
        ValueError: β is not between 0 and 1, or as `ManySampleBound`.
    """

    pure = True

    beta: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("objective.beta", self.beta, 0, maximum=1)

    def bound(self, log_w: Tensor, log_share: Tensor | None = None) -> Tensor:
        """(K, …) -> (…), nats."""
        return self.beta * mean(log_w, log_share) + (1 - self.beta) * log_mean(log_w, log_share)

    def path_scale(self, log_w: Tensor) -> Tensor:
        """(K, …) -> (K, …)."""
        share, w = self.beta / len(log_w), log_w.softmax(0)
        tiny = torch.finfo(w.dtype).tiny  # if β = 0 and w underflows, this is 0/0 in place of 0
        return (share + (1 - self.beta) * w.square()) / (share + (1 - self.beta) * w).clamp(min=tiny)
