"""The negative binomial family, for counts that vary more than a Poisson's."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Gamma
from torch.distributions.constraints import Constraint

from vaelab.checks import check_number
from vaelab.families.family import Family, Support
from vaelab.families.joint import joint
from vaelab.families.poisson import SMALLEST
from vaelab.precision import least_single

SHIFT = 8  # above it, the error of `_stirling` is below 2e-14


class Counts(Distribution):
    """The negative binomial with mean m and variance m + α·m², elementwise; r = 1/α failures.

    log p(t) = log Γ(t+r) − log Γ(r) − log t! + r·log(r/(r+m)) + t·log(m/(r+m))

    For small α, r is large, and the logarithms of Γ cancel each other: in float32, r = 10⁴ would cost 0.01 nats. Here
    their difference is a sum of terms of the size of log p, so α may go to 0, the Poisson distribution.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, log_mean: Tensor, dispersion: Tensor) -> None:
        self.log_mean, self.dispersion = log_mean, dispersion
        super().__init__(log_mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…)."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """(…): m + α·m²."""
        return self.mean + self.dispersion * self.mean.square()

    @property
    def mode(self) -> Tensor:
        """(…): the likeliest count."""
        return (self.mean * (1 - self.dispersion)).floor().clamp_min(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…) -> (…), nats."""
        r, mean = 1 / self.dispersion, self.mean
        more = value + SHIFT - mean
        # log((t+r+8)/(r+m)), a part of log Γ(t+r): exact if its argument is near 1, and if it is far from 1.
        ratio = (more.relu() / (r + mean)).log1p() - ((-more).clamp_min(0) / (value + SHIFT + r)).log1p()
        rest = (r + SHIFT - 0.5) * (value / (r + SHIFT)).log1p() - value + _rest(value, r)
        return rest + value * (self.log_mean + ratio) - r * (self.dispersion * mean).log1p() - (value + 1).lgamma()

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …): Poisson counts whose rates are Gamma distributed."""
        with torch.no_grad():
            r, mean = least_single(1 / self.dispersion), least_single(self.mean)  # torch has no Gamma in half precision
            rate = Gamma(r, r / mean, validate_args=False).sample(torch.Size(sample_shape))
            return torch.poisson(rate).to(self.log_mean.dtype)


def _rest(t: Tensor, r: Tensor) -> Tensor:
    """The part of log Γ(t+r) − log Γ(r) that Stirling's leading terms at t+r+8 and r+8 leave: it is small."""
    steps = sum((t / (r + i)).log1p() for i in range(SHIFT))
    return _stirling(t + r + SHIFT) - _stirling(r + SHIFT) - steps


def _stirling(z: Tensor) -> Tensor:
    """log Γ(z) − (z − ½)·log z + z − ½·log 2π for z ≥ 8."""
    w = z.reciprocal()
    v = w.square()
    return w * (1 / 12 + v * (-1 / 360 + v * (1 / 1260 + v * (-1 / 1680 + v * (1 / 1188 - v * 691 / 360360)))))


class NegativeBinomial(Family):
    """p(t|z) over counts t = 0, 1, 2, … with mean m and variance m + α·m²; the network gives log m and h for each.

    α = min_dispersion + init_dispersion·exp(h). With α → 0 it is the Poisson distribution.
    Source: Hilbe 2011, *Negative Binomial Regression*, chapter 8 (NB2).

    >>> p = NegativeBinomial((5,))(torch.zeros(7, 10))
    >>> p.mean.unique(), round(p.variance.max().item(), 3)
    (tensor([1.]), 1.1)

    Args:
        event_shape: the shape of one draw, k counts.
        min_dispersion: the floor of α, above 0.
        init_dispersion: about where α starts.

    Raises:
        ValueError: `min_dispersion` or `init_dispersion` is not a positive number.
    """

    pure = True
    support: ClassVar[Support] = "count"

    def __init__(self, event_shape: Sequence[int], min_dispersion: float = 1e-4, init_dispersion: float = 0.1) -> None:
        super().__init__(event_shape)
        self.min_dispersion = check_number("min_dispersion", min_dispersion, 0, above=True)
        self.init_dispersion = check_number("init_dispersion", init_dispersion, 0, above=True)
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k) numbers: the logarithms of the means, and h -> batch_shape (…)."""
        log_mean, h = (half.unflatten(-1, self.event_shape) for half in parameters.chunk(2, dim=-1))
        dispersion = self.min_dispersion + self.init_dispersion * h.exp()
        return joint(Counts(log_mean, dispersion), log_mean, self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> numbers with that mean, at least 0.001, and the α of h = 0."""
        log_mean = mean.flatten().clamp_min(SMALLEST).log()
        return torch.cat([log_mean, torch.zeros_like(log_mean)])
