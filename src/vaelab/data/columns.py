"""Checks the names of columns, and puts the columns of a file into the order of a model."""

import logging
from collections import Counter
from collections.abc import Sequence

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.wording import listed
from vaelab.escapes import for_terminal

log = logging.getLogger(__name__)


def check_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Returns the names without surrounding spaces.

    Raises:
        UnreadableFile: a column has no name, or two have the same name.
    """
    names = tuple(name.strip() for name in names)
    if "" in names:
        raise UnreadableFile(
            f"every column must have a name, but column {names.index('') + 1} of {what} has none; name it, or remove it"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UnreadableFile(
            f"every column must have a different name, but {what} has several called {listed(twice)}; rename them"
        )
    return names


def order_columns(
    found: Sequence[str] | None, wanted: Sequence[str] | None, path: str, strict: bool = True
) -> list[int] | None:
    """The index in a file of each of the model's columns; None if the columns are used in the order of the file.

    Args:
        found: the names in the file, in its order; None if it has none, which logs a warning.
        wanted: the names of the model's columns, in the model's order; None if they have no names.
        path: the file, for the messages.
        strict: refuse other names. If False, a warning says which columns are used for which.

    Raises:
        ValueError: `strict`, and a column of the model is missing or the file has another column.
    """
    if wanted is None or (found is None and not strict):
        return None
    if found is None:
        log.warning(
            "%s does not name its columns, so they must be the model's columns in this order: %s",
            for_terminal(path),
            listed(wanted),
        )
        return None
    place = {name: index for index, name in enumerate(found)}
    missing = [name for name in wanted if name not in place]
    unknown = [name for name in found if name not in set(wanted)]
    if (missing or unknown) and not strict:
        log.warning("the columns %s of %s were used as %s", listed(found), for_terminal(path), listed(wanted))
        return None
    if missing or unknown:
        raise ValueError(_difference(missing, unknown, wanted, path, _plain(missing) & _plain(unknown)))
    order = [place[name] for name in wanted]
    if order != sorted(order):
        log.info("the columns of %s were reordered to match the model: %s", for_terminal(path), listed(wanted))
    return order


def check_model_columns(found: Sequence[str], wanted: Sequence[str], path: str) -> None:
    """Raises `UnreadableFile` if a file lacks a column of the model. It may have others.

    Args:
        found: the names in the file.
        wanted: the names of the model's columns.
        path: the file, for the error.
    """
    if missing := [name for name in wanted if name not in set(found)]:
        raise UnreadableFile(_difference(missing, [], wanted, path, _plain(missing) & _plain(found)))


def _difference(
    missing: Sequence[str], unknown: Sequence[str], wanted: Sequence[str], path: str, alike: set[str]
) -> str:
    faults = [f"lacks {listed(missing)}"] * bool(missing) + [f"also has {listed(unknown)}"] * bool(unknown)
    hint = " (some differ only in capitals, spaces or punctuation)" if alike else ""
    return (
        f"the columns must be those of the model ({listed(wanted)}), but {for_terminal(path)} {' and '.join(faults)}"
        f"{hint}; rename or remove columns until they match"
    )


def _plain(names: Sequence[str]) -> set[str]:
    return {"".join(filter(str.isalnum, name.casefold())) for name in names}
