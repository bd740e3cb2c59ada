"""Rows whose columns have names: a kind for each of them, and some of them as a condition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from vaelab.data.array import Array
from vaelab.data.column_conditions import check_names, names_of_numbers
from vaelab.data.column_kinds import RULE, Column, columns_of, described, measure_of
from vaelab.data.condition import LABEL
from vaelab.data.readers.source import Reading
from vaelab.data.row_checks import ROW_SUPPORTS, Where, at_index, check_rows
from vaelab.data.table_columns import TableColumns, opened
from vaelab.data.table_keys import column_kinds, standardizes
from vaelab.escapes import for_terminal


class NamedColumns(Array):
    """Rows of a file whose columns may have kinds, and of which some may be a condition.

    Args:
        standardize: True if the model standardises real numbers; None if the likelihood scores them.
        condition: None, `label`, or a list of columns.
        kinds: the kinds of columns that the user has set: name -> kind.
        options: as for `Array`.
    """

    supports = (*ROW_SUPPORTS, "mixed")

    def __init__(
        self,
        standardize: bool | None,
        condition: str | Sequence[str] | None,
        kinds: Mapping[str, Any] | Sequence[str] | None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.standardize, self._keeps_condition = standardizes(standardize, self.support), standardize is False
        self.condition = condition
        self.given = check_names(condition) if isinstance(condition, Sequence) and condition != LABEL else ()
        self.kinds = column_kinds(kinds, self._is_mixed or bool(self.given))
        self._found: TableColumns | None = None
        self._given: Tensor | None = None  # the condition of each row

    @property
    def _is_mixed(self) -> bool:
        return self.support == "mixed"

    @property
    def columns_of_x(self) -> tuple[Column, ...] | None:
        """What each column of x holds; None if the likelihood scores all of them alike, and before `setup`."""
        found = self._found or self._trained
        return found.x if found else None

    @property
    def column_kinds(self) -> tuple[str, ...] | None:
        """See `DataModule.column_kinds`."""
        return None if self.columns_of_x is None else tuple(column.kind for column in self.columns_of_x)

    @property
    def column_categories(self) -> tuple[tuple[str, ...], ...] | None:
        """See `DataModule.column_categories`."""
        return None if self.columns_of_x is None else tuple(column.categories for column in self.columns_of_x)

    @property
    def _trained(self) -> TableColumns | None:
        """The columns of a trained model; None for a new run, or if no column has a kind."""
        x = columns_of(self.model_columns, self.model_names)
        if (self._is_mixed and x is None) or (self.given and self.model_condition_names is None):
            return None
        if not self._is_mixed and not self.given:
            return None
        return TableColumns.of_model(x, self.given, self.model_condition_names)

    @property
    def names_in_files(self) -> tuple[str, ...] | None:
        """See `DataModule.names_in_files`."""
        return None if self.model_names is None else (*self.model_names, *self.given)

    def reading_for(self, x_shape: Sequence[int] | None = None) -> Reading:
        """See `DataModule.reading_for`. Text in columns is read as codes of categories, if the model can use it."""
        categories = opened(self._trained, self._is_mixed, self.given, self.kinds)
        return replace(super().reading_for(x_shape), categories=categories)

    def _checked(self, rows: Tensor, place: Where) -> Tensor:
        width = rows.shape[1] - len(self.given)
        super()._checked(rows[:, :width], place)
        return check_rows(rows, "real", str(self.path), "", place)

    def _read(self) -> Tensor:
        """The rows of x, (n, columns). Sets what the columns hold, and the conditions of the rows."""
        rows = super()._read()
        if not self._is_mixed and not self.given:
            return rows
        if self._names is None or self._categories is None:
            key = "model=columns" if self._is_mixed else "condition=[…]"
            raise ValueError(
                f"the columns of {for_terminal(self.path)} must have names for {key}, but have none; write them into "
                "its first line"
            )
        if (columns := self._trained) is None:
            columns, rows = TableColumns.find(
                rows, self._names, len(self.given), self._is_mixed, self.kinds, self._categories, self.path
            )
        else:
            columns.check(rows, str(self.path))
        self._found = columns
        self._names = self._names[: rows.shape[1] - len(self.given)]
        self.condition_names = names_of_numbers(columns.given) or None
        x, self._given = columns.split(rows)
        return x

    def setup(self, stage: str | None = None) -> None:
        """Reads the file and draws the splits, once."""
        if hasattr(self, "test"):
            return
        super().setup(stage)
        if self._given is not None:
            self.conditions = {split: self._given[part] for split, part in self.split_rows.items()}

    def with_conditions(self, rows: Tensor, where: Where = at_index) -> tuple[Tensor, Tensor | None]:
        """See `DataModule.with_conditions`."""
        columns = self._found or self._trained
        if columns is None or not columns.given:
            return rows, None
        width = rows.shape[1] - len(columns.given)
        columns.check_given(rows[:, width:], lambda row, number: where(row, width + number))
        return columns.split(rows)

    def prepare(
        self, rows: Tensor, x_shape: Sequence[int], generator: Generator | None = None, where: Where = at_index
    ) -> Tensor:
        """See `DataModule.prepare`. Categories are codes."""
        x = super().prepare(rows, x_shape, generator, where)
        columns = self._found or self._trained
        if columns is not None and columns.x is not None:
            columns.check_x(x, where)
        return x

    def standardization(self, which: str) -> tuple[Tensor, Tensor]:
        """See `DataModule.standardization`. Also for `condition`; categories are never standardised."""
        columns = self._found or TableColumns(None)
        if which == "condition":
            values = self.conditions["train"].double()
            std, mean = torch.std_mean(values, 0, correction=0)
            loc, scale = mean.float(), std.float().where(std > 0, 1)
        else:
            loc, scale = super().standardization(which)
        measured = columns.measured(which)
        if measured is None:
            return loc, scale
        kept = torch.tensor(measured) & (which != "condition" or not self._keeps_condition)
        return loc.where(kept, 0), scale.where(kept, 1)

    @property
    def columns_report(self) -> str:
        """See `DataModule.columns_report`."""
        columns = self._found
        if columns is None:
            return ""
        kinds = for_terminal(described([*(columns.x or ()), *columns.given]))
        rule = "" if self._trained else f" (by rule: {RULE}; 'data.kinds={{NAME:KIND}}' decides otherwise)"
        return f"the columns hold {kinds}{rule}"

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`. `columns` says what each column holds, if the likelihood depends on it."""
        found, columns = super().describe(x_shape), self.columns_of_x
        if self.given:
            found["condition"] = ", ".join(self.given)
        if columns is None:
            return found
        return found | {"measure": measure_of(columns), "columns": described(columns, len(columns))}
