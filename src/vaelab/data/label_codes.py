"""Turns the labels of a table into numbers: codes of named classes, or the numbers themselves."""

import numpy as np
import torch
from torch import Tensor

MISSING = "missing"
CLASSES = 20  # whole numbers with gaps are named classes if they take at most this many values


def label_codes(labels: np.ndarray) -> tuple[Tensor, tuple[str, ...] | None]:
    """The labels as a tensor (n,), and the names of the classes if it holds codes, in the order of the codes.

    Text gives codes of its different values, sorted. Whole numbers stay whole numbers, and other numbers become
    float32. A missing label has a class of its own, the last one; among numbers that are not classes, it is NaN.

    Args:
        labels: (n,), text with "" for a missing label, or numbers with NaN for a missing one.

    >>> label_codes(np.array(["rose", "lily", "", "rose"]))
    (tensor([1, 0, 2, 1]), ('lily', 'rose', 'missing'))
    >>> label_codes(np.array([3.0, 1.0]))
    (tensor([3, 1]), None)
    """
    if labels.dtype.kind == "U":
        return _coded(labels, labels == "")
    missing = np.isnan(labels) if labels.dtype.kind == "f" else np.zeros(len(labels), bool)
    known = labels[~missing]
    if not _all_whole(known):
        return torch.from_numpy(labels.astype(np.float32)), None
    if not missing.any():
        return torch.from_numpy(labels.astype(np.int64)), None
    if len(np.unique(known)) > CLASSES:
        return torch.from_numpy(labels.astype(np.float32)), None
    return _coded(np.where(missing, 0, labels).astype(np.int64), missing)


def _all_whole(numbers: np.ndarray) -> bool:
    return bool((np.isfinite(numbers) & (np.abs(numbers) < 2**53) & (numbers == np.round(numbers))).all())


def _coded(values: np.ndarray, missing: np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    classes, codes = np.unique(values[~missing], return_inverse=True)
    names = [str(each) for each in classes.tolist()]
    found = np.full(len(values), len(names))
    found[~missing] = codes
    if missing.any():
        names.append(MISSING if MISSING not in names else f"({MISSING})")
    return torch.from_numpy(found), tuple(names)
