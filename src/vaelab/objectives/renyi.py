"""The variational Rényi bound."""

from dataclasses import dataclass

from torch import Tensor

from vaelab.checks import check_number
from vaelab.objectives.importance import mean
from vaelab.objectives.many_sample_bound import ManySampleBound


@dataclass(frozen=True)
class Renyi(ManySampleBound):
    """VR-α: E[(1 − α)⁻¹ log (1/K) Σ_k w_k^(1−α)] (Li & Turner 2016, arxiv.org/abs/1602.02311).

    α = 0 is IW_K, α = 1 is the ELBO, and the bound falls as α grows. For α < 0 it is no lower bound on log p(t). The
    other arguments are those of `ManySampleBound`.

    >>> import torch
    >>> Renyi(alpha=0.5).bound(torch.tensor([[1.0], [4.0]]).log()).exp()  # ((1 + 2) / 2)²
    tensor([2.2500])

    Args:
        alpha: α, at least 0.

    Raises:
        ValueError: α < 0, or as `ManySampleBound`.
    """

    pure = True

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("objective.alpha", self.alpha, 0)

    def bound(self, log_w: Tensor, log_share: Tensor | None = None) -> Tensor:
        """(K, …) -> (…), nats."""
        if self.alpha == 1:
            return mean(log_w, log_share)
        powers = (1 - self.alpha) * log_w
        largest = powers.amax(0).detach()
        # With log1p and expm1, digits are kept if α is near 1 and all powers of w are near 1.
        return (largest + mean((powers - largest).expm1(), log_share).log1p()) / (1 - self.alpha)

    def path_scale(self, log_w: Tensor) -> Tensor:
        """(K, …) -> (K, …)."""
        return self.alpha + (1 - self.alpha) * ((1 - self.alpha) * log_w).softmax(0)
