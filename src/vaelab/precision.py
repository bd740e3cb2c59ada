"""The precision of scores and of sums, which does not depend on the precision of training."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)

Module = TypeVar("Module", bound=nn.Module)


def sum_device(device: torch.device) -> torch.device:
    """The device for adding numbers up: their own, or the CPU if theirs has no float64, as on Apple's GPUs."""
    return device if device.type in ("cpu", "cuda") or has_float64(device.type) else torch.device("cpu")


@cache
def has_float64(device: str) -> bool:
    """True if a type of device has float64."""
    try:
        return torch.zeros(1, dtype=torch.float64, device=device).dtype == torch.float64
    except (RuntimeError, TypeError):
        return False


def double(values: Tensor) -> Tensor:
    """The values in float64, on the CPU if their device has no float64."""
    return values.to(sum_device(values.device)).double()


def add_up_examples(terms: Tensor) -> Tensor:
    """(…, B) -> (…): the sum over the examples, kept in float64."""
    return terms.to(sum_device(terms.device)).sum(-1, dtype=torch.float64)


def floating(values: Tensor, like: Tensor) -> Tensor:
    """Converts real numbers to the wider of their own dtype and the floating-point dtype of `like`.

    Raises:
        TypeError: the values are not a tensor of real numbers.
    """
    if isinstance(values, Tensor) and values.dtype == like.dtype:
        return values
    if not isinstance(values, Tensor) or values.is_complex():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"data must be a tensor of real numbers, but is {kind}; use torch.as_tensor")
    return values.to(torch.promote_types(values.dtype, like.dtype))


def least_single(values: Tensor) -> Tensor:
    """The values in float32 if they are in half precision, or else unchanged."""
    return values.float() if values.dtype in HALF else values


def widest(values: Tensor) -> Tensor:
    """The values in float64 on their own device, or at least in float32 if it has no float64."""
    return values.double() if sum_device(values.device) == values.device else least_single(values)


@contextmanager
def full_precision(module: Module) -> Iterator[Module]:
    """Gives the module in float32 or better: a copy if its weights are in half precision. Autocast is off inside."""
    device = device_of(module)
    half = any(tensor.dtype in HALF for tensor in chain(module.parameters(), module.buffers()))
    with torch.autocast(device.type, enabled=False):
        yield deepcopy(module).float() if half else module


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's numbers, or the CPU if it has none."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))


def in_full(number: Tensor) -> str:
    """A number () as text, with enough digits to tell it from every other number of its type.

    >>> in_full(torch.tensor(0.1)), in_full(torch.tensor(1 - 1e-7)), in_full(torch.tensor(3.0))
    ('0.1', '0.9999999', '3')
    """
    value = number.item()
    texts = (f"{value:.{digits}g}" for digits in range(6, 17))
    return next((text for text in texts if number.new_tensor(float(text)).item() == value), f"{value:.17g}")
