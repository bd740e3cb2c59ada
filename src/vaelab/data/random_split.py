"""Splits examples at random: some to train, some to validate and some to test."""

from typing import Any

import torch
from torch import Tensor

from vaelab.data.wording import counted


def check_size(name: str, size: Any, thing: str) -> int | float:
    """Returns the size of a split: a number of things such as `row`, or their fraction.

    Raises:
        ValueError: it is neither a whole number of at least 1 nor a fraction between 0 and 1.
    """
    if (type(size) is int and size >= 1) or (type(size) is float and 0 < size < 1):
        return size
    raise ValueError(
        f"{name} must be a whole number of {thing}s, at least 1, or a fraction between 0 and 1, but is {size!r}"
    )


def random_split(
    n: int, val_size: int | float, test_size: int | float, seed: int, source: str, thing: str
) -> list[Tensor]:
    """The indices of the training, validation and test examples, each ascending. Each split has at least one example.

    Args:
        n: the number of examples.
        val_size: the number of validation examples, or their fraction of all.
        test_size: the number of test examples, or their fraction of all.
        seed: the seed of the splits. Together with the three numbers above, it alone decides them.
        source: where the examples come from, for the error.
        thing: what an example is, such as `row`, for the error.

    Raises:
        ValueError: no examples are left to train on.

    >>> [len(part) for part in random_split(10, 0.25, 3, 0, "the file", "row")]
    [5, 2, 3]
    """
    n_val, n_test = (size if isinstance(size, int) else max(1, round(size * n)) for size in (val_size, test_size))
    if n_val + n_test >= n:
        raise ValueError(
            f"data.val_size={val_size} and data.test_size={test_size} must leave {thing}s to train on, but {source} "
            f"holds {counted(n, thing)}; use smaller ones, or more {thing}s"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return [part.sort().values for part in order.split([n - n_val - n_test, n_val, n_test])]
