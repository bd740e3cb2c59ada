"""The values of a run's settings as its config holds them, instead of as they were typed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaelab.sweeps.rows import UNREADABLE, Row
from vaelab.sweeps.run_files import CANNOT_BE_READ
from vaelab.sweeps.scores import read_setting

MOST_KEYS = 200  # the most keys that are looked up in each config


def with_resolved_values(rows: Sequence[Row]) -> list[Row]:
    """Rows with a value for each key that somebody typed for any of them.

    `optimizer.lr=1e-3` becomes 0.001, `latent_dim=${other}` its number, and a run for which nobody typed `latent_dim`
    gets the value that it had by default. A value that a config does not hold stays as it was typed.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row.values))[:MOST_KEYS]
    return [_resolved(row, keys) if row.state != UNREADABLE else row for row in rows]


def _resolved(row: Row, keys: Sequence[str]) -> Row:
    settings: dict[str, Any] = {}
    choices = _setting(row.folder, "choices", settings)
    values = {}
    for key in keys:
        if isinstance(choices, Mapping) and isinstance(choices.get(key), str):
            found: str | None = choices[key]
        else:
            found = _text(_inside(_setting(row.folder, key.split(".")[0], settings), key.split(".")[1:]))
        found = row.values.get(key) if found is None else found
        if found is not None:
            values[key] = found
    return replace(row, values=values)


def _setting(folder: Path, name: str, known: dict[str, Any]) -> Any:
    """A top-level setting of a run; None if its config does not have it or cannot be read."""
    if name not in known:
        try:
            known[name] = read_setting(folder, name)
        except CANNOT_BE_READ:
            known[name] = None
    return known[name]


def _inside(setting: Any, path: Sequence[str]) -> Any:
    for name in path:
        setting = setting.get(name) if isinstance(setting, Mapping) else None
    return setting


def _text(value: Any) -> str | None:
    """A value as people type it: `0.001`, `true`, `[500,500]`; None if it is a group of settings, or missing."""
    if value is None or isinstance(value, Mapping):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        parts = [_text(each) for each in value]
        return None if None in parts else f"[{','.join(map(str, parts))}]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
