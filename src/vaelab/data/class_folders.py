"""Takes the label of each picture from the sub-folder that it lies in."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}


class Classes(NamedTuple):
    """The classes of some pictures.

    Attributes:
        codes: (n,), int64, the class of each picture; None if the sub-folders are not classes.
        names: the names of the classes, in the order of the codes.
        cautions: what was assumed, for you to check.
    """

    codes: Tensor | None
    names: tuple[str, ...]
    cautions: list[str]


def classes_of(paths: Sequence[str]) -> Classes:
    """Finds the classes of pictures: their sub-folders, if each picture is in one, and there are at least two.

    If the sub-folders are named after splits, such as `train` and `test`, the folders in them are the classes.

    >>> classes_of(["cat/1.png", "dog/1.png", "dog/old/2.png"])
    Classes(codes=tensor([0, 1, 1]), names=('cat', 'dog'), cautions=[])
    """
    parts = [Path(path).parts[:-1] for path in paths]
    cautions = []
    if parts and all(part and part[0].lower() in SPLIT_FOLDERS for part in parts):
        split_names = " and ".join(sorted({part[0] for part in parts}))
        cautions.append(f"the pictures in {split_names} are split again, at random")
        parts = [part[1:] for part in parts]
    names = sorted({part[0] for part in parts if part}, key=_naturally)
    if len(names) < 2 or not all(parts):
        return Classes(None, (), cautions)
    place = {name: code for code, name in enumerate(names)}
    return Classes(torch.tensor([place[part[0]] for part in parts]), tuple(names), cautions)


def _naturally(name: str) -> tuple[int, str]:
    """Sorts 2 before 10, and words after numbers."""
    return (int(name), "") if name.isdecimal() and len(name) < 19 else (2**63, name)
