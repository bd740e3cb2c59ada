"""The cells of sweeps side by side: tables and plots."""

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.figures.comparison import Line, Panel, RateDistortion, ScoreOver
from vaelab.files import write_whole
from vaelab.runs.folder import in_use
from vaelab.runs.state import STATES, read_state
from vaelab.sweeps.cells import key_and_value
from vaelab.sweeps.identity import PLACES
from vaelab.sweeps.statistics import Difference, Mean, mean_of, paired_bootstrap

SCORE = "val/elbo"  # by which configurations are ranked; the test split is looked at last
SHOWN = ("val/elbo", "test/elbo", "test/log_likelihood", "test/kl")
SEED = "seed"  # what repeats a configuration


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        folder: where it lies.
        values: key -> value of its command line.
        state, reason, config: as in its `state.json`.
        metrics: its final numbers, nats per example.
        means: what those are densities or probabilities of; runs compare where this is equal.
        seconds: spent in it.
    """

    folder: Path
    values: Mapping[str, str]
    state: str
    reason: str
    config: str
    metrics: Mapping[str, float]
    means: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed alone: seed -> run."""

    values: Mapping[str, str]
    runs: Mapping[str, Row]

    def scores(self, tag: str = SCORE) -> dict[str, float]:
        """seed -> a final number, of the runs that have it."""
        return {seed: row.metrics[tag] for seed, row in self.runs.items() if tag in row.metrics}


@dataclass(frozen=True)
class Group:
    """Configurations whose scores compare, the best first."""

    means: Mapping[str, str]
    configurations: tuple[Configuration, ...]

    @property
    def title(self) -> str:
        """What the scores are."""
        kind = "log-density" if self.means.get("measure", "density") == "density" else "log-probability"
        per, data = self.means.get("per", "example"), self.means.get("data", "unknown data")
        return f"{kind} per {per} of {data}"


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """The runs in these folders, each a run or a sweep.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: it holds no run.
    """
    rows: dict[Path, Row] = {}
    for folder in folders:
        if folder.is_file():
            raise ValueError(f"{folder} is a file, which cannot be compared; name a run's folder, or a sweep's")
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist, so there is nothing to compare; name a run or a sweep")
        found = list(_runs_in(folder))
        if not found:
            raise ValueError(f"{folder} holds no run; name a run's folder, or that of a sweep")
        rows |= {path.resolve(): _row(path) for path in found}
    return list(rows.values())


def _runs_in(folder: Path) -> Iterator[Path]:
    marks = ("state.json", "metrics.json")
    if any((folder / mark).is_file() for mark in marks):
        yield folder
    else:
        yield from sorted({path.parent for mark in marks for path in folder.rglob(mark)}, key=_natural)


def _natural(path: Path) -> list[Any]:
    """Numbers in names in the order of numbers."""
    parts = path.name.replace("=", ",").split(",")
    return [(0, number, "") if (number := _number(part)) is not None else (1, 0.0, part) for part in parts]


