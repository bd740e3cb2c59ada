"""The picture of discrete latents: how likely each class is, for each kind of example."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.decimals import decimals
from vaelab.evaluation.discrete import Variables
from vaelab.evaluation.latents import kl_per_dimension
from vaelab.evaluation.views.arrays import Array, Names, array
from vaelab.figures import ClassMap

COLUMNS = 30  # the most numbers of z that are shown, but at least one variable
KINDS = 26  # the most classes of examples with a row of their own
BINS, EXAMPLES = 10, 20  # rows of a quantity, and rows if there are no labels


@torch.no_grad()
def class_map(
    q: Distribution,
    prior: Distribution,
    variables: Variables,
    labels: tuple[str, Tensor] | None = None,
    label_names: Names = None,
) -> ClassMap:
    """The mean of q(z|x) for each label, in the variables with the most KL.

    A quantity is cut into ten ranges with equally many examples. Without labels, each of the first 20 examples has a
    row.

    Args:
        q: the posteriors of n examples, batch_shape (n,).
        prior: p(z), batch_shape ().
        variables: how the variables lie in z.
        labels: the name of the labels, and the labels, (n,).
        label_names: the names of the classes 0, 1, …, if the labels are their numbers.
    """
    kl = kl_per_dimension(q, prior).mean(0)
    shown = sorted(kl.topk(min(max(1, COLUMNS // variables.columns), len(kl))).indices.tolist())
    each = array(q.mean.unflatten(-1, (-1, variables.columns)))[:, shown]  # (n, shown, columns)
    names, groups = _groups(len(each), labels, label_names)
    rows = np.stack([each[members].mean(0) for members in groups])
    return ClassMap(rows, np.array(shown), len(kl), names, labels[0] if labels else "example", len(each))


def _groups(n: int, labels: tuple[str, Tensor] | None, label_names: Names) -> tuple[tuple[str, ...], list[Array]]:
    """The name of each row, and the examples that it stands for."""
    if labels is None:
        rows = range(min(n, EXAMPLES))
        return tuple(str(row + 1) for row in rows), [np.array([row]) for row in rows]
    values = array(labels[1])
    kinds = np.unique(values)
    if np.issubdtype(values.dtype, np.integer) and len(kinds) <= KINDS:
        known = label_names or ()
        names = tuple(known[kind] if 0 <= kind < len(known) else str(kind) for kind in kinds)
        return names, [np.flatnonzero(values == kind) for kind in kinds]
    parts = np.array_split(values.argsort(kind="stable"), min(BINS, n))
    return tuple(decimals(float(values[part].mean()), 2).replace("-", "−") for part in parts), parts
