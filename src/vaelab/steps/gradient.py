"""The gradient of one minibatch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.objectives import Terms
from vaelab.precision import add_up_examples
from vaelab.vae import VAE

Objective = Callable[..., Terms]  # (vae, x, target), and a condition for a conditional model -> per-example terms
Batch = tuple[Tensor, ...]  # (x, target) or (x, target, condition); a scheduled objective also gets β, the last one


@dataclass(frozen=True)
class WithBeta:
    """An objective whose last input is the current weight of its KL, so a traced gradient can read it in each step."""

    objective: Objective

    def __call__(self, vae: VAE, *inputs: Tensor) -> Terms:
        """x, target, any condition, and β () -> per-example terms."""
        *batch, beta = inputs
        return self.objective(vae, *batch, beta=beta)


def is_scheduled(objective: Objective) -> bool:
    """True if the weight of the objective's KL changes during a run."""
    return bool(getattr(objective, "is_scheduled", False))


class Gradient(NamedTuple):
    """The loss and the gradient of one minibatch, with respect to the parameters θ.

    Attributes:
        names: the names of the objective's terms.
        loss: the mean loss over the batch, (), nats.
        sums: the sum of each term over the batch, (terms,), nats, in float64.
        gradients: ∂loss/∂θ, in the order of `vae.parameters()`; None for a parameter that is frozen or unused.
    """

    names: tuple[str, ...]
    loss: Tensor
    sums: Tensor
    gradients: list[Tensor | None]


@torch.enable_grad()
def gradient(vae: VAE, objective: Objective, *batch: Tensor) -> Gradient:
    """x (B, *x), target (B, *t), and condition (B, c) for a conditional model -> the gradient of the mean loss."""
    terms = objective(vae, *batch)
    loss = terms.loss.mean()
    learned = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    found = _apart(learned, torch.autograd.grad(loss, learned, allow_unused=True))
    gradients = [next(found) if parameter.requires_grad else None for parameter in vae.parameters()]
    return Gradient(terms._fields, loss.detach(), add_up_examples(torch.stack(terms).detach()), gradients)


def _apart(parameters: Sequence[Tensor], values: tuple[Tensor | None, ...]) -> Iterator[Tensor | None]:
    """Gives each gradient its own memory, laid out like its parameter, as `backward` does.

    Fused optimisers read gradients in the parameter's memory order, and clipping writes to them.
    """
    seen = set()
    for parameter, value in zip(parameters, values, strict=True):
        if value is None:
            yield None
            continue
        place = value.untyped_storage().data_ptr()
        alike = value.stride() == parameter.stride() and place not in seen
        seen.add(place)
        yield value if alike else torch.empty_like(parameter).copy_(value)


def distinct(batch: Batch) -> Batch:
    """The tensors of a batch without repeats: only x if x is also the target."""
    return tuple({id(tensor): tensor for tensor in batch}.values())


def places(batch: Batch) -> tuple[int, ...]:
    """The index of each tensor of a batch in `distinct`: (0, 0) if x is the target."""
    order = {id(tensor): place for place, tensor in enumerate(distinct(batch))}
    return tuple(order[id(tensor)] for tensor in batch)


def kind(batch: Batch) -> tuple[object, ...]:
    """The properties of a batch that a traced gradient relies on. A batch of another kind needs another trace."""
    return (places(batch), *((tensor.shape, tensor.dtype, tensor.device) for tensor in distinct(batch)))
