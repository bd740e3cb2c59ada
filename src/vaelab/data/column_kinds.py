"""Finds out what kind of numbers each column of a table holds, and checks that it holds only these."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaelab.data.readers.categories import MOST, Categories, in_order, spelled
from vaelab.data.readers.selection import assignment, kind_assignment
from vaelab.data.row_checks import Where
from vaelab.data.wording import listed
from vaelab.escapes import for_terminal
from vaelab.precision import in_full
from vaelab.supports import outside

KINDS = ("real", "count", "category", "binary")
DISTINCT = 20  # whole numbers are categories if they take at most this many values,
REPEATED = 5  # each at least this often on average
RULE = (
    f"only 0 and 1 is binary, text is a category, whole numbers are counts if the smallest is 0, and otherwise "
    f"categories if there are at most {DISTINCT} different ones"
)
WANTED = {"count": "whole numbers from 0", "binary": "only 0 and 1", "category": "the numbers of its categories"}


class Column(NamedTuple):
    """What a column of a table holds.

    Attributes:
        name: its name.
        kind: `real`, `count`, `category` or `binary`.
        categories: the names of its categories, in the order of their codes; empty for other kinds.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()


def find_column(values: Tensor, name: str, kind: str | None, coded: Categories, path: object) -> tuple[Column, Tensor]:
    """The kind of a column of a new run, and its values, in which codes count the categories in their order.

    Args:
        values: (n,), numbers, or codes if `coded` has them.
        name: its name.
        kind: its kind if the user has set it; None finds it out.
        coded: the categories that were found while the file was read.
        path: the file, for the errors.

    Raises:
        ValueError: the column does not hold what its kind needs.
    """
    if texts := coded.names(name):
        if kind not in (None, "category"):
            raise ValueError(
                f"data.kinds must be category for a column of text, but is {kind} for {for_terminal(name)}, which "
                f"holds {listed(texts, 3)} in {path}; leave it out of data.kinds, or drop the column"
            )
        return _sorted(name, texts, values, path)
    kind = kind or _kind_of(values)
    if kind != "category":
        return Column(name, kind), values
    different, codes = values.unique(return_inverse=True)
    if len(different) > MOST:
        raise ValueError(
            f"a column must have at most {MOST:,} categories, but {for_terminal(name)} in {path} has "
            f"{len(different):,}; use {kind_assignment(name, 'real')}"
        )
    return _sorted(name, [spelled(value) for value in different.tolist()], codes.to(values.dtype), path)


def _sorted(name: str, texts: Sequence[str], codes: Tensor, path: object) -> tuple[Column, Tensor]:
    if len(texts) < 2:
        raise ValueError(
            f"a column of categories must hold at least 2 different ones, but the column {for_terminal(name)} of "
            f"{path} holds only {listed(texts)}; leave it out with {assignment('data.drop', [name])}"
        )
    names = in_order(texts)
    place = {text: code for code, text in enumerate(names)}
    moved = torch.tensor([place[text] for text in texts], dtype=codes.dtype)
    return Column(name, "category", tuple(names)), moved[codes.long()]


def _kind_of(values: Tensor) -> str:
    """The kind of a column of numbers, (n,), by `RULE`."""
    if bool(((values == 0) | (values == 1)).all()):
        return "binary"
    if not bool((values == values.round()).all()):
        return "real"
    least = values.min().item()
    if least == 0:
        return "count"
    most = min(DISTINCT, len(values) // REPEATED)
    return "category" if len(values[:1_000].unique()) <= most and len(values.unique()) <= most else "real"


def check_columns(rows: Tensor, columns: Sequence[Column], what: str, where: Where) -> Tensor:
    """Returns rows (n, columns) unchanged if each number is one that its column may hold.

    Raises:
        ValueError: a number is outside of its column's kind. The error names its place.
    """
    for index, (values, column) in enumerate(zip(rows.unbind(-1), columns, strict=False)):
        bad = outside(values, column.kind, len(column.categories))
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise ValueError(
                f"{for_terminal(column.name)} is a {column.kind}, so it must hold {WANTED[column.kind]}, but {what} "
                f"holds {in_full(values[row])} in {where(row, index)}; correct it, or train a new run with "
                f"{kind_assignment(column.name, 'real')}"
            )
    return rows


def described(columns: Sequence[Column], shown: int = 10) -> str:
    """The kinds of columns in words, such as `real age, fare; category sex (2)`."""
    parts = []
    for kind in KINDS:
        names = [
            f"{column.name} ({len(column.categories)})" if column.categories else column.name
            for column in columns
            if column.kind == kind
        ]
        parts += [f"{kind} {listed(names, shown)}"] if names else []
    return "; ".join(parts)


def measure_of(columns: Sequence[Column]) -> str:
    """What exp(log p) of a row is: a `density`, a `mass`, or `mixed` if it is a product of both."""
    real = {column.kind == "real" for column in columns}
    return "mixed" if len(real) > 1 else "density" if True in real else "mass"


def columns_of(facts: Mapping[str, Any] | None, names: Sequence[str] | None) -> tuple[Column, ...] | None:
    """The columns of a trained model, from `column_kinds` and `column_categories` in its config; None without kinds.

    Raises:
        ValueError: there is not one kind for each name, or categories without names.
    """
    kinds = (facts or {}).get("column_kinds")
    if kinds is None or names is None:
        return None
    categories = (facts or {}).get("column_categories") or [()] * len(kinds)
    if not len(kinds) == len(categories) == len(names):
        raise ValueError(
            f"the run's config must have one kind for each of its {len(names)} columns, but has {len(kinds)} kinds and "
            f"{len(categories)} lists of categories; train a new run"
        )
    return tuple(Column(name, kind, tuple(own)) for name, kind, own in zip(names, kinds, categories, strict=True))
