"""The columns of a table of results: their names and their numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from vaelab.evaluation.discrete import representative, variables_of
from vaelab.families import JointColumns
from vaelab.runs.run import Run


def column_names(run: Run, file: Path) -> tuple[str, ...] | None:
    """The names of a table's columns, if the data came from columns. A .npz file keeps arrays of numbers whole."""
    module = run.datamodule()
    whole = file.suffix.lower() == ".npz" and not module.column_kinds
    return module.names if module.reads_columns and not whole else None


def category_names(run: Run) -> Sequence[Sequence[str]] | None:
    """The names of the categories of each column of a mixed table; None for other data."""
    return run.datamodule().column_categories


def likelihood_columns(
    p: Distribution, names: Sequence[str] | None, categories: Sequence[Sequence[str]] | None = None
) -> dict[str, Tensor] | dict[str, Tensor | np.ndarray]:
    """The columns about p(t|z), with batch_shape (B,): its mean and a draw from it, each (B, *t).

    Categories have no mean, so their columns are the mode, a draw, and the `probabilities`, (B, *t, categories).

    Args:
        p: p(t|z).
        names: the names of the target's dimensions, for one column each; or None.
        categories: the names of the categories of each column, if p(t|z) is a product over columns of several kinds.
    """
    if isinstance(p, JointColumns) and categories is not None:
        return mixed_columns(p, names, categories)
    base = p.base_dist if isinstance(p, Independent) else p
    of_categories = base if isinstance(base, Categorical) else None
    columns = {"mode": p.mode} if of_categories else {"mean": p.mean}
    columns |= {"sample": p.sample()}
    if names is not None and p.event_shape == (len(names),):
        columns = {f"{key}_{name}": column[:, j] for key, column in columns.items() for j, name in enumerate(names)}
    return columns | {"probabilities": of_categories.probs} if of_categories else columns


def posterior_columns(q: Distribution) -> dict[str, Tensor]:
    """The columns about q(z|x), with batch_shape (B,): its mean and its standard deviation, each (B, p).

    For discrete z, they are the likeliest class of each variable, (B, variables), and the probabilities.
    """
    variables = variables_of(q)
    if variables is None:
        return {"mean": q.mean, "std": q.stddev}
    probabilities = q.mean if variables.columns == 1 else variables.probabilities(q.mean)
    return {"mode": variables.classes_in(representative(q)), "probabilities": probabilities}


def mixed_columns(
    p: JointColumns, names: Sequence[str] | None, categories: Sequence[Sequence[str]]
) -> dict[str, Tensor | np.ndarray]:
    """The columns about a product over columns of several kinds: names of categories, and whole counts.

    A column of numbers has its mean and a draw. A column of categories has its mode, a draw, and the probability of
    each category.

    Args:
        p: batch_shape (B,), event_shape (columns,).
        names: the names of the columns; None numbers them from 0.
        categories: the names of the categories of each column; empty for a column of numbers.
    """
    means, modes, draws = (each.flatten(1) for each in (p.mean, p.mode, p.sample()))
    shown = names or [*map(str, range(len(categories)))]
    first: dict[str, Tensor | np.ndarray] = {}
    second: dict[str, Tensor | np.ndarray] = {}
    for j, (name, known, kind) in enumerate(zip(shown, categories, p.kinds, strict=True)):
        if known:
            first[f"mode_{name}"], second[f"sample_{name}"] = (_spelled(each[:, j], known) for each in (modes, draws))
        else:
            first[f"mean_{name}"] = means[:, j]
            second[f"sample_{name}"] = draws[:, j] if kind == "real" else draws[:, j].long()
    third = {
        f"probability_{shown[j]}={category}": each[:, code]
        for j, each in sorted(p.probabilities.items())
        for code, category in enumerate(categories[j])
    }
    return first | second | third


def _spelled(codes: Tensor, names: Sequence[str]) -> np.ndarray:
    return np.array(names, dtype=str)[codes.long().cpu().numpy()]


def arrays(columns: Mapping[str, Tensor | np.ndarray]) -> dict[str, np.ndarray]:
    """The columns as numpy arrays."""
    return {name: column.cpu().numpy() if isinstance(column, Tensor) else column for name, column in columns.items()}