def _row(folder: Path) -> Row:
    state, metrics = read_state(folder), _read(folder / "metrics.json")
    numbers = {tag: float(value) for tag, value in metrics.items() if isinstance(value, int | float)}
    evaluation = _read(folder / "evaluation.json")
    if "nll" in evaluation:
        numbers["test/nll"] = float(evaluation["nll"])
    overrides = dict(map(key_and_value, state.overrides)) if state else {}
    how, reason = (state.state, state.reason) if state else ("done" if metrics else "pending", "")
    if how == "running" and not in_use(folder):
        how, reason = "pending", "ended without a word"
    return Row(
        folder,
        {key: value for key, value in overrides.items() if key not in PLACES} or {"run": folder.name},
        how,
        reason,
        state.config if state else "",
        numbers if how == "done" else {},
        {key: str(value) for key, value in _read(folder / "data.json").items()},
        state.seconds if state else math.nan,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """What compares, together; in each group configurations by their mean score, the best first.

    Runs of one config are one run: the first.
    """
    keys = [key for key in varying_keys(rows) if key != SEED]
    found: dict[str, dict[tuple[str, ...], Configuration]] = {}
    for row in rows:
        if SCORE not in row.metrics:
            continue
        group = found.setdefault(json.dumps(row.means, sort_keys=True), {})
        values = {key: row.values.get(key, "-") for key in keys}
        configuration = group.setdefault(tuple(values.values()), Configuration(values, {}))
        if row.config and any(row.config == other.config for other in configuration.runs.values()):
            continue
        seed = row.values.get(SEED, "")
        configuration.runs[seed if seed not in configuration.runs else str(row.folder)] = row  # type: ignore[index]
    return [
        Group(json.loads(means), tuple(sorted(group.values(), key=lambda c: -mean_of(list(c.scores().values())).mean)))
        for means, group in sorted(found.items())
    ]


def varying_keys(rows: Sequence[Row]) -> list[str]:
    """The keys in which the runs differ, in the order of the command line."""
    keys = dict.fromkeys(key for row in rows for key in row.values)
    return [key for key in keys if len({row.values.get(key) for row in rows}) > 1]


def as_csv(rows: Sequence[Row]) -> str:
    """A line per run: what it was given, its state, its numbers, its seconds."""
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    tags = list(dict.fromkeys(tag for row in rows for tag in row.metrics))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", *keys, "state", "reason", "measure", *tags, "seconds"])
    for row in rows:
        given = [row.values.get(key, "") for key in keys]
        numbers = [repr(row.metrics[tag]) if tag in row.metrics else "" for tag in tags]
        writer.writerow(
            [row.folder.name, *given, row.state, row.reason, row.means.get("measure", ""), *numbers, row.seconds]
        )
    return file.getvalue()


def tables(rows: Sequence[Row]) -> list[tuple[str, list[list[str]]]]:
    """A title and a table per group, its first row the names of the columns; then one of the runs without a score."""
    found = []
    for group in groups_of(rows):
        tags = [tag for tag in (*SHOWN, "test/nll") if any(c.scores(tag) for c in group.configurations)]
        best = group.configurations[0]
        table = [[*best.values, "seeds", *tags, f"{SCORE} − best"]]
        for configuration in group.configurations:
            means = [mean_of(list(configuration.scores(tag).values())) for tag in tags]
            lag = paired_bootstrap(configuration.scores(), best.scores())
            behind = "best" if configuration is best else format_difference(lag)
            table.append([*configuration.values.values(), str(means[0].n), *map(format_mean, means), behind])
        found.append((group.title, table))
    if missing := [row for row in rows if SCORE not in row.metrics]:
        keys = varying_keys(rows)
        reasons = [row.reason or (f"has no {SCORE}" if row.state == "done" else "") for row in missing]
        lines = [
            [*(row.values.get(key, "") for key in keys), row.state, reason]
            for row, reason in zip(missing, reasons, strict=True)
        ]
        found.append(("not compared", [[*keys, "state", "reason"], *lines]))
    return found


def format_mean(mean: Mean) -> str:
    """-101.889 ± 0.012, or - where there is none."""
    if not mean.n:
        return "-"
    return f"{mean.mean:.3f}" if math.isnan(mean.stderr) else f"{mean.mean:.3f} ± {mean.stderr:.3f}"


def format_difference(lag: Difference) -> str:
    """-0.52 [-0.60, -0.41], the interval where there are several seeds."""
    if math.isnan(lag.mean):
        return "-"
    interval = "" if math.isnan(lag.low) else f" [{lag.low:.3f}, {lag.high:.3f}]"
    return f"{lag.mean:.3f}{interval}"


def counts(rows: Sequence[Row]) -> str:
    """48 runs: 46 done, 2 failed."""
    states = {state: sum(row.state == state for row in rows) for state in STATES}
    return f"{len(rows)} runs: " + ", ".join(f"{n} {state}" for state, n in states.items() if n)


CAPTION = (
    f"nats per example: mean ± standard error over seeds, ranked by {SCORE}; in the last column, the mean difference "
    "to the best on the same seeds, with the 95 % interval of a paired bootstrap"
)


def as_text(rows: Sequence[Row]) -> str:
    """The tables for a terminal."""
    parts = []
    for title, table in tables(rows):
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        parts.append("\n".join([title, *(line.rstrip() for line in lines)]))
    return "\n\n".join([*parts, CAPTION, counts(rows)])


def as_markdown(rows: Sequence[Row], pictures: Sequence[str] = ()) -> str:
    """The same for a page."""
    parts = [f"# {counts(rows)}"]
    for title, table in tables(rows):
        lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in table]
        rule = "|" + "---|" * len(table[0])
        parts.append("\n".join([f"## {title}", "", lines[0], rule, *lines[1:]]))
    return "\n\n".join([*parts, CAPTION, *(f"![{name}]({name})" for name in pictures)]) + "\n"


