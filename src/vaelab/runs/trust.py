"""Checks a run's config, which is data and may come from anyone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.runs import constructors, schema
from vaelab.runs.admitted import constructor
from vaelab.runs.node_checks import SHOWN, check_key, check_kind, check_node, check_plain, refusal
from vaelab.runs.schema import Kind

CALLBACKS = 50  # the most callbacks of a run
LOGGERS = 10  # the most loggers of a run
STUDY = "VAELAB_STUDY"  # in the environment of a search's runs: the address of its study
KNOWN = {*constructors.TOP, *constructors.PACKAGES, *constructors.TABLES, "trainer", "callbacks", "logger", "choices"}
NETWORKS = ("encoder", "decoder")


def check_model(config: Any, folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Checks the parts of a config about the model, before the model is built.

    Raises:
        ValueError: a key is unknown, or its value is of the wrong kind.
    """
    if type(config) is not dict:
        raise refusal("config", config, "a table of keys")
    for name in config:
        check_key("", name)
        if name not in KNOWN:
            raise ValueError(
                f"the run's config has the key {name[:SHOWN]}, which no run writes, so nothing of it is used"
            )
    for key in constructors.TOP:
        check_kind("", key, config.get(key), constructors.TOP[key], folder)
    check_node("model", config.get("model"), folder, allow, {}, constructors.PACKAGES["model"])
    for key in ("posterior", "prior"):
        _check_with_kl(key, config.get(key), folder, allow)
    _check_network(config.get("network"), folder, allow)
    for key in ("objective", "data"):
        if type(config.get(key)) is not dict:
            raise refusal(key, config.get(key), schema.OBJECT.phrase)
    check_kind("objective", "beta", config["objective"].get("beta"), schema.NUMBER | schema.NOTHING, folder)


def _check_with_kl(key: str, node: Any, folder: Path, allow: tuple[str, ...]) -> None:
    """Checks a posterior or a prior. `kl` is for the builder, and everything else for the constructor."""
    if type(node) is dict:
        check_kind(key, "kl", node.get("kl"), constructors.KL, folder)
        node = {name: value for name, value in node.items() if name != "kl"}
    check_node(key, node, folder, allow, {}, constructors.PACKAGES[key])


def _check_network(node: Any, folder: Path, allow: tuple[str, ...]) -> None:
    """Checks one constructor for both networks, or one for each and the keys that they share."""
    package = constructors.PACKAGES["network"]
    if type(node) is not dict or "_target_" in node:
        same = {name: value for name, value in node.items() if name not in NETWORKS} if type(node) is dict else node
        check_node("network", same, folder, allow, {}, package, delayed=True)
        return
    kinds: dict[str, Kind] = {}
    for name in NETWORKS:
        check_node(f"network.{name}", node.get(name), folder, allow, {}, package, delayed=True)
        found = constructor(node[name]["_target_"], allow, object)
        kinds |= schema.kinds_of(found) if found.__module__.startswith(package) else {}
    for name, value in node.items():
        check_key("network", name)
        if name in kinds:
            check_kind("network", name, value, kinds[name], folder)
        elif name not in NETWORKS:
            check_plain(f"network.{name}", value, folder, allow)


def check_data_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Checks the part of a config about the data, before they are read. Raises the same errors as `check_model`."""
    check_node("data", config["data"], folder, allow, {}, constructors.PACKAGES["data"])


def check_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Checks a whole config, before its run is resumed.

    Raises:
        ValueError: a key is unknown, or its value is of the wrong kind.
    """
    check_model(config, folder, allow)
    check_data_config(config, folder, allow)
    check_node("objective", config["objective"], folder, allow, {}, constructors.PACKAGES["objective"])
    for key, table in constructors.TABLES.items():
        if config.get(key) is not None:
            check_node(key, config[key], folder, allow, table, delayed=True)
    _check_loggers(config.get("logger") or {}, folder, allow)
    _check_trainer(config.get("trainer"), folder, allow)
    callbacks = config.get("callbacks") or {}
    if type(callbacks) is not dict or len(callbacks) > CALLBACKS:
        raise refusal("callbacks", callbacks, f"a table of at most {CALLBACKS} callbacks")
    for name, node in callbacks.items():
        check_key("callbacks", name)
        if node is not None:
            check_node(f"callbacks.{name}", node, folder, allow, constructors.CALLBACKS | constructors.PRUNERS)
    choices = config.get("choices")
    if type(choices) is not dict or not all(schema.is_text(each) for pair in choices.items() for each in pair):
        raise refusal("choices", choices, "a table of names")


def _check_loggers(given: Any, folder: Path, allow: tuple[str, ...]) -> None:
    """Checks one logger, or a table or list of them. None may write elsewhere; to send anything needs `allow`."""
    table = dict(constructors.LOGGERS)
    for target, (package, kinds) in constructors.SENDING.items():
        if package in allow:
            table[target] = {**table[target], **kinds}
    if type(given) is dict and "_target_" not in given:
        for name in given:
            check_key("logger", name)
        given = list(given.values())
    nodes = given if type(given) is list else [given]
    if len(nodes) > LOGGERS:
        raise refusal("logger", given, f"at most {LOGGERS} loggers")
    for node in nodes:
        if node is not None:
            check_node("logger", node, folder, allow, table)


def with_own_study(config: dict[str, Any], study: str | None) -> dict[str, Any]:
    """Makes the pruning callback of a config use the database of the current search, or removes it.

    Args:
        config: the config of a run that may come from anyone, so its own address of a database is not used.
        study: the address of the search's database; None without a search.
    """
    given = config.get("callbacks") if type(config) is dict else None
    callbacks = dict(given) if type(given) is dict else {}
    prunes = "vaelab.training.PruneTrial"
    asks = [name for name, node in callbacks.items() if type(node) is dict and node.get("_target_") == prunes]
    for name in asks:
        callbacks[name] = study and {**callbacks[name], "storage": study}
    return {**config, "callbacks": callbacks} if asks else config


def _check_trainer(node: Any, folder: Path, allow: tuple[str, ...]) -> None:
    if type(node) is not dict:
        raise refusal("trainer", node, "a table of keys")
    plugins = node.get("plugins") or []
    if type(plugins) is not list:
        raise refusal("trainer.plugins", plugins, "a list")
    for plugin in plugins:
        check_node("trainer.plugins", plugin, folder, allow, constructors.PLUGINS)
    rest = {key: value for key, value in node.items() if key != "plugins"}
    check_node("trainer", rest, folder, allow, {"lightning.pytorch.Trainer": constructors.TRAINER})
