"""Decides if a model and an objective may be traced, and if they have changed since they were."""

from collections.abc import Iterator
from traceback import walk_tb

from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.steps.gradient import Objective
from vaelab.torch_private import has_hooks, version
from vaelab.vae import VAE

KNOWN = (  # modules of torch that depend only on their parameters and input
    "torch.nn.modules.activation",
    "torch.nn.modules.container",
    "torch.nn.modules.conv",
    "torch.nn.modules.flatten",
    "torch.nn.modules.linear",
    "torch.nn.modules.normalization",  # of each example by itself, unlike batch normalisation
    "torch.nn.modules.padding",
    "torch.nn.modules.pixelshuffle",
    "torch.nn.modules.upsampling",
)


class NotPureError(ValueError):
    """A part declares `pure = True`, but its operations cannot be traced. The message begins with its class."""


def why_impure(vae: VAE, objective: Objective) -> str | None:
    """The reason why a gradient must not be traced; None if it may be.

    A trace repeats the tensor operations of one call, so every part must depend only on its parameters, its buffers and
    its input. A class declares this with `pure = True`, and a subclass must declare it again. So must objectives.
    """
    for part in (objective, *vae.modules()):
        if not _is_declared_pure(part):
            return f"{_name(part)} does not declare `pure = True`"
    for module in vae.modules():
        if has_hooks(module):
            return f"{type(module).__name__} has a hook"
    return None


def _is_declared_pure(part: object) -> bool:
    own = vars(part).get("pure", vars(type(part)).get("pure")) if hasattr(part, "__dict__") else None
    return own is True or (own is None and type(part).__module__.startswith(KNOWN))


def who_reads_values(error: BaseException, vae: VAE, objective: Objective) -> str:
    """The innermost part or distribution in an error's traceback, and if that is torch's, the class that uses it."""
    callers = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    parts = [part for part in callers if isinstance(part, nn.Module | Distribution) or part is objective]
    names = [_name(part) for part in (vae, *parts)][::-1]  # the innermost first
    own = next(name for name in names if not name.startswith("torch."))
    return own if names[0] == own else f"{names[0]} inside {own}"


def _name(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def signature(vae: VAE, objective: Objective) -> tuple[object, ...]:
    """Everything that must be unchanged when a traced gradient is replayed."""
    return (
        (objective, *_settings(objective)),
        *((id(parameter), parameter.requires_grad, parameter.device) for parameter in vae.parameters()),
        *((id(buffer), version(buffer), buffer.device) for buffer in vae.buffers()),
        *((id(module), *_settings(module)) for module in vae.modules()),
    )


def _settings(part: object) -> Iterator[object]:
    """The values that a formula may read besides parameters and buffers: `training`, the floor of a σ, a tensor, …"""
    for value in vars(part).values() if hasattr(part, "__dict__") else ():
        if isinstance(value, Tensor):
            yield id(value), version(value)
        elif isinstance(value, bool | int | float | str | tuple):
            yield value
