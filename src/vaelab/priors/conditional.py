"""A prior that depends on the condition."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.checks import check_choice, check_whole, check_widths
from vaelab.families import Family
from vaelab.networks import MLP
from vaelab.networks.layers import ACTIVATIONS
from vaelab.short_repr import call_of


class ConditionalPrior(nn.Module):
    """p(z|c): a small network maps the condition to the numbers of a Gaussian family (Sohn et al. 2015, eq. 4).

    Its KL has the closed form of the family, with one prior per example. The network's last layer starts at 0. If the
    family has init_std = 1, the prior then starts as N(0, I) for every c, up to the floor.

    Sohn et al. 2015: papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html

    >>> import torch
    >>> from vaelab.families import DiagonalGaussian
    >>> prior = ConditionalPrior(DiagonalGaussian((3,), init_std=1.0), condition_size=4)
    >>> p = prior(torch.eye(4))
    >>> p.batch_shape, p.event_shape
    (torch.Size([4]), torch.Size([3]))

    Args:
        family: a family over (p,): `DiagonalGaussian` or `FullGaussian`.
        hidden: the widths of the network's hidden layers; an empty list gives a linear map.
        activation: one of `tanh relu elu gelu silu softplus`.
        condition_size: how many numbers the condition has.

    Raises:
        ValueError: there is no condition, a width is not a whole number of at least 1, or the activation is unknown.
    """

    pure = True

    def __init__(
        self,
        family: Family,
        hidden: Sequence[int] = (64,),
        activation: Literal["tanh", "relu", "elu", "gelu", "silu", "softplus"] = "tanh",
        condition_size: int = 0,
    ) -> None:
        super().__init__()
        if not condition_size:
            raise ValueError(
                "condition must be set for prior=conditional, because p(z|c) needs one, but is null; use "
                "condition=label, or another prior such as prior=learned_diagonal"
            )
        self.condition_size = check_whole("condition_size", condition_size, 1)
        self.family, self.hidden = family, check_widths("prior.hidden", hidden, "[64]")
        self.activation = check_choice("prior.activation", activation, ACTIVATIONS)
        self.support = family.support
        self.network = MLP((condition_size,), family.num_parameters, hidden, activation)
        last: Any = self.network.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self, condition: Tensor) -> Distribution:
        """(…, c) -> p(z|c), batch_shape (…), event_shape (p,)."""
        return self.family(self.network(condition))
