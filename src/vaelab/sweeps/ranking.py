"""Finds runs that can be compared, runs that repeat a configuration, and the best configuration."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from vaelab.decimals import kind_of_score
from vaelab.escapes import short
from vaelab.sweeps.rows import PRUNED, Row
from vaelab.sweeps.run_files import NLL
from vaelab.sweeps.scores import is_lower_better
from vaelab.sweeps.statistics import Interval, rank

SEED = "seed"  # runs that differ only in this key repeat a configuration
FOLDER = "folder"  # the column that distinguishes runs with the same values and seed
LARGEST = 1e30  # nats; a larger number comes from an overflow, and its digits would fill the table
NAMED = 2  # the most keys of data.json in a title
CHECKSUM = "checksum"  # keys of checksums end in this; a title names them only if no readable key differs
TRIAL = "fast_dev_run"  # the key of data.json that marks a run with trainer.fast_dev_run
WITHOUT = {"val_scored": "all", "test_scored": "all"}  # the meaning of a key that is missing in data.json


@dataclass(frozen=True)
class Configuration:
    """Runs that differ only in their seed: seed -> run."""

    values: Mapping[str, str]
    runs: Mapping[str, Row]

    def scores(self, tag: str) -> dict[str, float]:
        """Seed -> a final number, for the runs that have a finite one."""
        numbers = {seed: row.metrics.get(tag, math.nan) for seed, row in self.runs.items()}
        return {seed: number for seed, number in numbers.items() if abs(number) < LARGEST}


@dataclass(frozen=True)
class Group:
    """Configurations that share a table, the best first.

    Attributes:
        title: the kind of their scores.
        score: the tag of the score that all their runs have.
        meanings: the meanings of the scores; if there are several, they cannot be compared.
        ranked_by: the tag of the number that ranks them. If it is empty, they are in the order of the runs.
        configurations: the m configurations.
        to_best: the difference between each and the best, (m,); NaN if nothing ranks them.
        paired: True if the difference is taken seed by seed.
    """

    title: str
    score: str
    meanings: tuple[str, ...]
    ranked_by: str
    configurations: tuple[Configuration, ...]
    to_best: Interval
    paired: bool

    @property
    def balanced(self) -> bool:
        """True if all configurations have the same seeds."""
        return len({frozenset(each.runs) for each in self.configurations}) == 1


def why_not(row: Row) -> str:
    """The reason why a run is not compared; empty if it is."""
    if row.state != "done":
        return row.reason or {"pending": "has not started", "running": "is still running"}.get(row.state, row.state)
    if TRIAL in row.data:
        return "trainer.fast_dev_run only tries a few minibatches"
    if row.reason.startswith(PRUNED):  # it trained for fewer epochs than the others
        return row.reason
    if (score := row.metrics.get(row.score)) is None:
        return f"has no {row.score}"
    return "" if abs(score) < LARGEST else f"its {row.score} is {score:g}"


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """Groups runs by the table that they share. Of runs with equal configs and data, only the first counts."""
    once: dict[object, Row] = {}
    for row in rows:
        if not why_not(row):
            once.setdefault((row.config, _key(row)) if row.config else row.folder, row)
    keys = [key for key in varying_keys(list(once.values())) if key != SEED]
    found: dict[str, list[Row]] = {}
    for row in once.values():
        found.setdefault(_key(row), []).append(row)
    titles = _titles([{**group[0].data, "score": group[0].score} for group in found.values()])
    by_title = sorted(zip(titles, found.values(), strict=True), key=itemgetter(0))
    return [_group(title, group, keys) for title, group in by_title]


def varying_keys(rows: Sequence[Row]) -> list[str]:
    """The keys in which the runs differ, in the order of the command line."""
    return [key for key in _keys([row.values for row in rows]) if len({row.values.get(key) for row in rows}) > 1]


def _keys(each: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(key for values in each for key in values))


def _key(row: Row) -> str:
    return json.dumps([row.score, dict(row.data)], sort_keys=True)


def _titles(data: Sequence[Mapping[str, str]]) -> list[str]:
    """A title for each group. Titles that would be the same name the keys in which their data differ."""
    plain = [_plain_title(each) for each in data]
    titles = []
    for title, own in zip(plain, data, strict=True):
        alike = [each for other, each in zip(plain, data, strict=True) if other == title]
        keys = [key for key in _keys(alike) if len({each.get(key) for each in alike}) > 1]
        if any(each != own and _readable(each) == _readable(own) for each in alike):
            keys.sort(key=lambda key: key.endswith(CHECKSUM))
        else:
            keys = [key for key in keys if not key.endswith(CHECKSUM)]
        named = [f"{key}: {short(own.get(key, WITHOUT.get(key, 'unknown')))}" for key in keys[:NAMED]]
        more = [f"{len(keys) - NAMED} more"] if len(keys) > NAMED else []
        titles.append(f"{title} ({'; '.join([*named, *more])})" if named else title)
    return titles


def _readable(data: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in data.items() if not key.endswith(CHECKSUM)}


def _plain_title(data: Mapping[str, str]) -> str:
    kind = kind_of_score(data.get("measure", "density"))
    given = f" given the {short(data['condition'])}" if data.get("condition") else ""
    return f"{kind} per {short(data.get('per', 'example'))} of {short(data.get('data', 'unknown data'))}{given}"


def _group(title: str, rows: Sequence[Row], keys: Sequence[str]) -> Group:
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(row.values.get(key, "-") for key in keys), []).append(row)
    apart = [(values, *each) for values, same in alike.items() for each in _apart(same)]
    named = any(place for _, place, _ in apart)
    configurations = [
        Configuration(dict(zip(keys, values, strict=True)) | ({FOLDER: place or "-"} if named else {}), runs)
        for values, place, runs in apart
    ]
    meanings = tuple(dict.fromkeys(row.meaning for row in rows))
    score = rows[0].score
    ranked_by = score if len(meanings) == 1 else _shared_nll(rows)
    order, to_best, paired = _ranked(configurations, ranked_by)
    return Group(title, score, meanings, ranked_by, tuple(configurations[i] for i in order), to_best, paired)


def _shared_nll(rows: Sequence[Row]) -> str:
    """The tag of the NLL with the most samples that every run has; empty if there is none."""
    tags = [tag for tag in rows[0].metrics if tag.startswith(NLL)]
    shared = [tag for tag in tags if all(abs(row.metrics.get(tag, math.nan)) < LARGEST for row in rows)]
    return max(shared, key=lambda tag: int(re.findall(r"\d+", tag)[0]), default="")


def _ranked(configurations: Sequence[Configuration], tag: str) -> tuple[Sequence[int], Interval, bool]:
    """Orders configurations, the best first: (order, differences to the best, True if they are taken seed by seed)."""
    if not tag:
        nothing = np.full(len(configurations), math.nan)
        return range(len(configurations)), Interval(nothing, nothing, nothing), False
    sign = -1 if is_lower_better(tag) else 1
    scores = [{seed: sign * number for seed, number in each.scores(tag).items()} for each in configurations]
    ranking = rank(scores)
    order = np.argsort(-ranking.effects, kind="stable")
    centre, low, high = (sign * ends[order] for ends in ranking.to_best)
    return order.tolist(), Interval(centre, *((low, high) if sign == 1 else (high, low))), ranking.paired


def _apart(rows: Sequence[Row]) -> Iterator[tuple[str, dict[str, Row]]]:
    """Splits runs of the same values by place until each has its own seed: (place, seed -> run)."""
    for place in (lambda row: "", lambda row: str(row.folder.parent), lambda row: str(row.folder)):
        runs: dict[str, dict[str, Row]] = {}
        for row in rows:
            runs.setdefault(place(row), {}).setdefault(row.values.get(SEED, ""), row)
        if sum(map(len, runs.values())) == len(rows):
            break
    yield from runs.items()
