"""Describes a run in its loggers: the command, the data and the config, as Markdown."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vaelab.files import read_json
from vaelab.training.loggers import Loggers, write_text
from vaelab.typed_command import typed_command

LEFT_OUT = ("callbacks", "logger", "trainer", "choices", "fingerprint", "train_size", "folder", "resume")


def write_about(loggers: Loggers, config: Mapping[str, Any], folder: Path) -> None:
    """Writes three texts: `about/command`, `about/config` and `about/data`.

    Args:
        loggers: the loggers of the run.
        config: the whole config, with every value filled in.
        folder: the run's folder, which holds data.json.
    """
    texts = {
        "command": command_text(folder),
        "config": config_text(config),
        "data": data_text(read_json(folder / "data.json")),
    }
    for name, text in texts.items():
        write_text(loggers, name, text)


def command_text(folder: Path) -> str:
    """The command line that started the run, and the folder that it writes to."""
    return f"{_code(shlex.join([*shlex.split(typed_command()), *sys.argv[1:]]))}\n\nThe run is in `{folder}`."


def config_text(config: Mapping[str, Any]) -> str:
    """A table of the chosen options, and the config as YAML."""
    options = _table(("group", "option"), config.get("choices", {}))
    shown = {key: value for key, value in config.items() if key not in LEFT_OUT}
    shown["trainer"] = {key: value for key, value in config.get("trainer", {}).items() if value is not None}
    return f"{options}\n\n{_code(yaml.safe_dump(_plain(shown), sort_keys=False, allow_unicode=True))}"


def data_text(data: Any) -> str:
    """A table of the facts about the data."""
    return _table(("", "data"), data if isinstance(data, dict) else {})


def _table(header: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [header, ("---", "---"), *((str(key), _cell(value)) for key, value in rows.items())]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    """Text as a block of code: indented, because the text may hold the marks that fence a block."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


def _plain(value: Any) -> Any:
    """The same value in lists and tables only, which YAML writes without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
