"""`vaelab score`: which of these data are unusual?"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vaelab.checks import check_whole
from vaelab.commands.columns import arrays
from vaelab.commands.rows import Rows, read_labelled
from vaelab.escapes import for_terminal, short
from vaelab.evaluation import SAMPLES, score
from vaelab.runs.run import Run
from vaelab.tables import write_table

SHOWN = 5  # how many of the most unusual rows are printed
LONGEST = 40  # the most letters of a label in the table that is printed
UNRELIABLE = 0.7  # the Pareto k̂ above which an estimate depends on few draws
MANY = 0.1  # the share of such rows that is worth a warning
Columns = dict[str, np.ndarray]
log = logging.getLogger(__name__)


@dataclass
class Scored:
    """What `score_rows` has written.

    Attributes:
        rows: the number of rows.
        unreliable: the number of rows with a Pareto k̂ above 0.7.
        lowest: the rows with the lowest log p, ascending: name of a column -> its value.
    """

    rows: int = 0
    unreliable: int = 0
    lowest: list[dict[str, Any]] = field(default_factory=list)

    def add(self, chunk: Columns) -> Columns:
        """Counts the rows of a chunk, and returns it."""
        self.rows += len(chunk["row"])
        self.unreliable += int((chunk["pareto_k"] > UNRELIABLE).sum())
        self.lowest = nsmallest(SHOWN, [*self.lowest, *_lowest(chunk)], key=_unusual_first)
        return chunk


def score_rows(
    run: Run,
    data: str,
    file: Path,
    samples: int = SAMPLES,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
    condition: str | None = None,
) -> Scored:
    """Writes a table with the columns row, log_p, elbo, kl, pareto_k, ess and label, in the order of the data.

    row        the number of the row, from 0
    log_p      log p̂(t), nats: an importance-sampling estimate whose expectation is a lower bound on log p(t); of
               log p(t|c) for a conditional run
    elbo       the ELBO, nats: a lower bound, in expectation
    kl         KL(q ‖ p), nats
    pareto_k   k̂ of the importance weights: below 0.7 you can trust log_p, and above it is likely too low
    ess        the effective sample size of the weights, from 1 to `samples`
    label      the label, if the data have one

    Each row has its own draws, which depend only on `seed` and its number: not on the rows around it.

    Args:
        run: the run, from `load_run`.
        data: train, val or test, or a file.
        file: a table, .npz, .csv or .parquet.
        samples: importance samples per row.
        seed: the seed of all draws.
        overrides: keys of the run's data config to change, such as `root`.
        condition: the class of all rows of a file, for a conditional run.

    Raises:
        ValueError: the file holds only inputs, and the model's targets are something else.
    """
    check_whole("--samples", samples, 1)
    scored = Scored()
    with tqdm(unit=" rows", leave=False, disable=None) as bar:
        chunks = _chunks(run, data, samples, seed, overrides, condition, bar.update)
        write_table(file, map(scored.add, chunks))
    return scored


def _chunks(
    run: Run,
    data: str,
    samples: int,
    seed: int,
    overrides: Mapping[str, Any],
    condition: str | None,
    progress: Callable[[int], Any],
) -> Iterator[Columns]:
    """The columns of the table, some rows at a time."""
    done = 0
    for rows, label in read_labelled(run, data, overrides, condition):
        n = len(rows.x)
        scores = scores_of(run, data, rows, samples, row_seeds(seed, done, n), progress)
        yield {"row": np.arange(done, done + n), **scores, **({} if label is None else {"label": label})}
        done += n


def scores_of(
    run: Run, data: str, rows: Rows, samples: int, seeds: Sequence[int], progress: Callable[[int], Any]
) -> Columns:
    """The columns of some rows, each (n,)."""
    x, target, condition = rows
    if target is None:
        raise ValueError(
            f"score needs a target for each row, but {data} holds only inputs; use train, val or test as DATA"
        )
    batch = (x, target) if condition is None else (x, target, condition.expand(len(x), -1))
    terms = score(run.vae, [batch], samples, progress=progress, seeds=seeds)
    return arrays({"log_p": -terms["nll"], **{name: terms[name] for name in ("elbo", "kl", "pareto_k", "ess")}})


def row_seeds(seed: int, first: int, n: int) -> list[int]:
    """A seed for each of n rows from row `first`: far apart, so that rows and seeds share no draws."""
    sequences = (np.random.SeedSequence((seed, row)) for row in range(first, first + n))
    return [int(each.generate_state(1, np.uint64)[0]) for each in sequences]


def _lowest(chunk: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The rows of a chunk with the lowest log p, as dicts."""
    order = np.argsort(np.nan_to_num(chunk["log_p"], nan=-np.inf), kind="stable")[:SHOWN]
    return [{name: column[index].item() for name, column in chunk.items()} for index in order]


def _unusual_first(row: Mapping[str, Any]) -> tuple[float, int]:
    return (-np.inf if np.isnan(row["log_p"]) else row["log_p"]), row["row"]


def summary(scored: Scored, samples: int, given: str = "") -> str:
    """The most unusual rows as a table for the terminal, and what its numbers are, `given` the condition."""
    head, *lines = [list(scored.lowest[0]), *(list(map(_cell, row.values())) for row in scored.lowest)]
    cells = [list(map(for_terminal, line)) for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    title = f"The most unusual of {scored.rows:,} rows (lowest log p):" if scored.rows > 1 else "The only row:"
    log_p = f"log p(t|c), how likely t is given the {given}," if given else "log p(t),"
    return "\n".join(
        [
            title,
            *table,
            f"log_p estimates {log_p} in nats, with {samples:,} draws of z; trust it if pareto_k < 0.7.",
            "In expectation, log_p and elbo are lower bounds on it, and log_p is the tighter one.",
        ]
    )


def warn_if_unreliable(scored: Scored, samples: int) -> None:
    """Warns if many rows have a Pareto k̂ above 0.7."""
    if scored.unreliable > MANY * scored.rows:
        log.warning(
            "pareto_k is above %s for %s of %s rows: their log_p depends on few of the %s draws and is likely too low; "
            "use more --samples",
            *(UNRELIABLE, f"{scored.unreliable:,}", f"{scored.rows:,}", f"{samples:,}"),
        )


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else short(str(value), LONGEST)
