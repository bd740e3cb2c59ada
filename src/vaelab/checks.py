"""Checks of what people type: one sentence with the value, the cause and the cure."""

import math
from collections.abc import Iterable
from typing import Any

SPLITS = ("train", "val", "test")
LARGEST = 1e18  # its square is well inside float32
LARGEST_SEED = 2**32 - 1


def check_whole(name: str, value: Any, minimum: int) -> int:
    """`value` as it is.

    Raises:
        ValueError: it is not a whole number of at least `minimum`.
    """
    if type(value) is not int or value < minimum:
        raise ValueError(f"{name}={value!r} does not fit, because it must be a whole number of at least {minimum}")
    return value


def check_number(name: str, value: Any, minimum: float, above: bool = False, maximum: float = LARGEST) -> float:
    """`value` as a float.

    Raises:
        ValueError: it is not a number from `minimum` (greater than it, with `above`) to `maximum`.
    """
    if type(value) in (int, float) and maximum < value < math.inf:
        raise ValueError(f"{name}={value!r} does not fit, because it must be a number of at most {maximum:g}")
    if type(value) not in (int, float) or not (minimum < value < math.inf or (value == minimum and not above)):
        bound = "greater than" if above else "of at least"
        raise ValueError(f"{name}={value!r} does not fit, because it must be a number {bound} {minimum:g}")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """`value` as it is.

    Raises:
        ValueError: it is neither true nor false.
    """
    if type(value) is not bool:
        raise ValueError(f"{name}={value!r} does not fit, because it must be true or false")
    return value


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value` as it is.

    Raises:
        ValueError: it is none of the choices.
    """
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name}={value} is not known; use one of {', '.join(known)}")
    return str(value)


def check_seed(name: str, value: Any) -> int:
    """`value` as it is.

    Raises:
        ValueError: it is not a whole number from 0 to 2³² − 1.
    """
    if check_whole(name, value, 0) > LARGEST_SEED:
        raise ValueError(f"{name}={value!r} does not fit, because a seed must be at most {LARGEST_SEED}")
    return int(value)
