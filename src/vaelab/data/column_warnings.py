"""Finds columns of a table that spoil a density, and says what to do about them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.data.column_kinds import DISTINCT, REPEATED, Column
from vaelab.data.readers.selection import Key, assignment
from vaelab.data.wording import listed

INDEX_NAMES = {"id", "index", "unnamed: 0"}
EPSILON = torch.finfo(torch.float32).eps
COARSE = 0.01  # numbers are too coarse if float32 rounds them by more than this fraction of their standard deviation
LARGE = 1e6  # numbers whose decimals float32 rounds
FAR = 10.0  # a column is far out of scale if its mean or standard deviation is this far from 0 and 1


def column_warnings(
    rows: Tensor,
    names: Sequence[str] | None,
    support: str,
    standardize: bool,
    columns: Sequence[Column] | None = None,
) -> list[str]:
    """What is wrong with the columns, and the keys that cure it; empty if nothing is.

    Args:
        rows: (n, columns), in the order of the file.
        names: the names of the columns; None numbers them from 0.
        support: the data that the likelihood scores.
        standardize: True if the model standardises the columns.
        columns: what each column holds, if the likelihood is `mixed`.

    >>> column_warnings(torch.tensor([[7.0, 0.3], [7.0, 0.1], [7.0, 0.2]]), ["unit", "size"], "real", True)
    ['unit is constant (data.drop=unit leaves it out)']
    """
    keys: list[Key] = [*names] if names is not None else [*range(rows.shape[1])]
    found: dict[str, list[Key]] = {}
    kinds = [support] * len(keys) if columns is None else [each.kind for each in columns]
    for key, column, kind in zip(keys, rows.T, kinds, strict=True):
        if fault := _fault(column, key, kind, standardize):
            found.setdefault(fault, []).append(key)
    return [_sentence(fault, found[fault]) for fault in SENTENCES if fault in found]


def _fault(column: Tensor, key: Key, support: str, standardize: bool) -> str | None:
    """The fault of a column (n,), one of the keys of `SENTENCES`; None if there is none."""
    if bool((column == column[0]).all()):
        return "constant" if column[0].abs() < LARGE else "rounded"
    if str(key).casefold() in INDEX_NAMES or (support != "category" and _counts(column)):
        return "index"
    if support == "category" and len(column.unique()) > max(DISTINCT, len(column) // 2):
        return "names"
    if support != "real":
        return None
    if _is_rounded(column):
        return "rounded"
    if _is_coded(column):
        return "coded"
    return "far" if not standardize and _is_far(column) else None


def _counts(column: Tensor) -> bool:
    """True if a column counts the rows, from any whole number."""
    counting = torch.arange(len(column), dtype=column.dtype)
    return len(column) > 2 and bool(column[0] == column[0].round()) and bool((column == counting + column[0]).all())


def _is_rounded(column: Tensor) -> bool:
    """True if float32 numbers of this size are too coarse for the spread of a column."""
    std, mean = torch.std_mean(column.double(), correction=0)
    return bool(EPSILON * mean.abs() > COARSE * std)


def _is_coded(column: Tensor) -> bool:
    """True if a column takes few different values, all whole: a density on it has no upper limit."""
    most = min(DISTINCT, len(column) // REPEATED)
    some = column[:1_000]  # most columns are ruled out without sorting all of their numbers
    return len(some.unique()) <= most and bool((column == column.round()).all()) and len(column.unique()) <= most


def _is_far(column: Tensor) -> bool:
    std, mean = torch.std_mean(column, correction=0)
    return bool((std > FAR) | (std < 1 / FAR) | (mean.abs() > FAR))


def _sentence(fault: str, keys: Sequence[Key]) -> str:
    what = f"column {keys[0]}" if len(keys) == 1 and type(keys[0]) is int else listed(keys)
    what = f"columns {what}" if len(keys) > 1 and type(keys[0]) is int else what
    drop, label = assignment("data.drop", keys), assignment("data.label", keys[:1])
    one, several = SENTENCES[fault]
    return f"{what} {(one if len(keys) == 1 else several).format(drop=drop, label=label)}"


SENTENCES = {  # fault -> about one column, and about several
    "constant": ("is constant ({drop} leaves it out)", "are constant ({drop} leaves them out)"),
    "index": ("looks like an index ({drop} leaves it out)", "look like indices ({drop} leaves them out)"),
    "rounded": (
        "varies too little for its size: float32 keeps 7 digits, so its numbers were rounded (subtract a constant from "
        "it in the file, or {drop} leaves it out)",
        "vary too little for their size: float32 keeps 7 digits, so their numbers were rounded (subtract a constant "
        "from each of them in the file, or {drop} leaves them out)",
    ),
    "names": (
        "holds another text in almost every row, from which no model can learn ({drop} leaves it out)",
        "hold other texts in almost every row, from which no model can learn ({drop} leaves them out)",
    ),
    "coded": (
        "holds few different whole numbers, so its density has no upper limit ({drop} leaves it out, and {label} "
        "colours the pictures with it)",
        "hold few different whole numbers, so their density has no upper limit ({drop} leaves them out, and {label} "
        "colours the pictures with one of them)",
    ),
    "far": (
        "is far out of scale (data.standardize=true cures it)",
        "are far out of scale (data.standardize=true cures it)",
    ),
}
