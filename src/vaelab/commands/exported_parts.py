"""The two halves of a model as functions from tensors to tensors, which other programs can run."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, OneHotCategorical

from vaelab.commands.conditions import conditions_in_turn
from vaelab.families.mixture import StratifiedMixture
from vaelab.families.one_hot import OneHots
from vaelab.families.reshaped import Reshaped
from vaelab.precision import HALF
from vaelab.runs.run import Run


class LeftOut(ValueError):
    """Raised if a part cannot be exported. The message is the reason."""


class Part(nn.Module):
    """A half of a model: a tensor, and a condition if the model has one -> the numbers of a distribution.

    Args:
        conditional: the model's encoder or decoder.
        inputs: the names of its inputs.
    """

    def __init__(self, conditional: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.conditional = conditional
        self.inputs = list(inputs)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The inputs, each with the batch in front -> the values of `numbers`."""
        return tuple(self.numbers(*given).values())

    def numbers(self, *given: Tensor) -> dict[str, Tensor]:
        """What the part computes: name -> (B, …)."""
        return numbers_of(self.distribution(*given))

    def distribution(self, *given: Tensor) -> Distribution:
        """The distribution itself."""
        found: Distribution = self.conditional(*given)
        return found


class Draws(Part):
    """A half without moments in closed form, such as a flow: also takes noise ~ N(0, I), and gives z and log q(z|x)."""

    def numbers(self, *given: Tensor) -> dict[str, Tensor]:
        """z (B, p), and log_q (B,), nats."""
        *given_to_model, noise = given
        flow: Any = self.distribution(*given_to_model)
        z, log_q = flow.base.from_noise(noise)
        return {"z": z, "log_q": log_q}


def numbers_of(distribution: Distribution) -> dict[str, Tensor]:
    """The numbers that describe a distribution: name -> (B, …).

    `mean` and `std`; for binary numbers `mean`, the probability of a 1, and `logits`; for categories `probs`; with a
    full covariance also `scale_tril`, the Cholesky factor of the flattened event; and for a mixture of Gaussians also
    `weights`, `means` and `stds` of the components.

    Raises:
        LeftOut: the mean and the standard deviation have no closed form.

    >>> from vaelab.families import FullGaussian
    >>> list(numbers_of(FullGaussian((3,))(torch.zeros(7, 9))))
    ['mean', 'std', 'scale_tril']
    """
    base: Any = distribution
    while isinstance(base, Independent | Reshaped):
        base = base.base_dist if isinstance(base, Independent) else base.base
    if isinstance(base, Categorical | OneHotCategorical | OneHots):
        return {"probs": base.probs}
    if isinstance(base, Bernoulli):
        return {"mean": base.probs, "logits": base.logits}
    if hasattr(distribution, "moments_by"):
        raise LeftOut("its mean and standard deviation have no closed form, and estimates from draws cannot be written")
    found = {"mean": distribution.mean, "std": distribution.stddev}
    if isinstance(base, StratifiedMixture):
        parts = base.component_distribution
        return found | {"weights": base.mixture_distribution.probs, "means": parts.mean, "stds": parts.stddev}
    factor = getattr(base, "scale_tril", None)
    return found if factor is None else found | {"scale_tril": factor}


@torch.no_grad()
def parts_of(run: Run, single: bool = False) -> dict[str, Part]:
    """The encoder and the decoder of a run: copies on the CPU, in float32, or in float64 if the run has that.

    Args:
        run: the run.
        single: always use float32.
    """
    vae = deepcopy(run.vae).cpu().eval().requires_grad_(False)
    if single or next(vae.parameters()).dtype in HALF:
        vae = vae.float()
    more = ["condition"] if run.condition_shape else []
    encoder = Part(vae.encoder, ["x", *more])
    q: Any = encoder.distribution(*examples_for(run, encoder, 2))
    if hasattr(q, "moments_by") and hasattr(getattr(q, "base", None), "from_noise"):
        encoder = Draws(vae.encoder, ["x", *more, "noise"])
    return {"encoder": encoder, "decoder": Part(vae.decoder, ["z", *more])}


@torch.no_grad()
def examples_for(run: Run, part: Part, count: int) -> tuple[Tensor, ...]:
    """Inputs for a part that the model could meet, one for each of its names.

    z and the noise are draws of p(z) and of N(0, I). x is drawn from the model too, or noise of the right scale if x
    is not the target.

    Args:
        run: the run.
        part: its encoder or its decoder.
        count: the number of examples.
    """
    like = next(part.parameters())
    make = {"x": _x, "z": _z, "noise": _noise, "condition": _condition}
    return tuple(make[name](run, count).to(like) for name in part.inputs)


def _x(run: Run, count: int) -> Tensor:
    if run.x_shape == run.target_shape:
        return run.vae.sample(count, conditions_in_turn(run, 0, count))
    network: Any = run.vae.encoder.network
    loc, scale = (getattr(network, name, torch.tensor(value)).cpu() for name, value in (("loc", 0.0), ("scale", 1.0)))
    return loc + scale * torch.randn(count, *run.x_shape)


def _z(run: Run, count: int) -> Tensor:
    return run.vae.sample_prior(count, conditions_in_turn(run, 0, count))


def _noise(run: Run, count: int) -> Tensor:
    return torch.randn(count, *run.vae.latent_shape)


def _condition(run: Run, count: int) -> Tensor:
    found = conditions_in_turn(run, 0, count)
    assert found is not None  # only parts of a conditional model ask for it
    return found
