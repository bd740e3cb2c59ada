"""Columns of a table as a condition: numbers as they are, and categories as one-hot vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaelab.data.column_kinds import Column
from vaelab.data.wording import listed

EQUALS = "="  # between a column and its category, in the names of a condition's numbers


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a condition's columns.

    Raises:
        ValueError: there is none, one is named twice, or one could not be told from a category.
    """
    if not names:
        raise ValueError("condition must name at least one column, but is []; use null to train without a condition")
    for name in names:
        if not isinstance(name, str) or not name.strip() or set(name) & set("=,"):
            raise ValueError(
                "condition must name columns whose names have no = and no comma, because --condition age=30,sex=f sets "
                f"them, but names {name!r}; rename that column in the file"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"condition must name each column once, but is [{','.join(names)}]; remove the copies")
    return tuple(name.strip() for name in names)


def names_of_numbers(columns: Sequence[Column]) -> tuple[str, ...]:
    """The names of the numbers in a condition.

    >>> names_of_numbers([Column("age", "real"), Column("sex", "category", ("f", "m"))])
    ('age', 'sex=f', 'sex=m')
    """
    return tuple(
        name
        for column in columns
        for name in [f"{column.name}{EQUALS}{each}" for each in column.categories] or [column.name]
    )


def columns_of_names(condition: Sequence[str], names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a trained model's condition, from the names of its numbers.

    >>> columns_of_names(["age", "sex"], ["age", "sex=f", "sex=m"])
    (Column(name='age', kind='real', categories=()), Column(name='sex', kind='category', categories=('f', 'm')))

    Raises:
        ValueError: the names are not those of these columns.
    """
    found = []
    for name in condition:
        own = tuple(each.removeprefix(f"{name}{EQUALS}") for each in names if each.startswith(f"{name}{EQUALS}"))
        found.append(Column(name, "category" if own else "real", own))
    if names_of_numbers(found) != tuple(names):
        raise ValueError(
            f"the condition must have the numbers {listed(names_of_numbers(found))}, but the run's config lists "
            f"{listed(names)}; train a new run"
        )
    return tuple(found)


def to_conditions(rows: Tensor, columns: Sequence[Column]) -> Tensor:
    """Rows (n, columns), with codes for categories -> conditions (n, c), float32.

    >>> to_conditions(torch.tensor([[30.0, 1.0]]), [Column("age", "real"), Column("sex", "category", ("f", "m"))])
    tensor([[30.,  0.,  1.]])
    """
    parts = [
        one_hot(values.long(), len(column.categories)).float() if column.categories else values.float().unsqueeze(-1)
        for values, column in zip(rows.unbind(-1), columns, strict=True)
    ]
    return torch.cat(parts, dim=-1)
