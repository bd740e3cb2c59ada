"""What a table of results calls its columns, and the numbers in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.distributions import Distribution

from vaelab.runs.run import Run


def column_names(run: Run, file: Path) -> tuple[str, ...] | None:
    """The names that go into a table: those of the columns of a file; a .npz file keeps its arrays whole."""
    module = run.datamodule()
    return module.names if module.reads_columns and file.suffix.lower() != ".npz" else None


def likelihood_columns(p: Distribution, names: Sequence[str] | None) -> dict[str, Tensor]:
    """The mean of p(t|z) and a draw of it, each (B, *t), or a column for each name: p with batch_shape (B,)."""
    columns = {"mean": p.mean, "sample": p.sample()}
    if names is None or p.event_shape != (len(names),):
        return columns
    return {f"{key}_{name}": column[:, j] for key, column in columns.items() for j, name in enumerate(names)}


def arrays(columns: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The columns as numpy arrays."""
    return {name: column.cpu().numpy() for name, column in columns.items()}
