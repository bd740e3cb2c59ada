"""Stand-ins until the families of counts and categories are merged."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from vaelab.families.family import Family


class _Integers(distributions.Categorical):
    @property
    def mean(self) -> Tensor:
        return self.probs @ torch.arange(self.probs.shape[-1]).to(self.probs)

    @property
    def variance(self) -> Tensor:
        return self.probs @ torch.arange(self.probs.shape[-1]).to(self.probs).square() - self.mean.square()

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        return super().sample(torch.Size(sample_shape)).to(self.probs)


class Categorical(Family):
    pure = True
    support = "category"

    def __init__(self, event_shape: Sequence[int], categories: int = 10) -> None:
        super().__init__(event_shape)
        self.categories = categories
        self.num_parameters = categories * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        logits = parameters.unflatten(-1, (*self.event_shape, self.categories))
        return Independent(_Integers(logits=logits, validate_args=False), len(self.event_shape), validate_args=False)


class Poisson(Family):
    pure = True
    support = "count"

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        rate = parameters.exp().unflatten(-1, self.event_shape)
        return Independent(distributions.Poisson(rate, validate_args=False), len(self.event_shape), validate_args=False)

    def at_mean(self, mean: Tensor) -> Tensor:
        return mean.flatten().clamp_min(1e-3).log()


class NegativeBinomial(Family):
    pure = True
    support = "count"

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        logits, log_r = (half.unflatten(-1, self.event_shape) for half in parameters.chunk(2, dim=-1))
        r = log_r.exp()
        made = distributions.NegativeBinomial(r, logits=logits - log_r, validate_args=False)
        return Independent(made, len(self.event_shape), validate_args=False)

    def at_mean(self, mean: Tensor) -> Tensor:
        log = mean.flatten().clamp_min(1e-3).log()
        return torch.cat([log, torch.zeros_like(log)])
