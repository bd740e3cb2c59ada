"""What a run's checkpoint may hold: it is data, and may come from anyone."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vaelab.runs import schema
from vaelab.runs.schema import Kind, Kinds

TARGET = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
KEY = r"[A-Za-z][\w.-]*"
SHOWN = 200  # characters of a value or a name, in an error
CALLBACKS = 50  # of a run, at most
STUDY = "VAELAB_STUDY"  # in the environment of a search's runs: where its study lies
KNOWN = {*schema.TOP, *schema.PACKAGES, *schema.TABLES, "trainer", "callbacks", "choices"}
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
            f"the run's config does not fit {node['_target_']}, because {error}; train it again"
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
        raise ValueError(f"the run's config names {target} where a {kind.__name__} belongs, so it is not called")
    return found


def check_model(config: Any, folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through what a config says about a model, before it is built.

    Raises:
        ValueError: a key is not known, or its value is not of the kind that belongs there.
    """
    if type(config) is not dict:
        raise _refusal("config", config, "a table of keys")
    for name in config:
        _check_key("", name)
        if name not in KNOWN:
            raise ValueError(
                f"the run's config has the key {name[:SHOWN]}, which no run writes, so nothing of it is used"
            )
    for key in schema.TOP:
        _check("", key, config.get(key), schema.TOP[key], folder)
    for key in MODEL:
        _check_node(key, config.get(key), folder, allow, {}, schema.PACKAGES[key], delayed=key == "network")
    for key in ("objective", "data"):
        if type(config.get(key)) is not dict:
            raise _refusal(key, config.get(key), schema.OBJECT.phrase)
    _check("objective", "beta", config["objective"].get("beta"), schema.NUMBER | schema.NOTHING, folder)


def check_data_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through what a config says about its data, before they are read; raises as `check_model`."""
    _check_node("data", config["data"], folder, allow, {}, schema.PACKAGES["data"])


def check_config(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through the whole of a config, before a run is resumed with it.

    Raises:
        ValueError: a key is not known, or its value is not of the kind that belongs there.
    """
    check_model(config, folder, allow)
    check_data_config(config, folder, allow)
    _check_node("objective", config["objective"], folder, allow, {}, schema.PACKAGES["objective"])
    for key, table in schema.TABLES.items():
        if config.get(key) is not None and config[key] is not False:
            _check_node(key, config[key], folder, allow, table, delayed=key != "logger")
    _check_trainer(config.get("trainer"), folder, allow)
    callbacks = config.get("callbacks") or {}
    if type(callbacks) is not dict or len(callbacks) > CALLBACKS:
        raise _refusal("callbacks", callbacks, f"a table of at most {CALLBACKS} callbacks")
    for name, node in callbacks.items():
        _check_key("callbacks", name)
        if node is not None:
            _check_node(f"callbacks.{name}", node, folder, allow, schema.CALLBACKS | schema.PRUNERS)
    choices = config.get("choices")
    if type(choices) is not dict or not all(schema.is_text(each) for pair in choices.items() for each in pair):
        raise _refusal("choices", choices, "a table of names")


def with_own_study(config: dict[str, Any], study: str | None) -> dict[str, Any]:
    """A config whose callback asks the pruner of the search that runs this, or none if no search does.

    Args:
        config: whose database may be anyone's.
        study: the address of the search's own.
    """
    callbacks = dict(config.get("callbacks") or {})
    asks = [name for name, node in callbacks.items() if node and node["_target_"] == "vaelab.training.PruneTrial"]
    for name in asks:
        callbacks[name] = study and {**callbacks[name], "storage": study}
    return {**config, "callbacks": callbacks} if asks else config


def _check_key(key: str, name: Any) -> None:
    if type(name) is not str or not re.fullmatch(KEY, name):
        raise ValueError(
            f"the run's config has the key {key}.{str(name)[:SHOWN]}, which no run writes, so nothing of it is used"
        )


def _check(key: str, name: str, value: Any, kind: Kind, folder: Path) -> None:
    if not kind.holds(value, folder):
        raise _refusal(f"{key}.{name}".lstrip("."), value, kind.phrase)


def _refusal(key: str, value: Any, phrase: str) -> ValueError:
    shown = type(value).__name__ if isinstance(value, dict | list | tuple) else str(value)[:SHOWN]
    return ValueError(f"{key} in the run's config must be {phrase}, but is {shown}, so nothing of it is used")


def _check_trainer(node: Any, folder: Path, allow: tuple[str, ...]) -> None:
    if type(node) is not dict:
        raise _refusal("trainer", node, "a table of keys")
    plugins = node.get("plugins") or []
    if type(plugins) is not list:
        raise _refusal("trainer.plugins", plugins, "a list")
    for plugin in plugins:
        _check_node("trainer.plugins", plugin, folder, allow, schema.PLUGINS)
    rest = {key: value for key, value in node.items() if key != "plugins"}
    _check_node("trainer", rest, folder, allow, {"lightning.pytorch.Trainer": schema.TRAINER})


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
        raise _refusal(key, node, "a table of keys with a _target_")
    target, kinds = node["_target_"], table.get(node["_target_"])
    own = kinds is None and target.split(".")[0] in allow
    if kinds is None:
        found = constructor(target, allow, object)
        if not own and not (package and found.__module__.startswith(package)):
            raise ValueError(f"{key} in the run's config must not be {target}, so it is not called")
        kinds = {} if own else schema.kinds_of(found)
    if node.get("_partial_", delayed) is not delayed:
        raise _refusal(f"{key}._partial_", node.get("_partial_"), str(delayed).lower())
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
            _check(key, name, value, kinds[name], folder)


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
        _check(key, "", value, schema.TEXT | schema.NUMBER | schema.FLAG | schema.NOTHING, folder)


