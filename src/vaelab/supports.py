"""The kinds of numbers that likelihoods score, and which numbers are of another kind."""

import torch
from torch import Tensor

DISCRETE = ("binary", "count", "levels", "category")  # log p is a log-probability
HALF = (torch.float16, torch.bfloat16)  # they do not hold 256 levels
STEP = 1e-3  # of a grey level: k/255 in float32 is never off by more


def outside(x: Tensor, support: str, count: int | None = None) -> Tensor:
    """A mark for each number that is not of a kind, in the shape of x.

    >>> outside(torch.tensor([0.0, 0.5, 1.0, 2.0]), "levels", 3)
    tensor([False, False, False,  True])

    Args:
        x: numbers of any real dtype.
        support: the kind, one of `vaelab.families.Support`. Nothing is outside `real` and `mixed`.
        count: the number of grey levels of `levels`, or of classes of `category`; None for any number of classes.
    """
    if support == "binary":
        return (x != 0) & (x != 1)
    if support == "unit_interval":
        return (x < 0) | (x > 1)
    if support == "levels" and count is not None and x.dtype not in HALF:
        steps = x * (count - 1)
        return (x < 0) | (x > 1) | ((steps - steps.round()).abs() > STEP)
    if support in ("count", "category"):
        broken = (x < 0) | (x != x.round()) if x.is_floating_point() else x < 0
        return broken if support == "count" or count is None else broken | (x >= count)
    return torch.zeros_like(x, dtype=torch.bool)
