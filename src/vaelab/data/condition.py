"""What a conditional model is given beside x: the class of each example, as a one-hot vector."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vaelab.data.wording import listed

LABEL = "label"  # the one value of the key `condition` that is not null


def check_condition(condition: str | None) -> str | None:
    """Returns `condition` unchanged.

    Raises:
        ValueError: it is neither None nor `label`.
    """
    if condition not in (None, LABEL):
        raise ValueError(f"condition must be null or {LABEL}, but is {condition}")
    return condition


def check_no_condition(condition: str | None, what: str) -> None:
    """Raises a ValueError if a condition is asked of data that have no labels; `what` they are, for the error."""
    if condition is not None:
        raise ValueError(
            f"condition must be null for {what}, which have no labels, but is {condition}; leave it out, or use a set "
            "of images with labels, such as data=mnist"
        )


def one_hot(labels: Iterable[object], classes: Sequence[str], source: str) -> Tensor:
    """The class of each example as a vector: 1 at the place of its class, and 0 elsewhere.

    Args:
        labels: n of them, each as `classes` spells it.
        classes: names of the classes, in the order that the model knows.
        source: where the labels are from, for the error.

    Returns:
        (n, classes), float32.

    Raises:
        ValueError: a label is none of the classes.

    >>> one_hot([7, 3], ["3", "5", "7"], "the file")
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    place = {name: index for index, name in enumerate(classes)}
    names = [str(label) for label in labels]
    if (unknown := next((name for name in names if name not in place), None)) is not None:
        raise ValueError(
            f"every label must be one of the classes that the model knows ({listed(classes)}), but {source} has "
            f"{unknown}; leave such examples out, or train a new run with them"
        )
    return functional.one_hot(torch.tensor([place[name] for name in names], dtype=torch.long), len(classes)).float()
