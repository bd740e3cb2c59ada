"""A model in evaluation mode for a while, because training may go on afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from vaelab.precision import Module, full_precision


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Sets all modules of a model to evaluation mode inside the block, and restores the mode of each afterwards.

    >>> model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with evaluation_mode(model):
    ...     [module.training for module in model]
    [False, False]
    >>> [module.training for module in model]
    [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def ready_to_score(model: Module) -> Iterator[Module]:
    """Gives a model in evaluation mode, and in float32 or better (`vaelab.precision.full_precision`)."""
    with evaluation_mode(model), full_precision(model) as full:
        yield full
