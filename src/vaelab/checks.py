"""Checks the values that people type. Each error says in one sentence what must hold, and what the value is."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")
LARGEST = 1e18  # its square is well inside float32
LARGEST_SEED = 2**32 - 1


def check_whole(name: str, value: Any, minimum: int) -> int:
    """Returns `value` unchanged.

    Raises:
        ValueError: the value is not a whole number of at least `minimum`.
    """
    if type(value) is not int or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, but is {value!r}")
    return value


def check_widths(name: str, widths: Sequence[int], example: str, least: int = 0) -> tuple[int, ...]:
    """The widths as a tuple.

    Args:
        name: the key, such as `network.hidden`, for the errors.
        widths: the widths.
        example: a list that works, for the errors.
        least: how many there must be at least.

    Raises:
        ValueError: it is no list of at least `least` whole numbers of at least 1.
    """
    if not isinstance(widths, Sequence) or isinstance(widths, str) or len(widths) < least:
        raise ValueError(f"{name} must be a list of widths such as {example}, but is {widths!r}")
    for width in widths:
        check_whole(f"a width in {name}", width, 1)
    return tuple(widths)


def check_number(name: str, value: Any, minimum: float, above: bool = False, maximum: float = LARGEST) -> float:
    """Returns `value` as a float.

    Raises:
        ValueError: the value is not a number from `minimum` to `maximum`. With `above`, it must exceed `minimum`.
    """
    if type(value) in (int, float) and maximum < value < math.inf:
        raise ValueError(f"{name} must be a number of at most {maximum:g}, but is {value!r}")
    if type(value) not in (int, float) or not (minimum < value < math.inf or (value == minimum and not above)):
        bound = "greater than" if above else "of at least"
        raise ValueError(f"{name} must be a number {bound} {minimum:g}, but is {value!r}")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """Returns `value` unchanged.

    Raises:
        ValueError: the value is neither true nor false.
    """
    if type(value) is not bool:
        raise ValueError(f"{name} must be true or false, but is {value!r}")
    return value


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns `value` unchanged.

    Raises:
        ValueError: the value is not one of the choices.
    """
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, but is {value}")
    return str(value)


def check_path(name: str, value: Any, what: str, cure: str) -> Path:
    """Returns a path, in which `~` is replaced by the home folder.

    Args:
        name: the name of the value, for the error.
        value: the path, as text or a `Path`.
        what: what it must name, for the error.
        cure: what to do otherwise, for the error.

    Raises:
        ValueError: the value is neither, or is empty.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{name} must name {what}, but is {'null' if value is None else repr(value)}; {cure}")
    return Path(value).expanduser()


def check_seed(name: str, value: Any) -> int:
    """Returns `value` unchanged.

    Raises:
        ValueError: the value is not a whole number from 0 to 2³² − 1.
    """
    if check_whole(name, value, 0) > LARGEST_SEED:
        raise ValueError(f"{name} must be a whole number of at most {LARGEST_SEED}, but is {value!r}")
    return int(value)
