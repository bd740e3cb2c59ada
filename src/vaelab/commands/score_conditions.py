"""`vaelab score --condition all`: how likely is each row under each class, and how much does its class tell?"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vaelab.checks import SPLITS, check_whole
from vaelab.commands.column_conditions import condition_columns
from vaelab.commands.conditions import class_names, every_condition, of_labels
from vaelab.commands.rows import Rows, read_labelled
from vaelab.commands.score import Columns, row_seeds, scores_of
from vaelab.evaluation import SAMPLES
from vaelab.runs.run import Run
from vaelab.tables import write_table

Progress = Callable[[int], object]


@dataclass
class ScoredConditions:
    """What `score_conditions` has written.

    Attributes:
        rows: the number of rows.
        information: log p̂(t|c) − log p̂(t) of each row that has a class of its own, nats.
        right: the number of those rows whose likeliest class is their own.
        entropy: that of the class in the training split, nats.
    """

    rows: int = 0
    information: list[float] = field(default_factory=list)
    right: int = 0
    entropy: float = 0.0


def score_conditions(
    run: Run,
    data: str,
    file: Path,
    samples: int = SAMPLES,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
) -> ScoredConditions:
    """Writes a table with the columns row, log_p, likeliest, log_p_CLASS for each class, and label.

    row           the number of the row, from 0
    log_p         log p̂(t) = log Σ_c p(c) p̂(t|c), nats, where p(c) is the share of a class in the training split
    likeliest     the class with the highest p(c) p̂(t|c)
    log_p_CLASS   log p̂(t|c) for that class: an importance-sampling estimate whose expectation is a lower bound
    label         the label, if the data have one

    A row has the same draws for each class, and they depend only on `seed` and its number.

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        file: a table, .npz, .csv or .parquet.
        samples: importance samples per row and class.
        seed: the seed of all draws.
        overrides: keys of the run's data config to change, such as `root`.

    Raises:
        ValueError: the run has no classes, or the file holds only inputs.
    """
    check_whole("--samples", samples, 1)
    if condition_columns(run):
        raise ValueError(
            "score --condition all needs a run with condition=label, but the condition of this one is columns; leave "
            "--condition out"
        )
    shares = _shares(run, overrides)
    scored = ScoredConditions(entropy=-sum(p * math.log(p) for p in shares.tolist() if p > 0))
    with tqdm(unit=" scores", leave=False, disable=None) as bar:
        chunks = _chunks(run, data, samples, seed, overrides, shares.log(), scored, bar.update)
        write_table(file, chunks)
    return scored


def _shares(run: Run, overrides: Mapping[str, Any]) -> Tensor:
    """p(c), (c,), float64: the share of each class in the training split."""
    return run.ready_datamodule(overrides).conditions["train"].double().mean(0).cpu()


def _chunks(
    run: Run,
    data: str,
    samples: int,
    seed: int,
    overrides: Mapping[str, Any],
    log_prior: Tensor,
    scored: ScoredConditions,
    progress: Progress,
) -> Iterator[Columns]:
    """The columns of the table, some rows at a time."""
    names = class_names(run)
    first = None if data in SPLITS else names[0]  # else a file without labels would be refused
    for rows, label in read_labelled(run, data, overrides, first):
        n = len(rows.x)
        seeds = row_seeds(seed, scored.rows, n)
        given = _log_p_given(run, data, rows, samples, seeds, progress)
        joint = torch.from_numpy(given) + log_prior
        log_p, likeliest = joint.logsumexp(-1), joint.argmax(-1)
        own = _own_classes(run, rows, label, data)
        if own is not None:
            information = given[np.arange(n), own] - log_p.numpy()
            scored.information += information.tolist()
            scored.right += int((likeliest.numpy() == own).sum())
        yield {
            "row": np.arange(scored.rows, scored.rows + n),
            "log_p": log_p.numpy(),
            "likeliest": np.array(names, dtype=str)[likeliest],
            **{f"log_p_{name}": given[:, index] for index, name in enumerate(names)},
            **({} if label is None else {"label": label}),
        }
        scored.rows += n


def _log_p_given(run: Run, data: str, rows: Rows, samples: int, seeds: Sequence[int], progress: Progress) -> np.ndarray:
    """log p̂(t|c) of some rows under each class, (n, c)."""
    columns = []
    for condition in every_condition(run):
        under = rows._replace(condition=condition.values)
        columns.append(scores_of(run, data, under, samples, seeds, progress)["log_p"])
    return np.stack(columns, -1)


def _own_classes(run: Run, rows: Rows, label: np.ndarray | None, data: str) -> np.ndarray | None:
    """The class of each row, (n,); None if a file holds no labels."""
    given = rows.condition
    if data not in SPLITS:
        given = None if label is None else of_labels(run, label, data)
    return None if given is None else given.argmax(-1).cpu().numpy()


def summary_of_conditions(scored: ScoredConditions, samples: int) -> str:
    """What the numbers in the table are, and how much the class tells."""
    lines = [
        f"log_p estimates log p(t) = log Σ_c p(c) p(t|c) in nats, with {samples:,} draws of z for each class.",
        "p(c) is the share of the class in the training split. In expectation, log_p and log_p_CLASS are lower bounds.",
    ]
    if n := len(scored.information):
        mean, error = np.mean(scored.information), np.std(scored.information) / math.sqrt(n)
        lines += [
            f"log p(t|c) − log p(t), with the class of each row, is {mean:.3f} ± {error:.3f} nats (one standard error "
            f"over {n:,} rows; it covers neither the bias of few draws nor the model).",
            f"This estimates I(t; c), which is at most the entropy of the label, {scored.entropy:.3f} nats.",
            f"The likeliest class is the row's own in {scored.right:,} of {n:,} rows ({scored.right / n:.1%}).",
        ]
    return "\n".join(lines)
