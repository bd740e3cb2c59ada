"""The categorical family, for whole numbers that name classes."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution

from vaelab.checks import check_whole
from vaelab.families.family import Family, Support
from vaelab.families.joint import joint

RAREST = 1e-3  # probability that a baseline gives a class


class Classes(distributions.Categorical):
    """torch's Categorical, with the mean and the variance of the *number* of the class; torch's are NaN."""

    def _moment(self, power: int) -> Tensor:
        return (self.probs * torch.arange(self.probs.shape[-1], device=self.probs.device) ** power).sum(-1)

    @property
    def mean(self) -> Tensor:
        """(…): Σ k·p_k. It says something only if the classes have an order; `mode` always does."""
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        """(…): Σ k²·p_k − (Σ k·p_k)²."""
        return (self._moment(2) - self._moment(1).square()).clamp_min(0)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …): whole numbers, in the dtype of the logits."""
        return super().sample(torch.Size(sample_shape)).to(self.logits.dtype)


class Categorical(Family):
    """P(t|z) = Π softmax(logits_m)[t_m] over whole numbers t from 0 to K−1, K for each dimension.

    >>> p = Categorical((5,), categories=3)(torch.zeros(7, 15))
    >>> p.base_dist.probs.shape, round(p.log_prob(torch.zeros(5))[0].exp().item() * 3**5, 3)
    (torch.Size([7, 5, 3]), 1.0)

    Args:
        event_shape: the shape of one draw.
        categories: K.

    Raises:
        ValueError: `categories` is not a whole number of at least 2.
    """

    pure = True
    support: ClassVar[Support] = "category"

    def __init__(self, event_shape: Sequence[int], categories: int | None = None) -> None:
        super().__init__(event_shape)
        if categories is None:
            raise ValueError(
                "model.categories must be the number of classes of a dimension, but is null; set it to one more than "
                "the largest whole number in the data"
            )
        self.categories = check_whole("model.categories", categories, 2)
        self.num_parameters = self.categories * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, K·k) logits: all dimensions' first class, then all dimensions' second, … -> batch_shape (…)."""
        logits = parameters.unflatten(-1, (self.categories, *self.event_shape)).movedim(-1 - len(self.event_shape), -1)
        return joint(Classes(logits=logits, validate_args=False), logits, self.event_shape)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the share of each class, at least 0.001."""
        share = class_shares(target.flatten(1), self.categories)
        return share.clamp_min(RAREST).log().flatten()


def class_shares(rows: Tensor, categories: int) -> Tensor:
    """The share of each class in rows (n, k) -> (categories, k), float64."""
    return torch.stack([(rows == number).double().mean(0) for number in range(categories)])
