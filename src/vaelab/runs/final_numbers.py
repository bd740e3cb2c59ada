"""Formats the text that a run prints at its end."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vaelab.decimals import decimals
from vaelab.escapes import for_terminal

SPLITS = ("val", "test")  # the splits that are shown
MOST_OTHERS = 20  # the most numbers printed besides the objective's terms


def format_metrics(metrics: Mapping[str, float], terms: Sequence[str]) -> str:
    """A run's final numbers as text: a table of the objective's terms, then a list of all other numbers.

    Args:
        metrics: tags such as `val/elbo` -> numbers. A callback may have logged any tag, even for only one split.
        terms: the names of the objective's terms, in nats per example.
    """
    terms = ["baseline", *terms[:1], "ceiling", *terms[1:]]
    splits = [split for split in SPLITS if any(f"{split}/{term}" in metrics for term in terms)]
    tags = [[f"{split}/{term}" for split in splits] for term in terms]
    rows = [[term, *(_cell(metrics.get(tag)) for tag in row)] for term, row in zip(terms, tags, strict=True)]
    table = [["nats per example", *splits], *(row for row in rows if any(row[1:]))] if splits else []
    shown = {tag for row in tags for tag in row}
    others = [[for_terminal(tag), f"{value:.4g}"] for tag, value in metrics.items() if tag not in shown]
    if len(others) > MOST_OTHERS:
        others[MOST_OTHERS:] = [[f"{len(others) - MOST_OTHERS} more", "metrics.json"]]
    return "\n\n".join(_aligned(block) for block in (table, others and [["also logged", ""], *others]) if block)


def _cell(value: float | None) -> str:
    return "" if value is None else decimals(value)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as columns: the first is aligned to the left, the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    widths = [max(10, width) for width in others]
    lines = []
    for name, *cells in rows:
        columns = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([name.ljust(max(18, first)), *columns]))
    return "\n".join(lines)


def format_summary(folder: Path, metrics: Mapping[str, float], terms: Sequence[str], notes: Sequence[str] = ()) -> str:
    """The text at the end of a run: its numbers, notes about them, its folder, its pictures, and how to see its curves.

    Args:
        folder: the run's folder.
        metrics: its final numbers.
        terms: as for `format_metrics`.
        notes: a sentence for each thing that is missing, such as "not validated: …".
    """
    folder = folder.resolve()
    with suppress(OSError, ValueError):  # the working folder is gone, or the run lies elsewhere
        folder = folder.relative_to(Path.cwd()) if folder != Path.cwd() else folder
    runs = folder if folder.is_absolute() else folder.parts[0]  # `outputs` or `multirun`: all curves at once
    where = f"run     {folder}"
    if any(folder.glob("figures/*.png")):
        where += f"\nfigures {folder / 'figures'}"
    if next(folder.rglob("events.out.tfevents.*"), None):
        where += f"\ncurves  tensorboard --logdir {shlex.quote(str(runs))}"
    return "\n" + "\n\n".join(filter(None, (format_metrics(metrics, terms), "\n".join(notes), where)))
