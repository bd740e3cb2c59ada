"""A normalizing flow, for a posterior that need not be Gaussian."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.distributions.constraints import Constraint

from vaelab.checks import check_choice, check_number, check_whole, check_widths
from vaelab.families.family import Family, Support
from vaelab.families.normals import DiagonalNormal
from vaelab.precision import floating
from vaelab.torch_private import checks_distributions

COUPLING = 2  # zuko's inverse takes two passes: half of the dimensions, then the other half
MOST_TRANSFORMS = 100
LARGEST = 2**27  # the most numbers in the largest table that zuko makes for a coupling


class Flow(Family):
    """q(z|x): z = μ + σ·f(ε; h), ε ~ N(0, I), with an invertible network f (Rezende & Mohamed 2015, eq. 5).

    The encoder gives μ, σ and h for each example. f is a chain of couplings by zuko: rational-quadratic splines (Durkan
    et al. 2019, arxiv.org/abs/1906.04032) or affine maps (Dinh et al. 2017, arxiv.org/abs/1605.08803). A coupling
    changes one half of the dimensions, given the other half. A draw and its density therefore cost one pass, and so
    does the density at any other z. The flow starts as N(μ, diag σ²).

    There is no closed-form KL, so conf/posterior/flow.yaml sets `kl: monte_carlo`. The mean and the standard deviation
    are estimated from draws (`EstimatedMoments`).

    >>> q = Flow((3,), context=8)(torch.zeros(7, 14))
    >>> q.batch_shape, q.rsample((5,)).shape
    (torch.Size([7]), torch.Size([5, 7, 3]))

    Args:
        event_shape: (p,), the shape of z.
        context: the length of h.
        transforms: the number of couplings.
        hidden: the widths of the networks in each coupling.
        kind: `spline` or `affine`.
        bins: the number of pieces of each spline; `affine` ignores it.
        min_std: the floor of σ.

    Raises:
        ValueError: a number is out of range, the kind is unknown, z is not a vector, or zuko is not installed.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(
        self,
        event_shape: Sequence[int],
        context: int = 16,
        transforms: int = 3,
        hidden: Sequence[int] = (64,),
        kind: Literal["spline", "affine"] = "spline",
        bins: int = 8,
        min_std: float = 1e-4,
    ) -> None:
        super().__init__(event_shape)
        self.context = check_whole("posterior.context", context, 1)
        self.hidden = list(check_widths("posterior.hidden", hidden, "[64]"))
        self.transforms, self.kind, self.bins = transforms, kind, bins
        self.min_std = check_number("posterior.min_std", min_std, 0)
        options = transforms, self.hidden, kind, bins, context, COUPLING
        self.couplings = zuko_transform("posterior", self.event_shape, *options)
        self.num_parameters = 2 * self.event_size + context

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2p + context) numbers: the means, log σ, and h -> q, batch_shape (…)."""
        p = self.event_size
        loc, log_std, h = parameters.split([p, p, self.context], dim=-1)
        return ShiftedFlow(self.couplings(h), loc, self.min_std + log_std.exp())


class ShiftedFlow(Distribution):
    """z = μ + σ·f(ε), ε ~ N(0, I): log q(z) = log N(ε; 0, I) + log |det ∂ε/∂y| − Σ log σ, y = (z − μ) / σ.

    Args:
        inverse: f⁻¹, a transform over (p,) that gives ε and log |det ∂ε/∂y| for y.
        loc: μ, (…, p).
        scale: σ, (…, p).
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = True

    def __init__(self, inverse: Any, loc: Tensor, scale: Tensor) -> None:
        self.inverse, self.loc, self.scale = inverse, loc, scale
        normal = Normal(torch.zeros_like(loc), torch.ones_like(loc), validate_args=False)
        self.noise = DiagonalNormal(normal, 1, validate_args=False)
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, p)."""
        y: Tensor = self.inverse.inv(self.noise.rsample(torch.Size(sample_shape)))
        return self.loc + self.scale * y

    def rsample_and_log_prob(self, sample_shape: Sequence[int] = torch.Size()) -> tuple[Tensor, Tensor]:
        """z (*sample_shape, …, p) and log q(z) (*sample_shape, …), nats."""
        return self.from_noise(self.noise.rsample(torch.Size(sample_shape)))

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """ε (*sample_shape, …, p) -> z (*sample_shape, …, p) and log q(z) (*sample_shape, …), nats."""
        y, log_det = self.inverse.inv.call_and_ladj(noise)
        return self.loc + self.scale * y, self.noise.log_prob(noise) - log_det - self.scale.log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, p) -> (…), nats."""
        noise, log_det = self.inverse.call_and_ladj((floating(value, self.loc) - self.loc) / self.scale)
        return self.noise.log_prob(noise) + log_det - self.scale.log().sum(-1)


