"""The Student-t family: a likelihood for data with extreme outliers."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Gamma
from torch.distributions.constraints import Constraint

from vaelab.checks import check_number
from vaelab.families.family import Support
from vaelab.families.joint import joint
from vaelab.families.learned_scale import INIT_STD, MIN_STD, LearnedScale
from vaelab.precision import widest

LEARNED = "learned"
LEAST_DF = 2.01  # of learned degrees of freedom, so that b = σ·√((ν−2)/ν) stays positive
START = 8.0  # the learned degrees of freedom above that, at the start


class ScaledStudentT(Distribution):
    """Student's t with ν degrees of freedom, mean μ and standard deviation σ, elementwise. torch's class checks values.

    log p(t) = log Γ((ν+1)/2) − log Γ(ν/2) − ½ log(πν) − log b − (ν+1)/2 · log(1 + ((t−μ)/b)²/ν), b = σ·√((ν−2)/ν)

    For large ν, the logarithms of Γ cancel each other, so they are computed in float64. All numbers share one ν, so
    that costs little.

    Args:
        df: ν, ().
        mean: μ, (…).
        stddev: σ, (…).
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = True

    def __init__(self, df: Tensor, mean: Tensor, stddev: Tensor) -> None:
        self.df, self._mean, self._stddev = df, mean, stddev
        self.scale = stddev * ((df - 2) / df).sqrt()
        super().__init__(mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…)."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """(…): σ²."""
        return self._stddev.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """(…) -> (…), nats."""
        df, precise, y = self.df, widest(self.df), (value - self._mean) / self.scale
        constant = ((precise + 1) / 2).lgamma() - (precise / 2).lgamma() - 0.5 * (math.pi * precise).log()
        return constant.to(df.dtype) - self.scale.log() - (df + 1) / 2 * (y.square() / df).log1p()

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …): μ + b·ε / √(χ²/ν)."""
        shape = torch.Size(sample_shape) + self.batch_shape
        noise = torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device)
        half = (self.df / 2).expand(self.batch_shape)
        ratio = Gamma(half, half, validate_args=False).rsample(torch.Size(sample_shape))  # χ²/ν
        return self._mean + self.scale * noise * ratio.rsqrt()


class StudentT(LearnedScale):
    """p(t|z): Student's t with a mean and a standard deviation for every dimension and example, and shared ν.

    An outlier at distance d costs about (ν+1)·log d: less than under a Laplace (d) and a Gaussian (d²). ν is above 2,
    so that the standard deviation σ exists; it starts near `init_std` and has the floor `min_std`.
    Source: Lange, Little & Taylor 1989, doi.org/10.2307/2290063; Takahashi et al. 2018 for VAEs.

    >>> p = StudentT((3,), df=4.0)(torch.zeros(7, 6))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3]), 0.2)

    Args:
        event_shape: the shape of one draw, k numbers.
        df: ν, a number above 2; or `learned`, which learns one ν for all dimensions and examples.
        min_std: the floor of σ.
        init_std: about where σ starts.

    Raises:
        ValueError: `df` is neither, `min_std` is negative or `init_std` is not positive.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(
        self,
        event_shape: Sequence[int],
        df: float | str = 5.0,
        min_std: float = MIN_STD,
        init_std: float = INIT_STD,
    ) -> None:
        super().__init__(event_shape, min_std, init_std)
        if isinstance(df, str) and df != LEARNED:
            raise ValueError(f"df must be a number above 2, or learned, but is {df!r}; use a number such as 5")
        self.df = df if isinstance(df, str) else check_number("df", df, 2, above=True)
        self.log_excess = nn.Parameter(torch.tensor(math.log(START))) if df == LEARNED else None
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k) numbers: the means and h -> Student's t, batch_shape (…)."""
        loc, h = (half.unflatten(-1, self.event_shape) for half in parameters.chunk(2, dim=-1))
        df = loc.new_full((), float(self.df)) if self.log_excess is None else LEAST_DF + self.log_excess.exp()
        return joint(ScaledStudentT(df, loc, self._std(h)), loc, self.event_shape)
