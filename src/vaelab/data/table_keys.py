"""Checks the keys of `data=table` that choose columns and say what they hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from vaelab.checks import check_choice, check_flag
from vaelab.data.column_kinds import KINDS
from vaelab.data.readers.selection import Key
from vaelab.data.row_checks import WANTED
from vaelab.data.wording import listed

STANDARDIZED = ("real", "count", "mixed")  # the likelihoods whose encoder sees standardised numbers
MOST_KEYS = 1_000  # as many as the config of a saved run may list


def standardizes(standardize: bool | None, support: str) -> bool:
    """True if the model standardises the columns.

    Raises:
        ValueError: it must, but the likelihood scores no real numbers.
    """
    if standardize is None:
        return support in STANDARDIZED
    if check_flag("data.standardize", standardize) and support not in STANDARDIZED:
        raise ValueError(
            f"data.standardize must be null or false for a likelihood of {support} data, because standardised numbers "
            f"are no longer {WANTED[support]}, but is true; leave it out, or use a likelihood for real numbers such as "
            "model=gaussian"
        )
    return standardize


def column_keys(name: str, given: Any) -> tuple[Key, ...]:
    """A list of columns, each a name or a number."""
    keys = [given] if isinstance(given, str | int | float) else given
    if not isinstance(keys, Sequence):
        raise ValueError(f"{name} must be a list of columns, but is {given!r}; use a list such as [age,height]")
    if len(keys) > MOST_KEYS:
        raise ValueError(
            f"{name} may name at most {MOST_KEYS:,} columns, but names {len(keys):,}; use data.columns or data.drop, "
            "whichever is shorter, or a file without these columns"
        )
    return tuple(column_key(name, key) for key in keys)


def column_key(name: str, key: Any) -> Key:
    """A column's name, or its number. Hydra hands over names such as 1.5 and true as a float and a bool."""
    if type(key) in (bool, float):
        return str(key).lower()
    if type(key) not in (str, int):
        raise ValueError(f"{name} must name columns by text or number, but holds {key!r}; use a name in the file")
    return key.strip() if isinstance(key, str) else key


def column_kinds(given: Any, used: bool) -> dict[str, str]:
    """The kinds of columns that the user has set: name -> kind.

    Args:
        given: `data.kinds`: a table such as {age: count}; or a list of texts such as ["größe, cm:real"], because Hydra
            takes no quotes around the names in a table.
        used: True if the kinds of columns matter.
    """
    pairs = given.items() if isinstance(given, Mapping) else _pairs(given or ())
    found = {str(column_key("data.kinds", key)): kind for key, kind in pairs}
    for name, kind in found.items():
        if kind not in KINDS:
            check_choice(f"data.kinds for {name}", kind, KINDS)
    if found and not used:
        raise ValueError(
            f"data.kinds must be null, because only model=columns and a condition of columns use it, but names "
            f"{listed([*found])}; leave it out, or use model=columns"
        )
    return found


def _pairs(given: Any) -> list[tuple[str, str]]:
    """The names and kinds in a list of texts NAME:KIND."""
    texts = [each if isinstance(each, str) else "" for each in given] if isinstance(given, list | tuple) else [""]
    pairs = [text.rpartition(":") for text in texts]
    if wrong := [text for text, (name, colon, _) in zip(texts, pairs, strict=True) if not (name and colon)]:
        raise ValueError(
            f"data.kinds must name the kind of each of its columns, but is {given!r}"
            f"{f' with {wrong[0]!r}' if wrong[0] else ''}; write 'data.kinds={{age:count}}', or "
            "'data.kinds=[\"age:count\"]' if a name has spaces or letters beyond ASCII"
        )
    return [(name, kind.strip()) for name, _, kind in pairs]
