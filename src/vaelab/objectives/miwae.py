"""The mean of several importance-weighted bounds."""

import math
from dataclasses import dataclass

from torch import Tensor

from vaelab.checks import check_whole
from vaelab.objectives.importance import Draws
from vaelab.objectives.iwae import IWAE


@dataclass(frozen=True)
class MIWAE(IWAE):
    """The mean over M groups of IW_K (Rainforth et al. 2018, arxiv.org/abs/1802.04537, §5).

    It is the same bound as IW_K, and its gradient has less noise. The other arguments are those of `ManySampleBound`.

    >>> MIWAE(samples=8, groups=3).draws
    24

    Args:
        groups: M, each of K draws.

    Raises:
        ValueError: M is not a whole number of at least 1, or as `ManySampleBound`.
    """

    pure = True

    groups: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("objective.groups", self.groups, 1)

    @property
    def draws(self) -> int:
        """M·K."""
        return self.groups * self.samples

    def _estimate(self, log_w: Tensor, draws: Draws) -> Tensor:
        # Neighbours are in different groups, so each group has draws of every stratum.
        grouped = log_w.unflatten(0, (-1, self.groups))  # (K, M, B)
        if draws.log_share is not None:  # the shares of each group add up to 1
            draws = draws._replace(log_share=draws.log_share + math.log(self.groups))
        return super()._estimate(grouped, draws).mean(0)
