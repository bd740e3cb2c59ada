"""`vaelab encode | reconstruct | sample | traverse`: what are the latents, and what has it learned to draw?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelab.checks import SPLITS, check_whole
from vaelab.evaluation import views
from vaelab.evaluation.memory_needed import decode_bytes, encode_bytes
from vaelab.files import read_json
from vaelab.runs.run import Run
from vaelab.tables import write_table

if TYPE_CHECKING:
    from vaelab.data import DataModule, Reading

ROWS = 1_000  # examples that pass the networks at once, at most
MEMORY = 2**28  # bytes that they may take: a full covariance of 28x28 pixels has a matrix of 2.5 MB for each
SHOWN = 10  # reconstructions in a picture
MOST = 10_000  # samples in a picture
STEPS = 200  # values of a latent in a picture


@torch.no_grad()
def encode(run: Run, data: str, file: Path, samples: int = 0, overrides: Mapping[str, Any] = {}) -> int:
    """Writes mean and std of q(z|x), (p,) each, and `samples` draws of z, (samples, p), for every row; -> rows."""
    check_whole("--samples", samples, 0)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for x, _ in read(run, data, overrides):
            q = run.vae.encode(x)
            columns = {"mean": q.mean, "std": q.stddev}
            yield _arrays(columns | {"sample": q.sample((samples,)).transpose(0, 1)} if samples else columns)

    return write_table(file, chunks())


@torch.no_grad()
def reconstruct(run: Run, data: str, file: Path, seed: int = 0, overrides: Mapping[str, Any] = {}) -> int:
    """Writes mean and one draw of p(t|z), z the mean of q(z|x), for every row, or pictures the first rows; -> rows."""
    if file.suffix.lower() == ".png":
        return _picture_reconstructions(run, data, file, seed, overrides)
    names = _column_names(run, file)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        for x, _ in read(run, data, overrides):
            p = run.vae.decode(run.vae.encode(x).mean)
            yield _arrays(_named(names, {"mean": p.mean, "sample": p.sample()}))

    return write_table(file, chunks())


def _picture_reconstructions(run: Run, data: str, file: Path, seed: int, overrides: Mapping[str, Any]) -> int:
    x, target = next(read(run, data, overrides))
    if target is None:
        raise ValueError(
            f"{data} holds only inputs, so there is no target to draw beside a reconstruction; write a table such as "
            "-o reconstructions.csv, or use train, val or test as DATA"
        )
    shown = SHOWN if views.is_image(run.target_shape) else ROWS
    views.reconstructions(run.vae, x[:shown], target[:shown], _names(run), seed).save(file)
    return min(len(x), shown)


@torch.no_grad()
def sample(run: Run, n: int, file: Path, show: str | None = None, seed: int = 0) -> int:
    """Writes z ~ p(z), the mean of p(t|z) and a draw of it, n of each, or pictures them; -> rows."""
    check_whole("-n", n, 1)
    if file.suffix.lower() == ".png":
        if n > MOST:
            raise ValueError(f"-n must be at most {MOST} for a picture, but is {n}; draw fewer, or write a table")
        show = show or ("mean" if views.is_image(run.target_shape) else "sample")
        views.prior_samples(run.vae, n, show, names=_names(run), seed=seed).save(file)
        return n
    names = _column_names(run, file)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        rows = rows_at_once(run)
        for start in range(0, n, rows):
            z = run.vae.prior().sample((min(rows, n - start),))
            p = run.vae.decode(z)
            yield _arrays({"z": z} | _named(names, {"mean": p.mean, "sample": p.sample()}))

    return write_table(file, chunks())


def traverse(
    run: Run, file: Path, steps: int | None = None, span: float = 3.0, dimensions: Sequence[int] | None = None
) -> str:
    """Pictures the mean of p(t|z) along one latent at a time, or over both where latent_dim is 2; -> what is shown.

    Args:
        run: what `load_run` returned.
        file: a .png file.
        steps: values per latent; 11 unless given, or 20 over both.
        span: how far a latent moves, in standard deviations of the prior.
        dimensions: the latents that move, counted from 1 as in the picture. Unless given the ten of most KL where the
            run has been evaluated, or else the first ten.
    """
    names = _names(run)
    if run.vae.prior().event_shape == (2,) and dimensions is None:
        views.manifold(run.vae, _fitting(20 if steps is None else steps), names).save(file)
        return "the plane of both latents"
    latent_dim = run.vae.prior().event_shape.numel()
    if dimensions is not None and not all(1 <= dimension <= latent_dim for dimension in dimensions):
        raise ValueError(f"--latents must be numbers from 1 to {latent_dim}, the run's latents, but is {dimensions}")
    chosen = _informative(run, latent_dim) if dimensions is None else [dimension - 1 for dimension in dimensions]
    steps = _fitting(11 if steps is None else steps)
    views.traversals(run.vae, steps, span, names=names, dimensions=chosen).save(file)
    return f"latents {' '.join(str(index + 1) for index in chosen)} of {latent_dim}"


def _fitting(steps: int) -> int:
    """Values per latent that a picture can show."""
    if steps > STEPS:
        raise ValueError(f"--steps must be at most {STEPS} for a picture, but is {steps}")
    return steps


def _informative(run: Run, latent_dim: int) -> list[int]:
    """The latents of most KL, from 0, in ascending order, where an evaluation has told it; or else the first."""
    try:
        kl = read_json(run.folder / "evaluation.json")["kl_per_dimension"]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or someone has edited it
        kl = None
    if not isinstance(kl, list) or len(kl) != latent_dim or not all(type(k) is float and isfinite(k) for k in kl):
        kl = [0.0] * latent_dim
    return sorted(sorted(range(latent_dim), key=lambda index: -kl[index])[: views.TRAVERSED])


def read(run: Run, data: str, overrides: Mapping[str, Any] = {}) -> Iterator[tuple[Tensor, Tensor | None]]:
    """DATA -> (x, target) in batches, prepared as in training; target is None if a file holds inputs alone.

    The columns of a file with names are put into the order of those that the model was trained on.

    Raises:
        ValueError: as `vaelab.data.read_chunks`; or the columns are not those that the model was trained on.
    """
    from vaelab.data import open_rows
    from vaelab.data.columns import order_columns

    device, at_once = next(run.vae.parameters()).device, rows_at_once(run)
    if data in SPLITS:
        for x, target in run.ready_datamodule(overrides).batches(data, at_once):
            yield x.to(device), target.to(device)
        return
    module, reading = _module_and_reading(run, overrides)
    source = open_rows(Path(data), reading=reading)
    order = order_columns(source.names, run.x_names, str(source.path), module.reads_columns)
    generator = torch.Generator().manual_seed(getattr(module, "seed", 0))
    first = 0
    for chunk in source.chunks:
        for rows in chunk.split(at_once):
            rows = rows if order is None else rows[:, order]
            x = module.prepare(rows, run.x_shape, generator, source.placed(first, order)).to(device)
            yield x, x if run.x_shape == run.target_shape else None
            first += len(rows)


def _module_and_reading(run: Run, overrides: Mapping[str, Any]) -> tuple["DataModule", "Reading"]:
    """The run's data module, and how it reads a file; every run takes the keys of `Reading`."""
    from vaelab.data import Reading

    ways = {field.name for field in fields(Reading)}
    module = run.datamodule(**{key: value for key, value in overrides.items() if key not in ways})
    return module, replace(module.reading, **{key: value for key, value in overrides.items() if key in ways})


def rows_at_once(run: Run) -> int:
    """How many examples pass the networks together."""
    device = next(run.vae.parameters()).device
    x, target = (torch.zeros(1, *shape, device=device) for shape in (run.x_shape, run.target_shape))
    return max(1, min(ROWS, MEMORY // max(decode_bytes(run.vae, x, target), encode_bytes(run.vae, x))))


def _names(run: Run) -> tuple[str, ...] | None:
    return run.datamodule().names


def _column_names(run: Run, file: Path) -> tuple[str, ...] | None:
    """The names that go into a table: those of the columns of a file; a .npz file keeps its arrays whole."""
    module = run.datamodule()
    return module.names if module.reads_columns and file.suffix.lower() != ".npz" else None


def _named(names: Sequence[str] | None, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mean (B, k) -> mean_age, mean_height, … (B,), if there are names."""
    if names is None or any(column.shape[1:] != (len(names),) for column in columns.values()):
        return dict(columns)
    return {f"{key}_{name}": column[:, j] for key, column in columns.items() for j, name in enumerate(names)}


def _arrays(columns: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: column.cpu().numpy() for name, column in columns.items()}
