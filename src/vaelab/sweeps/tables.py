"""Tables of runs for a terminal, a page and a spreadsheet.

Text from a run's files is escaped once, when it becomes a cell of a table.
"""

import csv
import io
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vaelab.decimals import decimals
from vaelab.escapes import for_csv, for_markdown, for_terminal, short
from vaelab.runs.run_state import STATES
from vaelab.sweeps.explanations import explanations, notes
from vaelab.sweeps.ranking import Configuration, Group, groups_of, varying_keys, why_not
from vaelab.sweeps.rows import UNREADABLE, WHERE, Row
from vaelab.sweeps.run_files import NLL
from vaelab.sweeps.statistics import Interval, mean_interval

MOST_KEYS = 12  # the most columns of keys, because more would push the other columns off the screen
MOST_COLUMNS = 1_000  # the most columns of keys, and of numbers, in summary.csv: runs that share none would need many

Escape = Callable[[object], str]


class Table(NamedTuple):
    """A title, lines of cells (the first line names the columns), and sentences about this table; all escaped."""

    title: str
    lines: list[list[str]]
    notes: list[str]


def as_text(rows: Sequence[Row]) -> str:
    """The tables for a terminal."""
    parts = []
    for title, table, below in _tables(rows, for_terminal):
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        parts.append("\n".join([title, *(line.rstrip() for line in lines), *map(_wrapped, below)]))
    return "\n\n".join([*parts, *map(_wrapped, _explanations(rows, for_terminal)), counts(rows)])


def as_markdown(rows: Sequence[Row], pictures: Sequence[str] = ()) -> str:
    """The tables for a page, with links to pictures."""
    parts = [f"# {counts(rows)}"]
    for title, table, below in _tables(rows, for_markdown):
        lines = [f"| {' | '.join(line)} |" for line in table]
        parts.append("\n".join([f"## {title}", "", lines[0], "|" + "---|" * len(table[0]), *lines[1:]]))
        parts += below
    links = [f"![{name}]({name})" for name in pictures]
    return "\n\n".join([*parts, *_explanations(rows, for_markdown), *links]) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """The runs as CSV, one line each: its overrides, its state, its numbers, its seconds."""
    varies = varying_keys([row for row in rows if row.state == "done"])
    keys = [
        key for key in dict.fromkeys(key for row in rows for key in row.values) if key not in WHERE or key in varies
    ]
    tags = list(dict.fromkeys(tag for row in rows for tag in row.metrics))
    more = max(0, len(keys) - MOST_COLUMNS) + max(0, len(tags) - MOST_COLUMNS)
    keys, tags = keys[:MOST_COLUMNS], _of_most_runs(rows, tags)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    last = ["seconds", *([f"{more} more columns are left out"] if more else [])]
    writer.writerow(map(for_csv, ["run", *keys, "state", "reason", "measure", *tags, *last]))
    for row in rows:
        given = [row.values.get(key, "") for key in keys]
        texts = map(for_csv, [row.folder.name, *given, row.state, row.reason, row.data.get("measure", "")])
        writer.writerow([*texts, *(repr(row.metrics[tag]) if tag in row.metrics else "" for tag in tags), row.seconds])
    return file.getvalue()


def _of_most_runs(rows: Sequence[Row], tags: Sequence[str]) -> list[str]:
    """The tags in order. If they are too many for a table, only the tags that most runs have."""
    found = Counter(tag for row in rows for tag in row.metrics)
    kept = {tag for tag, _ in found.most_common(MOST_COLUMNS)}
    return [tag for tag in tags if tag in kept]


def counts(rows: Sequence[Row]) -> str:
    """48 runs: 46 done, 2 failed."""
    states = {state: sum(row.state == state for row in rows) for state in (*STATES, UNREADABLE)}
    count = "1 run" if len(rows) == 1 else f"{len(rows)} runs"
    return f"{count}: " + ", ".join(f"{n} {state}" for state, n in states.items() if n)


