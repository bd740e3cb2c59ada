"""The columns of a table of results: their names and their numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from vaelab.evaluation.discrete import representative, variables_of
from vaelab.runs.run import Run


def column_names(run: Run, file: Path) -> tuple[str, ...] | None:
    """The names of a table's columns, if the data came from columns. A .npz file keeps its arrays whole."""
    module = run.datamodule()
    return module.names if module.reads_columns and file.suffix.lower() != ".npz" else None


def likelihood_columns(p: Distribution, names: Sequence[str] | None) -> dict[str, Tensor]:
    """The columns about p(t|z), with batch_shape (B,): its mean and a draw from it, each (B, *t).

    Categories have no mean, so their columns are the mode, a draw, and the `probabilities`, (B, *t, categories).

    Args:
        p: p(t|z).
        names: the names of the target's dimensions, for one column each; or None.
    """
    base = p.base_dist if isinstance(p, Independent) else p
    categories = base if isinstance(base, Categorical) else None
    columns = {"mode": p.mode} if categories else {"mean": p.mean}
    columns |= {"sample": p.sample()}
    if names is not None and p.event_shape == (len(names),):
        columns = {f"{key}_{name}": column[:, j] for key, column in columns.items() for j, name in enumerate(names)}
    return columns | {"probabilities": categories.probs} if categories else columns


def posterior_columns(q: Distribution) -> dict[str, Tensor]:
    """The columns about q(z|x), with batch_shape (B,): its mean and its standard deviation, each (B, p).

    For discrete z, they are the likeliest class of each variable, (B, variables), and the probabilities.
    """
    variables = variables_of(q)
    if variables is None:
        return {"mean": q.mean, "std": q.stddev}
    probabilities = q.mean if variables.columns == 1 else variables.probabilities(q.mean)
    return {"mode": variables.classes_in(representative(q)), "probabilities": probabilities}


def arrays(columns: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The columns as numpy arrays."""
    return {name: column.cpu().numpy() for name, column in columns.items()}
