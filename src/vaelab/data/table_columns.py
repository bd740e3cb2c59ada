"""The columns of a table that a model sees: those of x, and those of its condition."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.data.column_conditions import columns_of_names, to_conditions
from vaelab.data.column_kinds import Column, check_columns, find_column
from vaelab.data.readers.categories import Categories
from vaelab.data.row_checks import Where
from vaelab.data.wording import listed


class TableColumns(NamedTuple):
    """The columns of x, and those of the condition, which come after them in the rows that a reader gives.

    Attributes:
        x: the columns of x; None if the likelihood scores all of them alike, as numbers.
        given: the columns of the condition; empty if there are none.
    """

    x: tuple[Column, ...] | None
    given: tuple[Column, ...] = ()

    @classmethod
    def of_model(
        cls, x: tuple[Column, ...] | None, given: Sequence[str], condition_names: Sequence[str] | None
    ) -> "TableColumns":
        """The columns of a trained model.

        Raises:
            ValueError: the names of the condition's numbers are not those of its columns.
        """
        return cls(x, columns_of_names(given, condition_names or ()) if given else ())

    @classmethod
    def find(
        cls,
        rows: Tensor,
        names: Sequence[str],
        given: int,
        mixed: bool,
        kinds: Mapping[str, str],
        categories: Categories,
        path: object,
    ) -> tuple["TableColumns", Tensor]:
        """The columns of a new run, and the rows, in which codes count the categories in their order.

        Args:
            rows: (n, columns) as a reader gives them.
            names: the names of all columns.
            given: how many of them are those of the condition.
            mixed: True if the likelihood scores each column of x by its kind.
            kinds: the kinds that the user has set: name -> kind.
            categories: the categories that were found while the file was read.
            path: the file, for the errors.

        Raises:
            ValueError: a column does not hold what its kind needs, or there is no such column.
        """
        first = 0 if mixed else len(names) - given
        if unknown := [name for name in kinds if name not in names[first:]]:
            which = "the model sees" if mixed else "the condition names"
            raise ValueError(
                f"data.kinds must name columns of {path} that {which} ({listed(names[first:])}), but names "
                f"{listed(unknown)}; correct or remove {'it' if len(unknown) == 1 else 'them'}"
            )
        found, values = [], list(rows.unbind(-1))
        for index, name in list(enumerate(names))[first:]:
            column, values[index] = find_column(values[index], name, kinds.get(name), categories, path)
            in_condition = index >= len(names) - given
            found.append(Column(name, "category", ("0", "1")) if in_condition and column.kind == "binary" else column)
        split = len(found) - given
        columns = cls(tuple(found[:split]) if mixed else None, tuple(found[split:]))
        rows = torch.stack(values, dim=-1)
        columns.check(rows, path)
        return columns, rows

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """The categories of each column that has some."""
        return {column.name: column.categories for column in (*(self.x or ()), *self.given) if column.categories}

    def check(self, rows: Tensor, path: object) -> None:
        """Raises a ValueError if a number of the rows of a file, (n, columns), is not of its column's kind."""
        width = rows.shape[1] - len(self.given)
        for columns, values in ((self.x or (), rows[:, :width]), (self.given, rows[:, width:])):
            check_columns(values, columns, str(path), lambda row, number: f"row {row + 1} below the names")

    def check_x(self, x: Tensor, where: Where) -> None:
        """Raises a ValueError if a number of x, (n, columns), is not of its column's kind."""
        check_columns(x, self.x or (), "the data", where)

    def check_given(self, values: Tensor, where: Where) -> None:
        """Raises a ValueError if a number of the condition's columns, (n, columns), is not of its kind."""
        check_columns(values, self.given, "the data", where)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows (n, columns) -> x (n, d) and conditions (n, c); None without a condition."""
        if not self.given:
            return rows, None
        width = rows.shape[1] - len(self.given)
        return rows[:, :width].contiguous(), to_conditions(rows[:, width:], self.given)

    def measured(self, which: str) -> list[bool] | None:
        """Which numbers of `x`, `target` or `condition` the model standardises; None if all of them.

        In a target, these are real numbers alone, because counts keep their own family. Networks see counts
        standardised, too.
        """
        if which == "condition":
            return [flag for each in self.given for flag in [False] * len(each.categories) or [True]]
        kinds = ("real", "count") if which == "x" else ("real",)
        return None if self.x is None else [column.kind in kinds for column in self.x]


def opened(
    columns: TableColumns | None, mixed: bool, given: Sequence[str], kinds: Mapping[str, str]
) -> Categories | None:
    """How text in columns is read: for a trained model, or if `columns` is None, for a new run."""
    if not mixed and not given:
        return None
    if columns is not None:
        return Categories(columns.known)
    always = {name for name, kind in kinds.items() if kind == "category"}
    return Categories(text=None if mixed else set(given), always=always)
