"""Reads the config of a run as flat text. The file may come from anyone, so it is parsed without building objects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vaelab.files import read_small

COMPOSED = ".hydra/config.yaml"  # as composed: a value that follows another key is a reference to it
SAVED = "hparams.yaml"  # with every value filled in; `vaelab.save_run` writes only this one
FACTS = (  # keys of hparams.yaml that are not settings
    *("folder", "fingerprint", "choices", "kl", "threads", "x_shape", "target_shape", "condition_shape"),
    *("x_names", "condition_names", "label_names", "standardize", "levels", "train_size"),
)
LARGEST, DEEPEST, MOST_KEYS, BRACKETS = 1 << 18, 30, 5_000, 1_000  # bytes, levels, keys, opening brackets


def read_config(folder: Path) -> dict[str, str]:
    """The settings of a run: {"network.hidden": "[64, 64]", …}; empty if there is no config.

    Raises:
        OSError, ValueError: the config cannot be read.
    """
    for name in (COMPOSED, SAVED):
        try:
            text = read_small(folder / name, LARGEST).decode()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ValueError as error:
            raise ValueError(f"{name} must be a small text file: {error}") from error
        flat = _flat(text, name)
        return {key: value for key, value in flat.items() if name == COMPOSED or key.split(".")[0] not in FACTS}
    return {}


def _flat(text: str, name: str) -> dict[str, str]:
    """YAML -> {"a.b": "value"}. A list is one value, with what is inside it as text."""
    import yaml

    if text.count("[") + text.count("{") > BRACKETS:  # brackets inside each other take long to parse
        raise ValueError(f"{name} must hold at most {BRACKETS} brackets, but holds more")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = yaml.parse(text, Loader=loader)
        for event in events:
            if isinstance(event, yaml.MappingStartEvent):
                flat: dict[str, str] = {}
                _fill(flat, events, "", 0, name)
                return flat
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{name} must be YAML, but cannot be read as such") from error
    raise ValueError(f"{name} must hold keys and values, but holds none")


def _fill(flat: dict[str, str], events: Iterator[Any], prefix: str, depth: int, name: str) -> None:
    """Adds the keys of a mapping, whose start has just been read."""
    import yaml

    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            return
        if not isinstance(event, yaml.ScalarEvent) or len(flat) >= MOST_KEYS or depth >= DEEPEST:
            raise ValueError(f"{name} must hold plain keys, at most {MOST_KEYS}, {DEEPEST} levels deep")
        key, value = f"{prefix}{event.value}", next(events)
        if isinstance(value, yaml.MappingStartEvent):
            _fill(flat, events, f"{key}.", depth + 1, name)
        else:
            flat[key] = _text(value, events, depth, name)


def _text(event: Any, events: Iterator[Any], depth: int, name: str) -> str:
    """A value as text, such as `[64, 64]`."""
    import yaml

    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    if isinstance(event, yaml.AliasEvent) or depth >= DEEPEST:  # an alias could stand for endless text
        raise ValueError(f"{name} must hold no references, and at most {DEEPEST} levels")
    end = yaml.SequenceEndEvent if isinstance(event, yaml.SequenceStartEvent) else yaml.MappingEndEvent
    parts: list[str] = []
    for inner in events:
        if isinstance(inner, end):
            break
        parts.append(_text(inner, events, depth + 1, name))
    return f"[{', '.join(parts)}]"
