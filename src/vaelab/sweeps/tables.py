"""Tables of runs for a terminal, a page and a spreadsheet, and sentences that say what their numbers mean.

Whatever comes from a run's files is escaped once, when its cell is made.
"""

import csv
import io
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vaelab.escapes import for_csv, for_markdown, for_terminal, short
from vaelab.runs.run_state import STATES
from vaelab.sweeps.ranking import SCORE, Configuration, Group, groups_of, varying_keys, why_not
from vaelab.sweeps.rows import NLL, UNREADABLE, WHERE, Row
from vaelab.sweeps.statistics import CLAIMS_IF_SPREADS_DIFFER, Interval, mean_interval

SHOWN = (SCORE, "test/elbo", "test/log_likelihood", "test/kl")
MOST_KEYS = 12  # columns of keys; a run with more of its own would push all others off the screen
MOST_COLUMNS = 1_000  # of keys, and of numbers, in summary.csv: runs that share none would make it large
REPEAT = "add seed=1,2,3 to the command"
RANKED_BY_MEANS = f"Numbers are means over seeds, in nats per example, and configurations are ranked by {SCORE}."
RANKED_BY_THE_FIT = (
    f"Numbers are means over seeds, in nats per example. Configurations are ranked by the mean of {SCORE}, or by the "
    "fit if a sentence below the table says so."
)
MEANS = (
    "[low, high] is the 95 % interval of one mean (Student's t, for independent and normal scores). It contains the "
    "luck of the seeds, but not the luck of the split of the data, which is fixed."
)
DIFFERENCES = (
    "The last column is how far a configuration lies below the best. Its 95 % intervals hold for all pairs of a table "
    "at once (Tukey), so they stay right although the best was picked by the same numbers. The best's own "
    f"{SCORE} is partly luck: expect a little less from new seeds."
)
ASSUMPTIONS = (
    "The intervals assume that seeds are independent draws, and that scores are normal with the same spread in every "
    "configuration. If one of 5 configurations spreads three times as much as the others, "
    f"{CLAIMS_IF_SPREADS_DIFFER} % of sweeps over 3 seeds show a difference that is not there, instead of 5 %."
)
NO_INTERVALS = (
    f"Numbers are nats per example; configurations are ranked by {SCORE}. There are no intervals, because no "
    f"configuration ran with several seeds; {REPEAT}."
)
SINGLE = f"A number without an interval comes from a single run; {REPEAT}."
UNEQUAL_SEEDS = (
    "The configurations have different seeds, so they are ranked by a fit of configuration + seed, as the last column "
    "shows. The means in this table are over different seeds: a lucky seed can lift the mean of a configuration above "
    "that of the best."
)
NO_SHARED_SEEDS = (
    "The configurations share too few seeds to be compared seed by seed, so the last column compares their means alone."
)

Escape = Callable[[object], str]


class Table(NamedTuple):
    """A title, lines of cells of which the first names the columns, and sentences about this table; all escaped."""

    title: str
    lines: list[list[str]]
    notes: list[str]


def as_text(rows: Sequence[Row]) -> str:
    """The tables for a terminal."""
    parts = []
    for title, table, notes in _tables(rows, for_terminal):
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        parts.append("\n".join([title, *(line.rstrip() for line in lines), *map(_wrapped, notes)]))
    return "\n\n".join([*parts, *map(_wrapped, _explanations(rows, for_terminal)), counts(rows)])


def as_markdown(rows: Sequence[Row], pictures: Sequence[str] = ()) -> str:
    """The tables for a page, with links to pictures."""
    parts = [f"# {counts(rows)}"]
    for title, table, notes in _tables(rows, for_markdown):
        lines = [f"| {' | '.join(line)} |" for line in table]
        parts.append("\n".join([f"## {title}", "", lines[0], "|" + "---|" * len(table[0]), *lines[1:]]))
        parts += notes
    links = [f"![{name}]({name})" for name in pictures]
    return "\n\n".join([*parts, *_explanations(rows, for_markdown), *links]) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """A line per run: what it was given, its state, its numbers, its seconds."""
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
    """Tags in their order; if there are too many for a table, those that most runs have."""
    found = Counter(tag for row in rows for tag in row.metrics)
    kept = {tag for tag, _ in found.most_common(MOST_COLUMNS)}
    return [tag for tag in tags if tag in kept]


