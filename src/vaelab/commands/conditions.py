"""The condition that a verb passes to a conditional model: a class of the run, by its name or number.

The verbs know a condition only as a vector (c,) with a title. Everything about classes is in this file, so a condition
of another kind needs its own reading of `--condition` here, and nothing elsewhere.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaelab.commands.column_conditions import combinations, condition_columns, parse_columns, title_of, values_of
from vaelab.escapes import for_terminal, short
from vaelab.evaluation import views
from vaelab.runs.run import Run

LONGEST = 20  # the most letters in a title
EVERY = "all"  # --condition all: every class


class Condition(NamedTuple):
    """A condition, as a verb was given it.

    Attributes:
        values: (c,), the numbers that the model gets: for a class, 1 at its index and 0 elsewhere.
        title: the condition as text, such as the name of the class.
    """

    values: Tensor
    title: str

    @property
    def given(self) -> str:
        """The condition as titles write it, such as `c = 3`."""
        return f"c = {self.title}"


def kind_of(run: Run) -> str:
    """What the condition of a run is, such as `label` or `age, sex`; empty if it has none."""
    kind = run.config.get("condition") or "condition"
    return (kind if isinstance(kind, str) else ", ".join(kind)) if run.condition_shape else ""


def class_names(run: Run) -> tuple[str, ...]:
    """The names of a conditional run's classes, or their numbers if they have no names; empty without a condition.

    Raises:
        ValueError: the condition is not a vector.
    """
    shape = run.condition_shape
    if shape is None:
        return ()
    if len(shape) != 1:
        raise ValueError(f"a condition must be a vector with a number for each class, but has the shape {shape}")
    return run.condition_names or tuple(map(str, range(shape[0])))


def parse_condition(run: Run, text: str, option: str = "--condition") -> Condition:
    """The condition that a text gives: a class by its name or its number from 0, or columns such as `age=30,sex=f`.

    Args:
        run: the run, from `load_run`.
        text: what the user gave.
        option: the option that took it, for the errors.

    Raises:
        ValueError: the run has no such class, no condition, or other columns.
    """
    names = class_names(run)
    if columns := condition_columns(run):
        return _of_columns(run, parse_columns(columns, text, option))
    if not names:
        raise ValueError(f"{option} is {text}, but {run.folder} was trained without a condition; leave it out")
    if text in names:
        return _class(run, names.index(text))
    if text.isdecimal() and int(text) < len(names):
        return _class(run, int(text))
    from vaelab.data.wording import listed

    raise ValueError(f"{option} must be one of {listed(names)}, or a number below {len(names)}, but is {text}")


def find_condition(run: Run, text: str | None) -> Condition | None:
    """The condition that `--condition` gives; None if it is not given. Raises the same errors as `parse_condition`."""
    return None if text is None else parse_condition(run, text)


def find_or_first(run: Run, text: str | None) -> Condition | None:
    """The condition that `--condition` gives, or the first of all; None if the run has no condition."""
    return find_condition(run, text) or next(iter(every_condition(run)), None)


def is_every(run: Run, text: str | None) -> bool:
    """True if `--condition` is `all`: every class or combination in turn. A class with that name goes first."""
    return text == EVERY and bool(names := class_names(run)) and EVERY not in names


def every_condition(run: Run) -> list[Condition]:
    """All classes of a run, or all combinations of the categories in its condition, with numbers at their means."""
    if columns := condition_columns(run):
        return [_of_columns(run, values) for values in combinations(run, columns)]
    return [_class(run, index) for index in range(len(class_names(run)))]


def shown_classes(run: Run) -> tuple[Tensor, tuple[str, ...]]:
    """The classes that a picture has room for: their conditions (k, c), and their k titles."""
    shown = every_condition(run)[: views.CONDITIONS]
    return torch.stack([each.values for each in shown]), tuple(each.title for each in shown)


def conditions_in_turn(run: Run, first: int, n: int) -> Tensor | None:
    """The conditions of rows `first` to `first` + n, in turn, (n, c); None if the run has no condition."""
    if columns := condition_columns(run):
        every = combinations(run, columns)
        return every[torch.arange(first, first + n) % len(every)]
    classes = len(class_names(run))
    if not classes:
        return None
    return one_hot(torch.arange(first, first + n) % classes, classes).to(next(run.vae.parameters()))


def row_names(run: Run, n: int) -> tuple[str, ...] | None:
    """The names of the rows of a picture of n samples whose conditions take turns; None without classes."""
    return None if condition_columns(run) else class_names(run)[:n] or None


def column_of(run: Run, conditions: Tensor) -> dict[str, Tensor | np.ndarray]:
    """The columns of a table that say which condition each row has, (n, c).

    `condition` is the number of its class, from 0. If the condition is columns, there is one for each, such as
    `condition_age`.
    """
    if columns := condition_columns(run):
        return {f"condition_{name}": values for name, values in values_of(columns, conditions).items()}
    return {"condition": conditions.argmax(-1)}


def described(run: Run, values: Tensor) -> Condition:
    """The condition of a row, (c,), with its title."""
    if condition_columns(run):
        return _of_columns(run, values)
    return _class(run, int(values.argmax()))


def of_labels(run: Run, labels: np.ndarray, source: str) -> Tensor:
    """The conditions of rows of a file whose labels are text or whole numbers, (n,) -> (n, c).

    Raises:
        ValueError: a label is not one of the run's classes.
    """
    from vaelab.data.condition import one_hot as one_hot_of
    from vaelab.data.label_codes import label_codes

    codes, names = label_codes(labels)
    texts = [str(code) if names is None else names[code] for code in codes.tolist()]
    return one_hot_of(texts, class_names(run), source).to(next(run.vae.parameters()))


def _of_columns(run: Run, values: Tensor) -> Condition:
    title = for_terminal(title_of(condition_columns(run), values))
    return Condition(values.to(next(run.vae.parameters())), short(title, 2 * LONGEST))


def _class(run: Run, index: int) -> Condition:
    values = conditions_in_turn(run, index, 1)
    assert values is not None
    return Condition(values[0], short(for_terminal(class_names(run)[index]), LONGEST))
