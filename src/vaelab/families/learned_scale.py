"""The base class of families with a learned standard deviation σ: its floor, and where it starts.

On a finite data set without noise, log p(t|z) grows without bound as a learned variance shrinks. Hence the floor:

    σ² = min_std² + init_std²·exp(h)

Here h is linear in the last hidden layer and near 0 when training starts. log σ² is linear in h far above the floor,
and flat at the floor. A decoder that starts with σ as wide as the data may learn to ignore z (posterior collapse). A
smaller init_std avoids that.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.checks import check_number
from vaelab.families.family import Family, Support

SMALLEST = 1e-30  # of exp(h); its logarithm is finite, and σ is then at its floor
MIN_STD, INIT_STD = 0.01, 0.2  # suit a likelihood; conf/posterior and conf/prior start at 1, as wide as N(0, I)


class LearnedScale(Family):
    """A family with a mean and a learned standard deviation σ, which has a floor.

    Args:
        event_shape: the shape of one draw, k numbers.
        min_std: the floor of σ.
        init_std: about where σ starts: it is √(min_std² + init_std²) at h = 0.

    Raises:
        ValueError: `min_std` is negative or `init_std` is not positive.
    """

    support: ClassVar[Support] = "real"

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape)
        self.min_std = check_number("min_std", min_std, 0)
        self.init_std = check_number("init_std", init_std, 0, above=True)

    def _std(self, h: Tensor) -> Tensor:
        """σ = √(min_std² + init_std²·exp(h)), elementwise."""
        return (self.min_std**2 + self.init_std**2 * h.exp()).sqrt()

    def _h(self, variance: Tensor) -> Tensor:
        """The h at which σ² is the variance, or the floor if that is larger."""
        return ((variance - self.min_std**2) / self.init_std**2).clamp_min(SMALLEST).log()

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> the numbers of a distribution with that mean and the σ of h = 0."""
        return torch.cat([mean.flatten(), mean.new_zeros(self.num_parameters - mean.numel())])
