"""The condition that a verb passes to a conditional model: a class of the run, by its name or number."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vaelab.escapes import for_terminal, short
from vaelab.runs.run import Run
from vaelab.vae import VAE

LONGEST = 20  # the most letters in a class's name in a title


class OneClass(NamedTuple):
    """A class of a conditional run.

    Attributes:
        condition: (c,), 1 at its index and 0 elsewhere.
        name: its name in the run, as text for a title.
    """

    condition: Tensor
    name: str

    @property
    def given(self) -> str:
        """The condition as titles write it, such as `c = 3`."""
        return f"c = {self.name}"


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


def find_class(run: Run, text: str | None) -> OneClass | None:
    """The class that `--condition` gives by name or by number from 0; None if it is not given.

    Raises:
        ValueError: the run has no such class, or no condition.
    """
    if text is None:
        return None
    names = class_names(run)
    if not names:
        raise ValueError(f"--condition is {text}, but {run.folder} was trained without a condition; leave it out")
    if text in names:
        return _class(run, names, names.index(text))
    if text.isdecimal() and int(text) < len(names):
        return _class(run, names, int(text))
    from vaelab.data.wording import listed

    raise ValueError(f"--condition must be one of {listed(names)}, or a number below {len(names)}, but is {text}")


def find_or_first(run: Run, text: str | None) -> OneClass | None:
    """The class that `--condition` gives, or the first; None if the run has no condition.

    Raises:
        ValueError: as for `find_class`.
    """
    names = class_names(run)
    return find_class(run, text) or (_class(run, names, 0) if names else None)


def classes_in_turn(vae: VAE, classes: int, first: int, n: int) -> Tensor:
    """The classes of rows `first` to `first` + n, each class in turn -> (n, classes), one-hot."""
    numbers = torch.arange(first, first + n) % classes
    return one_hot(numbers, classes).to(next(vae.parameters()))


def _class(run: Run, names: Sequence[str], index: int) -> OneClass:
    (condition,) = classes_in_turn(run.vae, len(names), index, 1)
    return OneClass(condition, short(for_terminal(names[index]), LONGEST))