# What training adds to the config: counters, and the states of callbacks, optimisers and schedules

TENSOR = Kind("a tensor", lambda value, at: isinstance(value, Tensor))
NUMBERS = TENSOR | schema.NUMBER | schema.NOTHING
PATH = Kind("empty or a path inside the run's folder", lambda value, at: value == "" or schema.is_inside(value, at))
QUIET = Kind("a number or a plain name", lambda value, at: _is_quiet(value))
COUNT = schema.whole(0)
PARTS = {  # of a checkpoint: what looks through each
    "epoch": COUNT,
    "global_step": COUNT,
    "pytorch-lightning_version": Kind(
        "a version", lambda value, at: bool(re.fullmatch(r"2\.\d[\w.]{,20}", str(value)))
    ),
    "hparams_name": schema.NAME | schema.NOTHING,
}
QUIETLY = ("optimizer_states", "lr_schedulers", "metrics", "position", "state_dict", "MixedPrecision")
STATES: dict[str, Kinds] = {
    "ModelCheckpoint": {
        "monitor": schema.CURVE | schema.NOTHING,
        "dirpath": schema.INSIDE,
        **dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), PATH),
        **dict.fromkeys(("best_model_score", "current_score", "kth_value"), NUMBERS),
        "best_k_models": Kind(
            "a table of paths inside the run's folder",
            lambda value, at: (
                type(value) is dict
                and all(PATH.holds(key, at) and NUMBERS.holds(inner, at) for key, inner in value.items())
            ),
        ),
    },
    "EarlyStopping": {
        **dict.fromkeys(("wait_count", "stopped_epoch", "patience", "stopping_reason"), COUNT),
        "best_score": NUMBERS,
        "stopping_reason_message": schema.TEXT | schema.NOTHING,
    },
    "Timer": {"time_elapsed": schema.DURATIONS},
}


def _is_quiet(value: Any) -> bool:
    """Whether a value is a number, or a name that cannot be taken for a path or a format."""
    return _is_counter(value) or type(value) is float or schema.WHOLE.holds(value, Path())


def _is_counter(value: Any) -> bool:
    """Whether a value is what Lightning's loops keep: a count, a flag, a tensor or a name."""
    if type(value) is str:
        return len(value) <= 4096 and bool(re.fullmatch(r"[\w.+ -]*(/[\w.+ -]+)*", value)) and ".." not in value
    return isinstance(value, Tensor) or type(value) in (bool, type(None)) or COUNT.holds(value, Path())


def check_trusted(content: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through a checkpoint that comes from anywhere before its run is resumed.

    Raises:
        ValueError: its config or its states hold a key that is not known or a value of another kind than belongs there:
            another constructor than vaelab's, those in the table and those allowed, or a path outside the run's folder.
    """
    check_config(content["hyper_parameters"], folder, allow)
    for name, part in content.items():
        if name in PARTS:
            _check("", name, part, PARTS[name], folder)
        elif name == "callbacks":
            _check_callbacks(part, folder, allow)
        elif name == "loops":
            _check_quiet(name, part, lambda value, at: _is_counter(value), folder)
        elif name in QUIETLY or (allow and name != "hyper_parameters"):
            _check_quiet(name, part, QUIET.holds, folder)
        elif name != "hyper_parameters":
            raise ValueError(
                f"the run's checkpoint holds {str(name)[:SHOWN]}, which no run writes, so nothing of it is used"
            )
    _check_position(content.get("position"), folder)


def _check_callbacks(states: Any, folder: Path, allow: tuple[str, ...]) -> None:
    if type(states) is not dict:
        raise _refusal("callbacks", states, "a table of states")
    for key, state in states.items():
        name = str(key).partition("{")[0]
        if name in STATES and type(state) is dict:
            for inner, value in state.items():
                if inner not in STATES[name]:
                    raise ValueError(
                        f"the state of {name} holds {inner}, which no run writes, so nothing of it is used"
                    )
                _check(name, inner, value, STATES[name][inner], folder)
        elif name in STATES or not allow:
            raise ValueError(
                f"the run's checkpoint holds a state of {name}, which no run writes; if it is yours, allow its package"
            )
        else:
            _check_quiet(name, state, lambda value, at: _is_quiet(value) or PATH.holds(value, at), folder)


def _check_quiet(key: str, value: Any, holds: Callable[[Any, Path], bool], folder: Path) -> None:
    """Every value in plain containers, keys too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_quiet(key, name, holds, folder)
            _check_quiet(key, inner, holds, folder)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_quiet(key, inner, holds, folder)
    elif not holds(value, folder):
        raise _refusal(key, value, QUIET.phrase)


def _check_position(position: Any, folder: Path) -> None:
    if (
        type(position) is not dict
        or type(position.get("curves")) is not dict
        or type(position.get("means")) is not dict
    ):
        raise _refusal("position", position, "what a run writes")
    _check("position", "random", position.get("random"), TENSOR, folder)
    _check("position", "should_stop", position.get("should_stop"), schema.FLAG, folder)
    for name, size in position["curves"].items():
        _check("position.curves", str(name), size, COUNT, folder)
