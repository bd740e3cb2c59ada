"""What a run's config may hold: it is data, and may come from anyone."""

import re
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from vaelab.runs import constructors, schema
from vaelab.runs.schema import Kind, Kinds

TARGET = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
KEY = r"[A-Za-z][\w.-]*"
SHOWN = 200  # characters of a value or a name, in an error
TRUSTED = "torch.optim."  # writes no files: if torch is allowed, all of its optimisers and schedules are
CALLBACKS = 50  # of a run, at most
STUDY = "VAELAB_STUDY"  # in the environment of a search's runs: where its study lies
KNOWN = {*constructors.TOP, *constructors.PACKAGES, *constructors.TABLES, "trainer", "callbacks", "choices"}
MODEL = ("model", "posterior", "prior", "network")  # what a trained model is made of


def instantiate(node: Any, allow: tuple[str, ...] = (), kind: type = nn.Module, **more: Any) -> Any:
    """A config's plain containers -> what they describe: `_target_` names a constructor, `_partial_` delays the call.

    Raises:
        ValueError: the constructor is neither vaelab's nor allowed, makes no `kind`, or does not take what it is given.
    """
    if isinstance(node, list):
        return [instantiate(item, allow) for item in node]
    if not isinstance(node, dict):
        return node
    values = {key: instantiate(value, allow) for key, value in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return values
    make = constructor(node["_target_"], allow, kind)
    try:
        return partial(make, **values, **more) if node.get("_partial_") else make(**values, **more)
    except TypeError as error:
        raise ValueError(
            f"the run's config has wrong arguments for {node['_target_']} ({error}); train a new run"
        ) from error


def constructor(target: Any, allow: tuple[str, ...], kind: type) -> Any:
    """The class that `package.module.Class` names, if that is a `kind` of vaelab's own or of an allowed package."""
    module, _, name = str(target).rpartition(".")
    packages = ("vaelab", *allow)
    found: Any = None
    if re.fullmatch(TARGET, str(target)) and module.split(".")[0] in packages:
        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            raise ValueError(f"the run's config names {target}, which cannot be imported ({error})") from error
    # A module's own imports are within its reach too: only what was defined in the package counts.
    if not isinstance(found, type) or found.__module__.split(".")[0] not in packages:
        raise ValueError(
            f"the run's config names {target}, which is no class of {' or '.join(packages)}, so it is not called; if "
            "you trust it, allow its package"
        )
    if not issubclass(found, kind):
        raise ValueError(f"the run's config must name a {kind.__name__} here, but names {target}, so it is not called")
    return found


def users_own(allow: tuple[str, ...]) -> tuple[str, ...]:
    """Of the packages that are allowed those that vaelab knows nothing about."""
    return tuple(package for package in allow if package not in ("vaelab", "torch", "lightning", "optuna"))


def check_model(config: Any, folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through what a config says about a model, before it is built.

    Raises:
        ValueError: a key is not known, or its value is not of the kind that belongs there.
    """
    if type(config) is not dict:
        raise refusal("config", config, "a table of keys")
    for name in config:
        _check_key("", name)
        if name not in KNOWN:
            raise ValueError(
                f"the run's config has the key {name[:SHOWN]}, which no run writes, so nothing of it is used"
            )
    for key in constructors.TOP:
        check_kind("", key, config.get(key), constructors.TOP[key], folder)
    for key in MODEL:
        _check_node(key, config.get(key), folder, allow, {}, constructors.PACKAGES[key], delayed=key == "network")
    for key in ("objective", "data"):
        if type(config.get(key)) is not dict:
            raise refusal(key, config.get(key), schema.OBJECT.phrase)
    check_kind("objective", "beta", config["objective"].get("beta"), schema.NUMBER | schema.NOTHING, folder)


def check_data_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through what a config says about its data, before they are read; raises as `check_model`."""
    _check_node("data", config["data"], folder, allow, {}, constructors.PACKAGES["data"])


def check_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through the whole of a config, before a run is resumed with it.

    Raises:
        ValueError: a key is not known, or its value is not of the kind that belongs there.
    """
    check_model(config, folder, allow)
    check_data_config(config, folder, allow)
    _check_node("objective", config["objective"], folder, allow, {}, constructors.PACKAGES["objective"])
    for key, table in constructors.TABLES.items():
        if config.get(key) is not None and config[key] is not False:
            _check_node(key, config[key], folder, allow, table, delayed=key != "logger")
    _check_trainer(config.get("trainer"), folder, allow)
    callbacks = config.get("callbacks") or {}
    if type(callbacks) is not dict or len(callbacks) > CALLBACKS:
        raise refusal("callbacks", callbacks, f"a table of at most {CALLBACKS} callbacks")
    for name, node in callbacks.items():
        _check_key("callbacks", name)
        if node is not None:
            _check_node(f"callbacks.{name}", node, folder, allow, constructors.CALLBACKS | constructors.PRUNERS)
    choices = config.get("choices")
    if type(choices) is not dict or not all(schema.is_text(each) for pair in choices.items() for each in pair):
        raise refusal("choices", choices, "a table of names")


def with_own_study(config: dict[str, Any], study: str | None) -> dict[str, Any]:
    """A config whose callback asks the pruner of the search that runs this, or none if no search does.

    Args:
        config: whose database may be anyone's.
        study: the address of the search's own.
    """
    given = config.get("callbacks") if type(config) is dict else None
    callbacks = dict(given) if type(given) is dict else {}
    prunes = "vaelab.training.PruneTrial"
    asks = [name for name, node in callbacks.items() if type(node) is dict and node.get("_target_") == prunes]
    for name in asks:
        callbacks[name] = study and {**callbacks[name], "storage": study}
    return {**config, "callbacks": callbacks} if asks else config


def _check_key(key: str, name: Any) -> None:
    if type(name) is not str or not re.fullmatch(KEY, name):
        raise ValueError(
            f"the run's config has the key {key}.{str(name)[:SHOWN]}, which no run writes, so nothing of it is used"
        )


def check_kind(key: str, name: str, value: Any, kind: Kind, folder: Path) -> None:
    if not kind.holds(value, folder):
        raise refusal(f"{key}.{name}".lstrip("."), value, kind.phrase)


def refusal(key: str, value: Any, phrase: str) -> ValueError:
    shown = type(value).__name__ if isinstance(value, dict | list | tuple) else str(value)[:SHOWN]
    return ValueError(f"{key} in the run's config must be {phrase}, but is {shown}, so nothing of it is used")


def _check_trainer(node: Any, folder: Path, allow: tuple[str, ...]) -> None:
    if type(node) is not dict:
        raise refusal("trainer", node, "a table of keys")
    plugins = node.get("plugins") or []
    if type(plugins) is not list:
        raise refusal("trainer.plugins", plugins, "a list")
    for plugin in plugins:
        _check_node("trainer.plugins", plugin, folder, allow, constructors.PLUGINS)
    rest = {key: value for key, value in node.items() if key != "plugins"}
    _check_node("trainer", rest, folder, allow, {"lightning.pytorch.Trainer": constructors.TRAINER})


def _check_node(
    key: str,
    node: Any,
    folder: Path,
    allow: tuple[str, ...],
    table: Mapping[str, Kinds],
    package: str = "",
    delayed: bool = False,
) -> None:
    """Looks through what describes one object.

    Args:
        key: of the node, for the errors.
        node: `_target_`, the constructor, and what it is given.
        folder: the run's own.
        allow: packages whose constructors are trusted with plain values of any kind.
        table: the kinds of other packages' constructors.
        package: of vaelab, that the constructor comes from; its annotations say the kinds.
        delayed: whether `_partial_` may be given.
    """
    if type(node) is not dict or type(node.get("_target_")) is not str:
        raise refusal(key, node, "a table of keys with a _target_")
    target, kinds = node["_target_"], table.get(node["_target_"])
    own = False
    if kinds is None:
        found = constructor(target, allow, object)
        own = found.__module__.startswith(TRUSTED) or found.__module__.split(".")[0] in users_own(allow)
        if not own and not (package and found.__module__.startswith(package)):
            raise ValueError(f"{key} in the run's config must not be {target}, so it is not called")
        kinds = {} if own else schema.kinds_of(found)
    if node.get("_partial_", delayed) is not delayed:
        raise refusal(f"{key}._partial_", node.get("_partial_"), str(delayed).lower())
    for name, value in node.items():
        if name in ("_target_", "_partial_"):
            continue
        _check_key(key, name)
        if own:
            _check_plain(f"{key}.{name}", value, folder, allow)
        elif name not in kinds:
            raise ValueError(
                f"{key}.{name[:SHOWN]} in the run's config is not a key of {target}, so nothing of it is used"
            )
        elif kinds[name] is schema.OBJECT:
            nested = "vaelab.families" if package == "vaelab.priors" else package
            _check_node(f"{key}.{name}", value, folder, allow, table, nested)
        else:
            check_kind(key, name, value, kinds[name], folder)


def _check_plain(key: str, value: Any, folder: Path, allow: tuple[str, ...]) -> None:
    """Plain values of any kind, for the constructor of an allowed package."""
    if type(value) is dict and "_target_" in value:
        _check_node(key, value, folder, allow, {}, "vaelab", delayed=bool(value.get("_partial_")))
    elif type(value) is dict:
        for name, inner in value.items():
            if type(name) is str:
                _check_key(key, name)
            _check_plain(f"{key}.{name}", inner, folder, allow)
    elif type(value) is list:
        for inner in value:
            _check_plain(key, inner, folder, allow)
    else:
        check_kind(key, "", value, schema.TEXT | schema.NUMBER | schema.FLAG | schema.NOTHING, folder)
