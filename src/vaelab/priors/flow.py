"""An autoregressive flow as the prior."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.distributions import Distribution

from vaelab.checks import check_widths
from vaelab.families import with_moments
from vaelab.families.flow import ShiftedFlow, zuko_transform
from vaelab.short_repr import call_of


class FlowPrior(nn.Module):
    """p(z): z = μ + σ·f(ε), ε ~ N(0, I), with an invertible network f learned with the model.

    f is a chain of autoregressive transforms by zuko: affine maps (masked autoregressive flow, Papamakarios et al.
    2017, arxiv.org/abs/1705.07057) or rational-quadratic splines (Durkan et al. 2019, arxiv.org/abs/1906.04032). Chen
    et al. 2017 (arxiv.org/abs/1611.02731, §3.2) use it as the prior of a VAE.

    Training needs log p(z), which takes one pass through the networks. A draw takes p passes for each transform. The
    prior starts as N(0, I). There is no closed-form KL, so conf/prior/flow.yaml sets `kl: monte_carlo`. The mean and
    the standard deviation are estimated from draws (`EstimatedMoments`).

    >>> prior = FlowPrior((3,), hidden=[16])
    >>> z = prior().sample((7,))
    >>> z.shape, prior().log_prob(z).shape
    (torch.Size([7, 3]), torch.Size([7]))

    Args:
        event_shape: (p,), the shape of z.
        transforms: the number of autoregressive transforms; every second one takes the latents in reverse order.
        hidden: the widths of the networks in each transform.
        kind: `affine` or `spline`.
        bins: the number of pieces of each spline; `affine` ignores it.

    Raises:
        ValueError: a number is out of range, the kind is unknown, z is not a vector, or zuko is not installed.
    """

    pure = True

    def __init__(
        self,
        event_shape: Sequence[int],
        transforms: int = 3,
        hidden: Sequence[int] = (256,),
        kind: Literal["affine", "spline"] = "affine",
        bins: int = 8,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.hidden = list(check_widths("prior.hidden", hidden, "[256]"))
        self.transforms, self.kind, self.bins = transforms, kind, bins
        self.inverse = zuko_transform("prior", self.event_shape, transforms, self.hidden, kind, bins)
        self.loc = nn.Parameter(torch.zeros(event_shape))
        self.log_std = nn.Parameter(torch.zeros(event_shape))

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """The flow, batch_shape (), event_shape (p,)."""
        return with_moments(ShiftedFlow(self.inverse(), self.loc, self.log_std.exp()))
