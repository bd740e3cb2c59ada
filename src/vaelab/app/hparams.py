"""Chooses the hyper-parameters of a run that loggers compare."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaelab.hparams_tab import Value, leading, value_of
from vaelab.runs.run_state import read_state
from vaelab.sweeps.cells import key_and_value
from vaelab.sweeps.config_hash import WITHOUT_EFFECT

GROUPS = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler", "trainer")
KEYS = ("latent_dim", "seed", "score", "condition", "compile")
OF_A_MODEL = ("event_shape", "_target_", "_partial_", "condition")  # they follow from other keys
OF_A_RUN = ("enable_progress_bar", "enable_model_summary", "plugins", "mirrors")  # they change no number


def hparams_of(config: Mapping[str, Any], typed: Iterable[str] = ()) -> dict[str, Value]:
    """Key -> value of everything that may vary in a sweep, under the keys that you type.

    Args:
        config: the config of a run, with every value filled in.
        typed: keys of its command line, which are always included, such as `callbacks.early_stopping.patience`.
    """
    found: dict[str, Any] = {**config.get("choices", {}), **{key: config.get(key) for key in KEYS}}
    for group in GROUPS:
        node = config.get(group)
        if isinstance(node, Mapping):
            found |= dict(_flat(group, node))
    for key in typed:
        if key not in found and (value := _at(config, key)) is not None:
            found[key] = value
    return {key: value_of(None if value == "None" else value) for key, value in found.items()}


def varying_keys(folder: Path) -> tuple[list[str], list[str] | None]:
    """The keys of a run's command line, and those of them whose columns come first.

    For a cell of a sweep the second is None: TensorBoard then sees for itself which keys vary.
    """
    state = read_state(folder)
    given = [key_and_value(override)[0] for override in state.overrides] if state else []
    typed = [key for key in given if key not in WITHOUT_EFFECT]
    return typed, None if (folder.parent / "multirun.yaml").is_file() else leading(typed)


def _flat(key: str, node: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    shared = {name for name in node if name not in ("encoder", "decoder")}
    for name, value in node.items():
        if name in OF_A_MODEL or name in OF_A_RUN:
            continue
        if isinstance(value, Mapping):  # network.encoder repeats the keys that both networks share
            repeated = shared if name in ("encoder", "decoder") else set()
            yield from _flat(f"{key}.{name}", {inner: value[inner] for inner in value if inner not in repeated})
        else:
            yield f"{key}.{name}", value


def _at(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return None if isinstance(node, Mapping) else node
