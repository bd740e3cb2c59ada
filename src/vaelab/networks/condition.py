"""Joins a network's input and its condition."""

import torch
from torch import Tensor

from vaelab.precision import floating


def in_dtype_of(weight: Tensor, values: Tensor) -> Tensor:
    """Real numbers of any dtype, in the dtype of a network's weights."""
    return floating(values, weight).to(weight.dtype)


def with_condition(flat: Tensor, condition: Tensor | None, condition_size: int) -> Tensor:
    """(…, n) and a condition (…, c) -> (…, n + c). The condition's leading dimensions may be fewer.

    Raises:
        ValueError: there must be no condition but there is one, or the other way round, or its shape does not fit.
    """
    if condition is None and not condition_size:
        return flat
    if condition is None or condition.shape[-1] != condition_size:
        found = "there is none" if condition is None else f"its shape is {tuple(condition.shape)}"
        needed = f"have the shape (…, {condition_size})" if condition_size else "be left out"
        raise ValueError(f"condition must {needed}, but {found}; pass the condition that the model was built for")
    leading = flat.shape[:-1]
    if condition.shape[:-1] not in (leading[skipped:] for skipped in range(len(leading) + 1)):
        raise ValueError(
            f"condition must fit the leading dimensions {tuple(leading)} of the network's input, but has the shape "
            f"{tuple(condition.shape)}; give one condition for each example"
        )
    return torch.cat([flat, in_dtype_of(flat, condition).expand(*leading, -1)], dim=-1)
