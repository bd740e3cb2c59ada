"""`vaelab reconstruct`: what comes back if the model encodes and decodes these data?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelab.commands.columns import arrays, category_names, column_names, likelihood_columns
from vaelab.commands.rows import ROWS, read
from vaelab.evaluation import views
from vaelab.runs.run import Run
from vaelab.tables import write_table

SHOWN = 10  # the most images in a picture


@torch.no_grad()
def reconstruct(
    run: Run,
    data: str,
    file: Path,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
    condition: str | None = None,
) -> int:
    """Writes mean and one draw of p(t|z), z the mean of q(z|x), for each row, or draws the first. Returns the rows.

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        file: a table, .npz, .csv or .parquet, or a .png picture.
        seed: the seed of the draws in a picture.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the class of all rows of a file, for a conditional run.
    """
    if file.suffix.lower() == ".png":
        return _draw(run, data, file, seed, overrides, condition)
    names, categories = column_names(run, file), category_names(run)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for x, _, given in read(run, data, overrides, condition):
            p = run.vae.decode(run.vae.encode(x, given).mean, given)
            yield arrays(likelihood_columns(p, names, categories))

    return write_table(file, chunks())


def _draw(run: Run, data: str, file: Path, seed: int, overrides: Mapping[str, Any], condition: str | None) -> int:
    x, target, given = next(read(run, data, overrides, condition))
    if target is None:
        raise ValueError(
            f"a picture needs targets beside the reconstructions, but {data} holds only inputs; write a table such as "
            "-o reconstructions.csv, or use train, val or test as DATA"
        )
    shown = min(len(x), SHOWN if views.is_image(run.target_shape) else ROWS)
    given = given if given is None or given.dim() == 1 else given[:shown]
    names = run.datamodule().names
    views.reconstructions(run.vae, x[:shown], target[:shown], names, seed, given).save(file)
    return shown
