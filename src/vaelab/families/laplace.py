"""The Laplace family: a likelihood with heavier tails than a Gaussian."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution

from vaelab.families.family import Support
from vaelab.families.joint import joint
from vaelab.families.learned_scale import INIT_STD, MIN_STD, LearnedScale

SORTED = 10_000  # torch.quantile takes the middle of an even number of rows, but only of small tensors


class Laplace(LearnedScale):
    """p(t|z) = Π_m exp(−|t_m − μ_m| / b_m) / 2b_m, with a scale b for every dimension and example.

    Outliers cost |t − μ| / b instead of a square, so a few of them pull the mean less than under a Gaussian. The
    standard deviation σ = √2·b starts near `init_std` and has the floor `min_std`, as in the Gaussian families.
    Source: Kotz, Kozubowski & Podgórski 2001, eq. 2.1.1.

    >>> import torch
    >>> p = Laplace((3,))(torch.zeros(7, 6))
    >>> p.batch_shape, p.event_shape
    (torch.Size([7]), torch.Size([3]))

    Args:
        event_shape: the shape of one draw, k numbers.
        min_std: the floor of σ.
        init_std: about where σ starts.

    Raises:
        ValueError: `min_std` is negative or `init_std` is not positive.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k) numbers: the means and h -> Laplace(μ, b), batch_shape (…)."""
        loc, h = (half.unflatten(-1, self.event_shape) for half in parameters.chunk(2, dim=-1))
        laplace = distributions.Laplace(loc, self._std(h) / math.sqrt(2), validate_args=False)
        return joint(laplace, loc, self.event_shape)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample median, and b as the mean distance from it."""
        rows = target.flatten(1).double()
        median = rows.quantile(0.5, dim=0) if len(rows) < SORTED else rows.median(0).values
        b = (rows - median).abs().mean(0)
        return torch.cat([median, self._h(2 * b.square())])
