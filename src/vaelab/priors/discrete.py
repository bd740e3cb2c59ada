"""Priors over discrete latents, uniform or learned."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.checks import check_flag
from vaelab.families import Family
from vaelab.short_repr import call_of


class DiscretePrior(nn.Module):
    """p(z) of independent discrete variables: uniform, or with learned probabilities that start uniform.

    >>> from vaelab.families import Bernoulli
    >>> DiscretePrior(Bernoulli((3,)))().mean
    tensor([0.5000, 0.5000, 0.5000])

    Args:
        family: a family over (p,): `Bernoulli` or `OneHotCategorical`.
        learned: True learns the probabilities; False gives all classes of a variable the same one.

    Raises:
        ValueError: `learned` is neither true nor false.
    """

    pure = True

    def __init__(self, family: Family, learned: bool = False) -> None:
        super().__init__()
        self.family = family
        self.learned = check_flag("prior.learned", learned)
        self.support = family.support
        self.numbers: Tensor
        if learned:
            self.numbers = nn.Parameter(torch.zeros(family.num_parameters))
        else:
            self.register_buffer("numbers", torch.zeros(family.num_parameters), persistent=False)

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """p(z), batch_shape ()."""
        return self.family(self.numbers)