def counts(rows: Sequence[Row]) -> str:
    """48 runs: 46 done, 2 failed."""
    states = {state: sum(row.state == state for row in rows) for state in (*STATES, UNREADABLE)}
    return f"{len(rows)} runs: " + ", ".join(f"{n} {state}" for state, n in states.items() if n)


def format_interval(interval: Interval) -> str:
    """-101.889 [-101.913, -101.865], or the number alone if it has no interval.

    There are enough digits to see how wide it is.
    """
    centre, low, high = map(float, interval)
    if math.isnan(low):
        return _signed(centre, 3)
    half = (high - low) / 2
    digits = max(3, 1 - math.floor(math.log10(half))) if half > 1e-6 else 3
    return f"{_signed(centre, digits)} [{_signed(low, digits)}, {_signed(high, digits)}]"


def _signed(number: float, digits: int) -> str:
    """A number of so many digits; what rounds to 0 has no sign, because -0.000 would read as a difference."""
    return f"{round(number, digits) + 0.0:.{digits}f}"


def _wrapped(sentences: str) -> str:
    return textwrap.fill(sentences, 110, break_long_words=False, break_on_hyphens=False)


def _tables(rows: Sequence[Row], escape: Escape) -> list[Table]:
    """A table per group of runs that compare, and one of the runs that are not compared."""
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
    lines = [[*head, *(escape(short(tag)) for tag in tags), f"{SCORE} − best"]]
    for configuration, *to_best in zip(group.configurations, *group.to_best, strict=True):
        given = [escape(short(value)) for value in configuration.values.values()]
        means = [_mean(configuration, tag) for tag in tags]
        lag = "best" if len(lines) == 1 else format_interval(Interval(*to_best))
        lines.append([*given, str(len(configuration.runs)), *means, lag])
    return Table(escape(group.title), lines, _notes(group))


def _tags(group: Group) -> list[str]:
    """What a table shows; an NLL has a column for each number of samples."""
    found = {tag for each in group.configurations for row in each.runs.values() for tag in row.metrics}
    return [*SHOWN, *sorted(tag for tag in found if tag.startswith(NLL))]


def _mean(configuration: Configuration, tag: str) -> str:
    """A cell: the mean over seeds, and of how many seeds if that is not all of them."""
    numbers = list(configuration.scores(tag).values())
    if not numbers:
        return "-"
    some = "" if len(numbers) == len(configuration.runs) else f" ({len(numbers)} of {len(configuration.runs)} seeds)"
    return format_interval(mean_interval(np.array(numbers))) + some


def _notes(group: Group) -> list[str]:
    repeated = any(len(each.runs) > 1 for each in group.configurations)
    if not repeated or len(group.configurations) == 1 or group.balanced:
        return []
    return [UNEQUAL_SEEDS if group.paired else NO_SHARED_SEEDS]


def _explanations(rows: Sequence[Row], escape: Escape) -> list[str]:
    """What the numbers mean and assume, and what is wrong beside the tables."""
    groups = groups_of(rows)
    sizes = {len(each.runs) for group in groups for each in group.configurations}
    remarks = [
        escape(f"{row.folder.name}: {short(row.remark, 200)}") for row in rows if row.remark and not why_not(row)
    ]
    if not sizes:
        return remarks
    if sizes == {1}:
        return [NO_INTERVALS, *remarks]
    several = any(len(group.configurations) > 1 for group in groups)
    ranked = RANKED_BY_THE_FIT if any(UNEQUAL_SEEDS in _notes(group) for group in groups) else RANKED_BY_MEANS
    return [
        f"{ranked} {MEANS}",
        *([DIFFERENCES, ASSUMPTIONS] if several else []),
        *([SINGLE] if 1 in sizes else []),
        *remarks,
    ]
