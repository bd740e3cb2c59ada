"""The condition that a conditional model gets besides x: the class of each example, as a one-hot vector."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vaelab.data.wording import listed

LABEL = "label"  # a value of the key `condition`, besides null and a list of columns


Condition = str | Sequence[str] | None


def check_condition(condition: Condition, columns: bool = False) -> Condition:
    """Returns `condition` unchanged.

    Args:
        condition: the key `condition` of a run.
        columns: True if the condition may be a list of columns.

    Raises:
        ValueError: `condition` is neither None, nor `label`, nor a list of columns of data that have columns.
    """
    listed_columns = isinstance(condition, Sequence) and not isinstance(condition, str)
    if condition in (None, LABEL) or (columns and listed_columns):
        return condition
    shown = f"[{','.join(map(str, condition or ()))}]" if listed_columns else condition
    what = f"null, {LABEL} or a list of columns" if columns else f"null or {LABEL}"
    cure = "" if listed_columns else f", or condition=[{shown}] for a column" if columns else ""
    cure = ", or data=table for a condition of columns" if listed_columns else cure
    raise ValueError(f"condition must be {what}, but is {shown}; use condition={LABEL}{cure}")


def check_no_condition(condition: str | None, what: str) -> None:
    """Raises a ValueError if there is a condition but the data have no labels. `what` names the data in the error."""
    if condition is not None:
        raise ValueError(
            f"condition must be null for {what}, which have no labels, but is {condition}; leave it out, or use images "
            "with labels, such as data=mnist"
        )


def names_of(labels: Tensor, names: Sequence[str] | None) -> list[str]:
    """The name of each label (n,): `names[label]`, or the number itself if there are no names."""
    return [str(label) if names is None else names[label] for label in labels.tolist()]


def one_hot_conditions(
    labels: Mapping[str, Tensor], names: Sequence[str] | None, classes: Sequence[str], source: str
) -> dict[str, Tensor]:
    """Turns the labels of each split, (n,), into one-hot vectors, (n, classes), float32.

    Args:
        labels: split -> codes of `names`, or whole numbers.
        names: the names of the labels, in the order of their codes; None if the numbers are their own names.
        classes: the names of the classes, in the model's order.
        source: where the labels come from, for the error.

    Raises:
        ValueError: a label is not one of the classes.
    """
    return {
        split: one_hot(names_of(codes, names), classes, f"the {split} split of {source}")
        for split, codes in labels.items()
    }


def one_hot(labels: Iterable[object], classes: Sequence[str], source: str) -> Tensor:
    """Turns the class of each example into a vector: 1 at the index of its class, and 0 elsewhere.

    Args:
        labels: n labels, spelled as in `classes`.
        classes: the names of the classes, in the model's order.
        source: where the labels come from, for the error.

    Returns:
        (n, classes), float32.

    Raises:
        ValueError: a label is not one of the classes.

    >>> one_hot([7, 3], ["3", "5", "7"], "the file")
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    place = {name: index for index, name in enumerate(classes)}
    names = [str(label) for label in labels]
    if (unknown := next((name for name in names if name not in place), None)) is not None:
        raise ValueError(
            f"every label must be one of the model's classes ({listed(classes)}), but {source} has {unknown}; remove "
            "such examples, or train a new run with them"
        )
    return functional.one_hot(torch.tensor([place[name] for name in names], dtype=torch.long), len(classes)).float()
