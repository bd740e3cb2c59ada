"""The kinds of values that a run's config may hold, and the kinds that a constructor's annotations admit."""

import inspect
import math
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

MOST = 1_000  # the most entries in a list
COLUMNS = 2**16  # the most columns in a table
LARGEST = 2**53  # the largest whole number: a float holds it exactly
THREADS = 256
WORD = r"[A-Za-z_]\w*"
METRIC = rf"{WORD}(/[\w.@-]+)?"  # the name of a curve, such as val/elbo
FIELD = rf"\{{{METRIC}(:\d?(\.\d)?[a-z]?)?\}}"  # a placeholder in the name of a checkpoint
FILE = rf"([\w .=+,-]|{FIELD})*"


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        phrase: the requirement in words, after "must be".
        holds: (value, the run's folder) -> True if the value is of this kind.
    """

    phrase: str
    holds: Callable[[Any, Path], bool]

    def __or__(self, other: "Kind") -> "Kind":
        return Kind(
            f"{self.phrase} or {other.phrase}", lambda value, at: self.holds(value, at) or other.holds(value, at)
        )


def is_text(value: Any) -> bool:
    """True if a value is a string without placeholders: no `${…}`, and not OmegaConf's `???`."""
    return type(value) is str and len(value) <= 4096 and "${" not in value and value != "???"


def is_inside(value: Any, folder: Path) -> bool:
    """True if a value is the absolute path of a run's folder or of something in it, without `..` or similar."""
    if not is_text(value) or os.path.normpath(value) != value:
        return False
    rest = value.removeprefix(str(folder))
    return value == str(folder) or (rest != value and rest.startswith(os.sep) and not re.search(r"[{}$~]", rest))


def _matches(pattern: str) -> Callable[[Any, Path], bool]:
    return lambda value, at: is_text(value) and bool(re.fullmatch(pattern, value)) and ".." not in value


def _is_number(value: Any) -> bool:
    return (type(value) is int and abs(value) <= LARGEST) or (type(value) is float and math.isfinite(value))


def choice(*names: str) -> Kind:
    """One of some words."""
    return Kind(f"one of {', '.join(names)}", lambda value, at: type(value) is str and value in names)


def whole(minimum: int, maximum: int = LARGEST) -> Kind:
    """A whole number from `minimum` to `maximum`."""
    return Kind(
        f"a whole number from {minimum} to {maximum}",
        lambda value, at: type(value) is int and minimum <= value <= maximum,
    )


def listed(kind: Kind, most: int = MOST) -> Kind:
    """A list of at most `most` entries of one kind."""
    return Kind(
        f"a list of at most {most} entries, each {kind.phrase}",
        lambda value, at: (
            type(value) in (list, tuple) and len(value) <= most and all(kind.holds(inner, at) for inner in value)
        ),
    )


def table(kind: Kind, most: int = MOST) -> Kind:
    """A table of at most `most` entries of one kind, with texts as keys."""
    return Kind(
        f"a table of at most {most} names, each with {kind.phrase}",
        lambda value, at: (
            type(value) is dict
            and len(value) <= most
            and all(is_text(name) and not name.startswith("_") for name in value)
            and all(kind.holds(inner, at) for inner in value.values())
        ),
    )


NOTHING = Kind("null", lambda value, at: value is None)
FLAG = Kind("true or false", lambda value, at: type(value) is bool)
NUMBER = Kind("a finite number", lambda value, at: _is_number(value))
WHOLE = whole(-LARGEST)
TEXT = Kind("text without ${…}", lambda value, at: is_text(value))
COLUMN = Kind("text of at most 4096 characters", lambda value, at: type(value) is str and len(value) <= 4096)
NAME = Kind("a plain name, without a path in it", _matches(r"[\w .=+,-]*"))
FILE_NAME = Kind("a plain name, in which {…} may name a curve", _matches(FILE))
CURVE = Kind("the name of a curve, such as val/elbo", _matches(METRIC))
INSIDE = Kind("a folder inside the run's own", is_inside)
SOURCE = Kind(
    "an absolute path without ${…}", lambda value, at: is_text(value) and os.path.isabs(value) and "\0" not in value
)
SHAPE = Kind(
    "a list of 1 to 8 whole numbers",
    lambda value, at: listed(whole(1)).holds(value, at) and 1 <= len(value) <= 8 and math.prod(value) <= LARGEST,
)
DURATION = Kind("a time such as 00:01:30:00", _matches(r"\d+(:\d+){3}"))
DURATIONS = Kind(
    "a table of days, hours, minutes and seconds",
    lambda value, at: (
        type(value) is dict
        and all(type(key) is str and re.fullmatch(WORD, key) and _is_number(inner) for key, inner in value.items())
    ),
)

OBJECT = Kind("a table of keys with a _target_", lambda value, at: type(value) is dict and "_target_" in value)

Kinds = Mapping[str, Kind]


def kinds_of(constructor: type) -> dict[str, Kind]:
    """The kind of each argument of a vaelab constructor, from its annotation. Configs may hold no other arguments."""
    hints = get_type_hints(constructor.__init__)  # type: ignore[misc]
    found = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and (kind := _kind_of(hints.get(name))):
            found[name] = kind
    return found


def _kind_of(hint: Any) -> Kind | None:
    simple = {bool: FLAG, int: WHOLE, float: NUMBER, str: TEXT, type(None): NOTHING, Path: SOURCE}
    if hint in simple:
        return simple[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return choice(*inner)
    if origin in (Union, types.UnionType):
        return _either([each for each in inner if not (each is str and Path in inner)])
    if isinstance(origin, type) and issubclass(origin, Sequence):
        entry = _either([each for each in inner if each is not Ellipsis])
        return entry and listed(entry)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        value = _kind_of(inner[1])
        return value and table(value)
    return OBJECT if isinstance(hint, type) and _is_module(hint) else None


def _is_module(hint: type) -> bool:
    from torch import nn  # here, because a sweep reads the tables of constructors without torch

    return issubclass(hint, nn.Module)


def _either(hints: Sequence[Any]) -> Kind | None:
    kinds = [_kind_of(hint) for hint in hints]
    known = [kind for kind in kinds if kind is not None]
    return reduce(or_, known) if known and len(known) == len(kinds) else None