def zuko_transform(
    group: str,
    event_shape: Sequence[int],
    transforms: int,
    hidden: Sequence[int],
    kind: str,
    bins: int,
    context: int = 0,
    passes: int | None = None,
) -> nn.Module:
    """Returns a module that maps h, (…, context), to f⁻¹, a zuko transform over (p,).

    If `context` is 0, it takes no input. f starts as the identity. f⁻¹ takes one pass through each network, and f takes
    `passes`.

    Args:
        group: the group of the keys in errors, such as `prior`.
        event_shape: (p,).
        transforms: the number of transforms.
        hidden: the widths of the networks in each.
        kind: `spline` or `affine`.
        bins: the number of pieces of each spline.
        context: the length of h.
        passes: 2 for couplings; None for p, which is fully autoregressive.

    Raises:
        ValueError: see `Flow`.
    """
    if len(event_shape) != 1:
        raise ValueError(f"a flow's event_shape must be one number of dimensions, but is {tuple(event_shape)}")
    check_choice(f"{group}.kind", kind, ("spline", "affine"))
    if check_whole(f"{group}.transforms", transforms, 1) > MOST_TRANSFORMS:
        raise ValueError(f"{group}.transforms must be at most {MOST_TRANSFORMS}, but is {transforms}; 3 are usual")
    check_whole(f"{group}.bins", bins, 2)
    (p,), spline = event_shape, kind == "spline"
    _check_size(group, [p + context, *hidden, p * (3 * bins - 1 if spline else 2)], transforms)
    options: dict[str, Any] = {"transforms": transforms, "hidden_features": hidden, "passes": passes}
    options |= {"bins": bins} if spline else {}
    flows = zuko_flows(group)
    with torch.device("cpu"):  # zuko reads the values of its masks
        made: Any = (flows.NSF if spline else flows.MAF)(p, context, **options).transform
    for module in made.modules():  # zuko's modules depend only on their parameters and input
        module.pure = True
    return _starting_as_identity(made)


def _starting_as_identity(made: Any) -> nn.Module:
    for transform in made.transforms:
        last = transform.hyper[-1] if hasattr(transform, "hyper") else transform.phi
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
    module: nn.Module = made
    return module


def _check_size(group: str, widths: Sequence[int], transforms: int) -> None:
    """Raises a ValueError if the flow's tables would fill the memory."""
    numbers = transforms * max(widths[-1] * widths[0], *(a * b for a, b in pairwise(widths)))
    if numbers > LARGEST:
        raise ValueError(
            f"{group}=flow must need at most {LARGEST:,} numbers, but needs {numbers:,}; use fewer latents, "
            f"smaller {group}.hidden, or fewer {group}.bins or {group}.transforms"
        )


def zuko_flows(group: str) -> Any:
    """Imports and returns zuko.flows, for the key `group`=flow.

    Importing zuko switches off torch's argument checks for all distributions. This restores the setting afterwards.

    Raises:
        ValueError: zuko is not installed.
    """
    checks = checks_distributions()
    try:
        import zuko.flows
    except ImportError as error:
        raise ValueError(f'{group}=flow needs zuko, which is not installed; run pip install "zuko>=1.6,<2"') from error
    finally:
        Distribution.set_default_validate_args(checks)
    return zuko.flows
