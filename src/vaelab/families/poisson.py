"""The Poisson family, for counts."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, distributions
from torch.distributions import Distribution

from vaelab.families.family import Family, Support
from vaelab.families.joint import joint
from vaelab.families.maximum_likelihood import moments

SMALLEST = 1e-3  # mean that a decoder or a baseline starts from


class LogPoisson(distributions.Poisson):
    """torch's Poisson, from the logarithm of its rate: log p(t) = t·log λ − λ − log t!"""

    def __init__(self, log_rate: Tensor) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.exp(), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…) -> (…), nats; finite for every log-rate whose rate is."""
        return value * self.log_rate - self.rate - (value + 1).lgamma()


class Poisson(Family):
    """p(t|z) = Π λ_m^t_m exp(−λ_m) / t_m! over counts t = 0, 1, 2, …; the network gives log λ.

    The variance of a count equals its mean. If counts vary more, use `NegativeBinomial`.

    >>> import torch
    >>> p = Poisson((5,))(torch.zeros(7, 5))
    >>> p.mean.unique(), p.log_prob(torch.zeros(5)).unique()
    (tensor([1.]), tensor([-5.]))
    """

    pure = True
    support: ClassVar[Support] = "count"

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) logarithms of the means -> Poisson, batch_shape (…)."""
        log_rate = parameters.unflatten(-1, self.event_shape)
        return joint(LogPoisson(log_rate), log_rate, self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> its logarithm (k,), for a mean of at least 0.001."""
        return mean.flatten().clamp_min(SMALLEST).log()

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample means, at least 0.001 each."""
        return self.at_mean(moments(target.flatten(1))[0])
