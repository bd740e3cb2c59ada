"""The condition of a run that was trained on columns of a table: `--condition age=30,sex=f`."""

import re
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelab.decimals import decimals
from vaelab.runs.run import Run

if TYPE_CHECKING:
    from vaelab.data.column_kinds import Column

MOST = 1_000  # combinations of categories
FLAGS = {"false": "0", "true": "1"}


def condition_columns(run: Run) -> "tuple[Column, ...]":
    """The columns of a run's condition; empty if it has none, or if it is a class."""
    names, condition = run.condition_names, run.config.get("condition")
    if not isinstance(condition, list) or names is None:
        return ()
    from vaelab.data.column_conditions import columns_of_names

    return columns_of_names(condition, names)


def parse_columns(columns: "Sequence[Column]", text: str, option: str) -> Tensor:
    """The condition that a text such as `age=30,sex=f` gives, (c,).

    >>> from vaelab.data.column_kinds import Column
    >>> columns = [Column("age", "real"), Column("sex", "category", ("f", "m"))]
    >>> parse_columns(columns, "sex=m,age=30", "--condition")
    tensor([30.,  0.,  1.])

    Raises:
        ValueError: a column is missing, unknown or given twice, or its value is not a number or one of its categories.
    """
    given = _assigned(columns, text, option)
    return torch.cat([_numbers(column, given[column.name], option) for column in columns])


def _assigned(columns: "Sequence[Column]", text: str, option: str) -> dict[str, str]:
    """Name of a column -> its value. A value may hold commas."""
    starts = [*re.finditer(r"(?:^|,)\s*([^=,]*?)\s*=", text)]
    known = [start for start in starts if start[1] in {column.name for column in columns}]
    ends = [*[start.start() for start in known[1:]], len(text)][: len(known)]
    given = {start[1]: text[start.end() : end].strip() for start, end in zip(known, ends, strict=True)}
    wanted = [column.name for column in columns]
    if len(given) < len(known) or set(given) != set(wanted) or known[0].start():
        example = ",".join(f"{column.name}={column.categories[0] if column.categories else 30}" for column in columns)
        raise ValueError(f"{option} must give each of {', '.join(wanted)} once, such as {example}, but is {text}")
    return given


def _numbers(column: "Column", text: str, option: str) -> Tensor:
    """The numbers of one column in a condition."""
    if not column.categories:
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise ValueError(f"{column.name} in {option} must be a number, but is {text or 'empty'}")
        return torch.tensor([value])
    if column.categories == ("0", "1"):
        text = FLAGS.get(text.lower(), text)
    if text not in column.categories:
        from vaelab.data.wording import listed

        raise ValueError(f"{column.name} in {option} must be one of {listed(column.categories)}, but is {text}")
    return torch.eye(len(column.categories))[column.categories.index(text)]


def combinations(run: Run, columns: "Sequence[Column]") -> Tensor:
    """A condition for each combination of categories, (k, c), at most the first 1,000; numbers are at their means."""
    units: Any = getattr(run.vae.encoder, "condition_units", None)
    means = torch.zeros(len(run.condition_names or ())) if units is None else units.loc.cpu().float()
    choices, first = [], 0
    for column in columns:
        width = max(1, len(column.categories))
        choices.append(torch.eye(width) if column.categories else means[first : first + 1].unsqueeze(0))
        first += width
    every = [torch.cat(rows) for rows, _ in zip(product(*choices), range(MOST), strict=False)]
    return torch.stack(every).to(next(run.vae.parameters()))


def values_of(columns: "Sequence[Column]", conditions: Tensor) -> "dict[str, Tensor | np.ndarray[Any, Any]]":
    """Conditions (n, c) -> for each column its numbers, or the names of its categories, (n,)."""
    sizes = [max(1, len(column.categories)) for column in columns]
    found: dict[str, Tensor | np.ndarray[Any, Any]] = {}
    for column, part in zip(columns, conditions.split(sizes, dim=-1), strict=True):
        names = np.array(column.categories, dtype=str)
        found[column.name] = names[part.argmax(-1).cpu().numpy()] if column.categories else part.squeeze(-1)
    return found


def title_of(columns: "Sequence[Column]", condition: Tensor) -> str:
    """A condition (c,) as text, such as `age=30,sex=f`."""
    values = values_of(columns, condition.unsqueeze(0)).items()
    texts = [
        (name, decimals(value.item(), 2).rstrip("0").rstrip(".") if isinstance(value, Tensor) else str(value[0]))
        for name, value in values
    ]
    return ",".join(f"{name}={text}" for name, text in texts)
