"""Two layers of latents: a posterior over z₁ and z₂, and the distribution that a two-layer prior shares with it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.checks import check_number, check_whole, check_widths
from vaelab.families.family import Family, Support
from vaelab.families.gaussian import DiagonalGaussian


class TwoLayers(Family):
    """q(z₁, z₂|x) = q(z₁|x) q(z₂|z₁), both diagonal Gaussians (Burda et al. 2016, arxiv.org/abs/1509.00519, §2, eq. 2).

    The encoder gives q(z₁|x), and a network of this family gives q(z₂|z₁). z holds z₁, and then z₂. With the prior
    p(z₂) p(z₁|z₂) (`vaelab.priors.TwoLayerPrior`) and a decoder that sees z₁ alone (`network.decoder.inputs`), it is a
    model z₂ → z₁ → x. There is no closed-form KL, so conf/posterior/two_layers.yaml sets `kl: monte_carlo`.

    >>> q = TwoLayers((5,), top=2)(torch.zeros(7, 6))
    >>> q.batch_shape, q.rsample((4,)).shape
    (torch.Size([7]), torch.Size([4, 7, 5]))

    Args:
        event_shape: (p₁ + p₂,).
        top: p₂, the size of z₂.
        hidden: the widths of the tanh layers between z₁ and z₂.
        min_std: the floor of σ.

    Raises:
        ValueError: a number is out of range, or z₁ or z₂ has no latent.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(
        self, event_shape: Sequence[int], top: int = 1, hidden: Sequence[int] = (64,), min_std: float = 1e-4
    ) -> None:
        super().__init__(event_shape)
        self.top, self.hidden, self.min_std = top, list(check_widths("posterior.hidden", hidden, "[64]")), min_std
        self.sizes = bottom, _ = sizes_of("posterior", self.event_shape, top)
        self.then = gaussian_given("posterior", *self.sizes, hidden, min_std)
        self.first = DiagonalGaussian((bottom,), min_std, init_std=1.0)
        self.num_parameters = self.first.num_parameters

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2 p₁) numbers of q(z₁|x) -> q, batch_shape (…)."""
        return Chain(self.first(parameters), self.then, self.sizes, downwards=False)


class Chain(Distribution):
    """The joint distribution of z₁ and z₂: one of them is drawn first, and the other given it.

    Args:
        first: q(z₁), or p(z₂) if `downwards`.
        then: the latents drawn first (…, p) -> the distribution of the others, batch_shape (…).
        sizes: p₁ and p₂. In z (…, p₁ + p₂), z₁ comes before z₂.
        downwards: True if z₂ is drawn first.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = True

    def __init__(
        self, first: Distribution, then: Callable[[Tensor], Distribution], sizes: tuple[int, int], downwards: bool
    ) -> None:
        self.first, self.then, self.sizes, self.downwards = first, then, sizes, downwards
        super().__init__(first.batch_shape, torch.Size((sum(sizes),)), validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, p₁ + p₂)."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Sequence[int] = torch.Size()) -> tuple[Tensor, Tensor]:
        """z (*sample_shape, …, p₁ + p₂) and its log-density (*sample_shape, …), nats."""
        one = self.first.rsample(torch.Size(sample_shape))
        given = self.then(one)
        other = given.rsample()
        z = torch.cat([other, one] if self.downwards else [one, other], dim=-1)
        return z, self.first.log_prob(one) + given.log_prob(other)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, p₁ + p₂) -> (…), nats."""
        bottom, top = value.split(self.sizes, dim=-1)
        one, other = (top, bottom) if self.downwards else (bottom, top)
        return self.first.log_prob(one) + self.then(one).log_prob(other)


def sizes_of(group: str, event_shape: Sequence[int], top: int) -> tuple[int, int]:
    """p₁ and p₂, for z of shape (p₁ + p₂,) and p₂ = `top`. `group` is the group of the keys in errors."""
    check_whole(f"{group}.top", top, 1)
    if len(event_shape) != 1 or top >= event_shape[0]:
        raise ValueError(
            f"{group}.top must be less than latent_dim, the size of z₁ and z₂ together, but is {top} and latent_dim is "
            f"{', '.join(map(str, event_shape))}; use a larger latent_dim"
        )
    return event_shape[0] - top, top


def gaussian_given(group: str, size: int, outputs: int, hidden: Sequence[int], min_std: float) -> nn.Sequential:
    """A tanh network and a Gaussian: (…, size) -> N(μ, diag σ²) over (outputs,), batch_shape (…)."""
    family = DiagonalGaussian((outputs,), check_number(f"{group}.min_std", min_std, 0), init_std=1.0)
    widths = [size, *hidden]
    layers = [part for pair in zip(widths, hidden, strict=False) for part in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], family.num_parameters), family)
