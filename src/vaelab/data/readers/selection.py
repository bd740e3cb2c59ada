"""Chooses columns of a table: those of x, those that are left out, and a label."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.columns import check_model_columns
from vaelab.data.wording import counted, listed
from vaelab.escapes import for_terminal

Key = str | int

LONGEST = 100  # the most letters of a label that are kept
LISTED = 20  # the most columns that a key to type lists


class Labelled(NamedTuple):
    """Some rows of a table, and the label of each row.

    Attributes:
        numbers: (m, columns), as in a `Source`.
        label: (m,), numbers with NaN for a missing one, or text with "" for a missing one.
    """

    numbers: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Selection:
    """The columns of a table that are read, by name, or by number from 0 if the table has no names.

    A number may be negative: it then counts from the last column, -1.

    Args:
        columns: the columns of x, in this order; None takes all except `drop` and `label`.
        drop: columns to leave out.
        label: a column of text or numbers that is read beside x.
        condition: the columns of a condition, which are read after those of x, in the same rows.
        model: the names of a trained model's columns, with those of its condition. Then the other keys are ignored,
            other columns are left out, and the file need not have the label.
        trained: True if the file is for a trained model, with or without names.
        width: how many columns a trained model without names has; 0 if that is unknown.
    """

    columns: tuple[Key, ...] | None = None
    drop: tuple[Key, ...] = ()
    label: Key | None = None
    condition: tuple[str, ...] = ()
    model: tuple[str, ...] | None = None
    trained: bool = False
    width: int = 0

    def without_condition(self, model: tuple[str, ...] | None) -> "Selection":
        """The same columns without those of the condition, for a trained model whose x has these names."""
        return replace(self, condition=(), model=model)

    @property
    def named(self) -> set[Key]:
        """All columns that are asked for by name or number."""
        return {*(self.model or self.columns or ()), *self.condition, self.label} - {None}  # type: ignore[return-value]


class Chosen(NamedTuple):
    """The chosen columns of a file, counted from 0.

    Attributes:
        x: the columns of x, and then those of the condition.
        label: the column of labels, if there is one.
        facts: which columns are left out, for the report.
    """

    x: tuple[int, ...]
    label: int | None
    facts: list[str]


def choose(selection: Selection, names: Sequence[str] | None, width: int, path: Path) -> Chosen:
    """Finds the selected columns among the columns of a file.

    Raises:
        UnreadableFile: a key names a column that does not exist, a column is asked for twice, or none is left.
    """
    x, label = _find_all(selection, names, width, path)
    titles = _titles(names, width)
    facts = [] if label is None else [f"the label is {titles[label]}"]
    facts += [f"the condition is {listed(selection.condition)}"] if selection.condition else []
    if left_out := [title for index, title in enumerate(titles) if index not in x and index != label]:
        facts.append(f"left out {counted(len(left_out), 'column')} ({listed(left_out)})")
    return Chosen(x, label, facts)


def _find_all(
    selection: Selection, names: Sequence[str] | None, width: int, path: Path
) -> tuple[tuple[int, ...], int | None]:
    """The columns of x and the label, counted from 0."""
    if selection.trained:
        return _find_for_model(selection, names, width, path)
    label = None if selection.label is None else _find("data.label", selection.label, names, width, path)
    dropped = {_find("data.drop", key, names, width, path) for key in selection.drop}
    kept = [_find("data.columns", key, names, width, path) for key in selection.columns or ()]
    given = [_find("condition", key, names, width, path) for key in selection.condition]
    title = _titles(names, width)
    if twice := [title[index] for index in {*kept} if kept.count(index) > 1]:
        raise UnreadableFile(
            f"data.columns must name each column once, but names {listed(twice)} several times; remove the copies"
        )
    if label is not None and label in {*kept, *dropped, *given}:
        key = "data.columns" if label in kept else "data.drop" if label in dropped else "condition"
        why = "the model does not see it" if key != "condition" else "it only colours the pictures"
        raise UnreadableFile(
            f"data.label must be a column that is not in {key}, because {why}, but is {title[label]}; remove it from "
            f"{key}"
        )
    if both := [title[index] for index in given if index in {*kept, *dropped}]:
        key = "data.columns" if both[0] in {title[index] for index in kept} else "data.drop"
        raise UnreadableFile(
            f"condition must name columns that are not in {key}, because they are no part of x, but names "
            f"{listed(both)}; remove {'it' if len(both) == 1 else 'them'} from {key}"
        )
    if selection.columns is None:
        kept = [index for index in range(width) if index != label and index not in given]
    kept = [index for index in kept if index not in dropped]
    if not kept:
        raise UnreadableFile(
            f"at least one column must be left to train on, but {path} has only {listed(title)}, and data.columns, "
            "data.drop, data.label and condition leave none; drop fewer"
        )
    return (*kept, *given), label


def _find_for_model(
    selection: Selection, names: Sequence[str] | None, width: int, path: Path
) -> tuple[tuple[int, ...], int | None]:
    """The columns of a trained model, in its order. A file need not have what the model does not use."""
    if selection.model is not None and names is not None:
        _check_condition(selection, names, path)
        check_model_columns(names, selection.model, str(path))
        place = {name: index for index, name in enumerate(names)}
        label = None if selection.label in selection.model else place.get(str(selection.label))
        return tuple(place[name] for name in selection.model), label
    if selection.model is not None or width == selection.width:  # the model checks how many numbers a row has
        return tuple(range(width)), None
    return _find_all(replace(selection, trained=False), None, width, path)


def _check_condition(selection: Selection, names: Sequence[str], path: Path) -> None:
    if missing := [name for name in selection.condition if name not in names]:
        raise UnreadableFile(
            f"the columns of the model's condition ({listed(selection.condition)}) must be in the file, but {path} "
            f"lacks {listed(missing)}; add them, or give all of the condition to a vaelab command, such as --condition "
            "age=30,sex=f"
        )


def _find(key: str, wanted: Key, names: Sequence[str] | None, width: int, path: Path) -> int:
    """The index of a column, from 0."""
    if names is not None:
        if str(wanted) in names:
            return list(names).index(str(wanted))
        raise UnreadableFile(_no_such(key, wanted, names, path))
    if type(wanted) is int and -width <= wanted < width:
        return wanted % width
    raise UnreadableFile(
        f"{key} must be a number from 0 to {width - 1}, because {path} has {width} columns without names, but is "
        f"{wanted}; use a number, or add a line with names"
    )


def _no_such(key: str, wanted: Key, names: Sequence[str], path: Path) -> str:
    near = get_close_matches(str(wanted).casefold(), [name.casefold() for name in names], 1, 0.5)
    nearest = next((name for name in names if near and name.casefold() == near[0]), None)
    if type(wanted) is int and -len(names) <= wanted < len(names):
        nearest = names[wanted]
    cure = f"did you mean {for_terminal(nearest)}?" if nearest else "use one of these names"
    return f"{key} must name a column of {path} ({listed(names, 30)}), but is {wanted}; {cure}"


def _titles(names: Sequence[str] | None, width: int) -> list[str]:
    return list(names) if names is not None else [f"column {index}" for index in range(width)]


def assignment(key: str, names: Sequence[object]) -> str:
    """A key and its value, ready to be typed into a shell; only the key if there are very many values.

    >>> print(assignment("data.drop", ["id", "x1"]), assignment("data.label", ["petal, cm"]))
    data.drop=[id,x1] 'data.label="petal, cm"'
    """
    if len(names) > LISTED:
        return key
    words = _words(names)
    value = words[0] if len(words) == 1 else f"[{','.join(words)}]"
    return f"{key}={value}" if "[" in value and '"' not in value else shlex.quote(f"{key}={value}")


def kind_assignment(name: str, kind: str) -> str:
    """The key that sets the kind of a column, ready to be typed into a shell.

    >>> print(kind_assignment("sex", "category"))
    'data.kinds={sex:category}'
    >>> print(kind_assignment("größe, cm", "real"))
    'data.kinds=["größe, cm:real"]'
    """
    word, quoted = for_terminal(name), _words([f"{name}:{kind}"])[0]
    return shlex.quote(f"data.kinds={{{word}:{kind}}}" if _words([name]) == [word] else f"data.kinds=[{quoted}]")


def _words(names: Sequence[object]) -> list[str]:
    """Names as Hydra takes them: all in quotes if one of them needs quotes."""
    words = [for_terminal(str(name)) for name in names]
    if all(re.fullmatch(r"\w[\w-]*", word, re.ASCII) and not _is_special(word) for word in words):
        return words
    return ['"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words]


def _is_special(name: Any) -> bool:
    """True if Hydra reads a word as something else than text."""
    return name.lower() in ("true", "false", "null", "nan", "inf")