def format_interval(interval: Interval) -> str:
    """-101.889 [-101.913, -101.865], with enough digits to show the width. Without an interval, only the number."""
    centre, low, high = map(float, interval)
    if math.isnan(low):
        return decimals(centre, 3)
    half = (high - low) / 2
    digits = max(3, 1 - math.floor(math.log10(half))) if 1e-6 < half < math.inf else 3
    return f"{decimals(centre, digits)} [{decimals(low, digits)}, {decimals(high, digits)}]"


def _wrapped(sentences: str) -> str:
    return textwrap.fill(sentences, 110, break_long_words=False, break_on_hyphens=False)


def _tables(rows: Sequence[Row], escape: Escape) -> list[Table]:
    """A table for each group of runs, and one for the runs that are not compared."""
    tables = [_ranked(group, escape) for group in groups_of(rows)]
    return [*tables, _left_out(rows, escape)] if any(map(why_not, rows)) else tables


def _left_out(rows: Sequence[Row], escape: Escape) -> Table:
    """The runs that are not compared, and why."""
    keys = varying_keys([row for row in rows if row.state != UNREADABLE])
    keys = keys if len(keys) <= MOST_KEYS else []
    named = not keys or any(row.state == UNREADABLE for row in rows)
    lines = [[*(["run"] if named else []), *(escape(short(key)) for key in keys), "state", "reason"]]
    for row in filter(why_not, rows):
        given = [*([row.folder.name] if named else []), *(row.values.get(key, "") for key in keys)]
        lines.append([escape(short(text, 200)) for text in (*given, row.state, why_not(row))])
    return Table("not compared", lines, [])


def _ranked(group: Group, escape: Escape) -> Table:
    tags = [tag for tag in _tags(group) if any(each.scores(tag) for each in group.configurations)]
    head = [*(escape(short(key)) for key in group.configurations[0].values), "seeds"]
    last = [f"{escape(group.ranked_by)} − best"] if group.ranked_by else []
    lines = [[*head, *(escape(short(tag)) for tag in tags), *last]]
    for configuration, *to_best in zip(group.configurations, *group.to_best, strict=True):
        given = [escape(short(value)) for value in configuration.values.values()]
        means = [_mean(configuration, tag) for tag in tags]
        lag = "best" if len(lines) == 1 else format_interval(Interval(*to_best))
        lines.append([*given, str(len(configuration.runs)), *means, *([lag] if group.ranked_by else [])])
    return Table(escape(group.title), lines, notes(group, escape))


def _tags(group: Group) -> list[str]:
    """The numbers that a table shows. An NLL has a column for each number of samples."""
    rows = [row for each in group.configurations for row in each.runs.values()]
    tested = group.score.replace("val/", "test/", 1)
    repeats = all(row.metrics.get(tested) == row.metrics.get("test/elbo") for row in rows)  # a bound that is the ELBO
    nlls = sorted({tag for row in rows for tag in row.metrics if tag.startswith(NLL)})
    terms = ("test/elbo", "test/log_likelihood", "test/kl")
    return list(dict.fromkeys([group.score, *([] if repeats else [tested]), *terms, *nlls]))


def _mean(configuration: Configuration, tag: str) -> str:
    """A cell: the mean over seeds, and how many seeds have this number if some don't."""
    numbers = list(configuration.scores(tag).values())
    if not numbers:
        return "-"
    some = "" if len(numbers) == len(configuration.runs) else f" ({len(numbers)} of {len(configuration.runs)} seeds)"
    return format_interval(mean_interval(np.array(numbers))) + some


def _explanations(rows: Sequence[Row], escape: Escape) -> list[str]:
    """Sentences about all tables: the meaning of their numbers, their assumptions, and files that were left out."""
    wrong = [row for row in rows if row.remark and not why_not(row)]
    remarks = [f"{row.folder.name}: {short(row.remark, 200)}" for row in wrong]
    return [*explanations(groups_of(rows), escape), *map(escape, remarks)]
