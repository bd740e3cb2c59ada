"""Scores a large batch in groups, for objectives whose loss depends on how many examples they see together."""

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.objectives.terms import Terms


def in_groups(of_group: Callable[..., Terms], size: int, *batch: Tensor | None) -> Terms:
    """Calls `of_group` with groups of about `size` examples, and joins the terms of each example, (B,).

    A batch of up to 1.5·size examples is one group. Training and validation then see groups of similar sizes, whatever
    the sizes of their batches are.

    >>> sizes = []
    >>> terms = in_groups(lambda x: sizes.append(len(x)) or Terms(*[x] * 5), 100, torch.zeros(512))
    >>> sizes, terms.loss.shape
    ([103, 103, 102, 102, 102], torch.Size([512]))

    Args:
        of_group: the tensors of a group that are not None -> terms.
        size: about how many examples a group has.
        batch: x, the target, and a condition or None; each (B, …).
    """
    given = [tensor for tensor in batch if tensor is not None]
    count = max(1, round(len(given[0]) / size))
    if count == 1:
        return of_group(*given)
    groups = zip(*(tensor.tensor_split(count) for tensor in given), strict=True)
    terms = [of_group(*group) for group in groups]
    return Terms(*map(torch.cat, zip(*terms, strict=True)))
