"""The two halves of a model as functions from tensors to tensors, which other programs can run."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, OneHotCategorical

from vaelab.commands.conditions import class_names, classes_in_turn
from vaelab.families.reshaped import Reshaped
from vaelab.precision import HALF
from vaelab.runs.run import Run


class LeftOut(ValueError):
    """Raised if a part cannot be exported. The message is the reason."""


class Part(nn.Module):
    """A half of a model: a tensor, and a condition if the model has one -> the numbers of a distribution.

    Args:
        conditional: the model's encoder or decoder, (…) -> Distribution.
    """

    def __init__(self, conditional: nn.Module) -> None:
        super().__init__()
        self.conditional = conditional

    def forward(self, given: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, *input), and (B, c) for a conditional model -> the values of `numbers_of`."""
        return tuple(numbers_of(self.distribution(given, condition)).values())

    def distribution(self, given: Tensor, condition: Tensor | None = None) -> Distribution:
        """The distribution itself."""
        found: Distribution = self.conditional(given) if condition is None else self.conditional(given, condition)
        return found


def numbers_of(distribution: Distribution) -> dict[str, Tensor]:
    """The numbers that describe a distribution: name -> (B, …).

    `mean` and `std`; for categories their `probs`; and with a full covariance `scale_tril`, the Cholesky factor of the
    flattened event. If the data are binary, the mean is the probability of a 1.

    Raises:
        LeftOut: the mean and the standard deviation have no closed form.

    >>> from vaelab.families import FullGaussian
    >>> list(numbers_of(FullGaussian((3,))(torch.zeros(7, 9))))
    ['mean', 'std', 'scale_tril']
    """
    base: Any = distribution
    while isinstance(base, Independent | Reshaped):
        base = base.base_dist if isinstance(base, Independent) else base.base
    if isinstance(base, Categorical | OneHotCategorical):
        return {"probs": base.probs}
    if hasattr(distribution, "moments_by"):
        raise LeftOut("its mean and standard deviation have no closed form, and draws cannot be exported")
    found = {"mean": distribution.mean, "std": distribution.stddev}
    factor = getattr(base, "scale_tril", None)
    return found if factor is None else found | {"scale_tril": factor}


@torch.no_grad()
def outputs_of(part: Part, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """What a part computes: name -> (B, …)."""
    return numbers_of(part.distribution(*inputs))


def parts_of(run: Run) -> dict[str, Part]:
    """The encoder and the decoder of a run: copies on the CPU, in float32 or better."""
    vae = deepcopy(run.vae).cpu().eval()
    if next(vae.parameters()).dtype in HALF:
        vae = vae.float()
    return {"encoder": Part(vae.encoder), "decoder": Part(vae.decoder)}


def input_names(run: Run, part: str) -> list[str]:
    """The names of a part's inputs."""
    return ["x" if part == "encoder" else "z", *(["condition"] if run.condition_shape else [])]


@torch.no_grad()
def examples_for(run: Run, parts: Mapping[str, Part], count: int) -> dict[str, tuple[Tensor, ...]]:
    """Inputs for each part that the model could meet: z ~ p(z), and x drawn from p(t|z), or noise if x is no target.

    Args:
        run: the run.
        parts: its parts.
        count: the number of examples.
    """
    decoder = parts["decoder"]
    like = next(decoder.parameters())
    z = run.vae.prior().sample(torch.Size((count,))).to(like)
    condition = () if not run.condition_shape else (_classes(run, count).to(like),)
    if run.x_shape == run.target_shape:
        x = decoder.distribution(z, *condition).sample().to(like)
    else:
        network: Any = parts["encoder"].conditional
        network = getattr(network, "network", network)
        loc, scale = (getattr(network, name, like.new_tensor(value)) for name, value in (("loc", 0), ("scale", 1)))
        x = loc + scale * torch.randn(count, *run.x_shape).to(like)
    return {"encoder": (x, *condition), "decoder": (z, *condition)}


def _classes(run: Run, count: int) -> Tensor:
    return classes_in_turn(run.vae, len(class_names(run)), 0, count)
