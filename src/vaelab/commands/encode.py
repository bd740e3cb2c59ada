"""`vaelab encode`: what are the latents of these data?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelab.checks import check_whole
from vaelab.commands.columns import arrays, posterior_columns
from vaelab.commands.rows import read_labelled
from vaelab.runs.run import Run
from vaelab.tables import write_table


@torch.no_grad()
def encode(
    run: Run,
    data: str,
    file: Path,
    samples: int = 0,
    overrides: Mapping[str, Any] = {},
    condition: str | None = None,
) -> int:
    """Writes mean and std of q(z|x), (p,) each, and `samples` draws of z, (samples, p), for each row. Returns the rows.

    For discrete z, the columns are the `mode`, the likeliest class of each variable, and the `probabilities`: that of a
    1 for each binary variable, or that of each class, (variables, classes), for each categorical one. If the data have
    a label, it is the last column, `label`.

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        file: a table, .npz, .csv or .parquet.
        samples: draws of z per row.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the class of all rows of a file, for a conditional run.
    """
    check_whole("--samples", samples, 0)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for (x, _, given), label in read_labelled(run, data, overrides, condition):
            q = run.vae.encode(x, given)
            columns = posterior_columns(q)
            columns |= {"sample": q.sample((samples,)).transpose(0, 1)} if samples else {}
            yield arrays(columns) | ({} if label is None else {"label": label})

    return write_table(file, chunks())
