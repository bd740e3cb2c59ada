"""The aggregate posterior as a distribution."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.evaluation.latents import MEMORY, bytes_of_all_pairs, log_prob_of_all
from vaelab.precision import double


class AggregatePosterior(Distribution):
    """(1/n) Σ_i q(z|x_i) over n examples: a draw takes one of them at random, and draws z from its posterior.

    The examples are independent, so log_prob is on average at most the log-density of q(z) = E_x q(z|x) (Jensen).

    >>> from vaelab import families
    >>> means, family = torch.zeros(7, 6), families.DiagonalGaussian((3,))
    >>> aggregate = AggregatePosterior(lambda rows: family(means[rows]), 7, (3,))
    >>> z = aggregate.sample((5,))
    >>> z.shape, aggregate.log_prob(z).shape
    (torch.Size([5, 3]), torch.Size([5]))

    Args:
        posterior: the rows of m examples (m,) -> q(z|x), batch_shape (m,).
        n: the number of examples.
        event_shape: (p,), the shape of z.
        at_once: how many examples are encoded together.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(
        self, posterior: Callable[[Tensor], Distribution], n: int, event_shape: Sequence[int], at_once: int = 1_000
    ) -> None:
        self.posterior, self.n, self.at_once = posterior, n, at_once
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, p)."""
        shape = torch.Size(sample_shape)
        rows = torch.randint(self.n, (shape.numel(),)).split(self.at_once)
        drawn = torch.cat([self.posterior(each).sample() for each in rows])
        return drawn.view(*shape, *self.event_shape)

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        """(m, p) -> (m,), nats in float64."""
        total = torch.full_like(double(value[..., 0]), -math.inf)
        for rows in torch.arange(self.n).split(self.at_once):
            q = self.posterior(rows)
            pieces = value.split(max(1, MEMORY // bytes_of_all_pairs(q, value[:1])))
            total = total.logaddexp(torch.cat([log_prob_of_all(q, z).logsumexp(-1) for z in pieces]))
        return total - math.log(self.n)
