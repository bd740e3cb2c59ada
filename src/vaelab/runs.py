"""A run's folder on disk."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """Writes `metrics.json`: flat, its keys the names of the curves, its values in nats per example."""
    (folder / "metrics.json").write_text(json.dumps(dict(metrics), indent=2) + "\n")


def format_metrics(metrics: Mapping[str, float]) -> str:
    """{"val/elbo": …} -> a table with a row per term and a column per split."""
    splits = list(dict.fromkeys(tag.split("/")[0] for tag in metrics))
    terms = list(dict.fromkeys(tag.split("/")[1] for tag in metrics))
    rows = [["nats per example", *splits]]
    rows += [[term, *(f"{metrics[f'{split}/{term}']:.3f}" for split in splits)] for term in terms]
    return "\n".join(f"{name:<18}" + "".join(f"{cell:>12}" for cell in cells) for name, *cells in rows)


def format_summary(folder: Path, metrics: Mapping[str, float]) -> str:
    """What a run prints at its end: its numbers, its folder, and how to see its curves."""
    folder = folder.resolve()
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    runs = folder if folder.is_absolute() else folder.parts[0]  # `outputs` or `multirun`: all curves at once
    return f"\n{format_metrics(metrics)}\n\nrun     {folder}\ncurves  tensorboard --logdir {shlex.quote(str(runs))}"
