"""What a table of results calls its columns, and the numbers in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from vaelab.runs.run import Run


def column_names(run: Run, file: Path) -> tuple[str, ...] | None:
    """The names that go into a table: those of the columns of a file; a .npz file keeps its arrays whole."""
    module = run.datamodule()
    return module.names if module.reads_columns and file.suffix.lower() != ".npz" else None


def likelihood_columns(p: Distribution, names: Sequence[str] | None) -> dict[str, Tensor]:
    """What a table says about p(t|z), with batch_shape (B,): its mean and a draw of it, each (B, *t).

    Categories have no mean: they get their mode, a draw, and the `probabilities` of each category, (B, *t, categories).

    Args:
        p: p(t|z).
        names: of the target's dimensions, for a column each; or None.
    """
    base = p.base_dist if isinstance(p, Independent) else p
    categories = base if isinstance(base, Categorical) else None
    columns = {"mode": p.mode} if categories else {"mean": p.mean}
    columns |= {"sample": p.sample()}
    if names is not None and p.event_shape == (len(names),):
        columns = {f"{key}_{name}": column[:, j] for key, column in columns.items() for j, name in enumerate(names)}
    return columns | {"probabilities": categories.probs} if categories else columns


def arrays(columns: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The columns as numpy arrays."""
    return {name: column.cpu().numpy() for name, column in columns.items()}