def pictures(rows: Sequence[Row]) -> dict[str, Any]:
    """name -> a picture; none where nothing is done."""
    groups = groups_of(rows)
    keys = [key for key in varying_keys(rows) if key != SEED]
    if not groups:
        return {}
    if not keys:
        keys = ["run"]
    across = next((key for key in ("latent_dim", *keys) if key in keys and _numeric(groups, key)), keys[0])
    numeric = _numeric(groups, across)
    names = [] if numeric else list(dict.fromkeys(c.values.get(across, "") for g in groups for c in g.configurations))

    def place(value: str) -> float:
        return float(value) if numeric else names.index(value)

    shown = tuple(_panel(group, across, place) for group in groups)
    legend = ", ".join(key for key in keys if key != across)
    places = {configuration.values.get(across, "") for group in groups for configuration in group.configurations}
    return {
        "rate_distortion": RateDistortion(
            shown, f"{legend} (numbers: {across})".strip(), tuple((place(value), value) for value in sorted(places))
        ),
        f"elbo_over_{across.replace('.', '_')}": ScoreOver(shown, across, SCORE, legend, tuple(names)),
    }


def _panel(group: Group, across: str, place: Callable[[str], float]) -> Panel:
    lines: dict[str, list[tuple[float, Row]]] = {}
    for configuration in group.configurations:
        others = {key: value for key, value in configuration.values.items() if key != across}
        label = ", ".join(others.values() if len(others) == 1 else (f"{k}={v}" for k, v in others.items()))
        points = lines.setdefault(label, [])
        points += [(place(configuration.values.get(across, "")), row) for row in configuration.runs.values()]
    return Panel(
        group.title,
        tuple(
            Line(
                label,
                np.array([x for x, _ in points]),
                np.array([row.metrics[SCORE] for _, row in points]),
                np.array([row.metrics.get("val/kl", math.nan) for _, row in points]),
                np.array([-row.metrics.get("val/log_likelihood", math.nan) for _, row in points]),
            )
            for label, points in sorted(lines.items())
        ),
    )


def _numeric(groups: Sequence[Group], key: str) -> bool:
    return all(_number(c.values.get(key, "")) is not None for group in groups for c in group.configurations)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def summarise(folders: Sequence[Path], output: Path | None) -> tuple[int, str]:
    """Compares the runs in these folders; -> how many are not done, and the tables as text.

    Args:
        folders: runs or sweeps.
        output: a folder for summary.csv, summary.md and the plots; None writes nothing.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: one holds no run.
        OSError: the summary cannot be written.
    """
    rows = read_rows(folders)
    text = as_text(rows)
    if output is not None:
        drawn = {f"{name}.png": picture.render() for name, picture in pictures(rows).items()}
        files = {"summary.csv": as_csv(rows).encode(), "summary.md": as_markdown(rows, list(drawn)).encode(), **drawn}
        for name, contents in files.items():
            write_whole(output / name, contents)
        _show_in_tensorboard(output, drawn)
        text += "\n\n" + "  ".join(["written", *(str(output / name) for name in files)])
    return sum(row.state != "done" for row in rows), text


def _show_in_tensorboard(folder: Path, drawn: Mapping[str, bytes]) -> None:
    """The plots as images of a run of their own, in place of those of an earlier summary."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for old in folder.glob("events.out.tfevents.*.comparison"):
        old.unlink()
    if not drawn:
        return
    writer = EventFileWriter(str(folder), filename_suffix=".comparison")
    for name, png in drawn.items():
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of a PNG's first chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"comparison/{Path(name).stem}", image=image)
        writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))
    writer.close()
