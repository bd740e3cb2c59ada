"""Checks one node of a run's config: every key must be known, and every value must be of the right kind."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.runs import schema
from vaelab.runs.admitted import constructor, users_own
from vaelab.runs.schema import Kind, Kinds

KEY = r"[A-Za-z][\w.-]{,199}"
SHOWN = 200  # the most characters of a value or a name in an error
ANY: Kinds = {}  # for a constructor that is trusted with plain values of any kind
TRUSTED = "torch.optim."  # it writes no files: if torch is allowed, all of its optimisers and schedules are


def check_key(key: str, name: Any) -> None:
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


def check_node(
    key: str,
    node: Any,
    folder: Path,
    allow: tuple[str, ...],
    table: Mapping[str, Kinds],
    package: str = "",
    delayed: bool = False,
) -> None:
    """Checks the node that describes one object.

    Args:
        key: the node's place in the config, for the errors.
        node: `_target_` names the constructor; the other keys are its arguments.
        folder: the run's folder.
        allow: packages whose constructors are trusted with plain values of any kind.
        table: the kinds of other packages' constructors.
        package: the part of vaelab that the constructor must come from. Its annotations give the kinds.
        delayed: True if `_partial_` may be given.
    """
    if type(node) is not dict or type(node.get("_target_")) is not str:
        raise refusal(key, node, "a table of keys with a _target_")
    target = node["_target_"]
    kinds = table[target] if target in table else _kinds(key, target, allow, package)
    if node.get("_partial_", delayed) is not delayed:
        raise refusal(f"{key}._partial_", node.get("_partial_"), str(delayed).lower())
    for name, value in ((name, node[name]) for name in node if name not in ("_target_", "_partial_")):
        check_key(key, name)
        if kinds is ANY:
            check_plain(f"{key}.{name}", value, folder, allow)
        elif name not in kinds:
            raise ValueError(
                f"{key}.{name[:SHOWN]} in the run's config is not a key of {target}, so nothing of it is used"
            )
        elif kinds[name] is schema.OBJECT:
            nested = "vaelab.families" if package == "vaelab.priors" else package
            check_node(f"{key}.{name}", value, folder, allow, table, nested)
        else:
            check_kind(key, name, value, kinds[name], folder)


def _kinds(key: str, target: str, allow: tuple[str, ...], package: str) -> Kinds:
    """The kinds of a constructor's keys; `ANY` for a constructor of an allowed package."""
    found = constructor(target, allow, object)
    if found.__module__.startswith(TRUSTED) or found.__module__.split(".")[0] in users_own(allow):
        return ANY
    if not package or not found.__module__.startswith(package):
        raise ValueError(f"{key} in the run's config must not be {target}, so it is not called")
    return schema.kinds_of(found)


def check_plain(key: str, value: Any, folder: Path, allow: tuple[str, ...]) -> None:
    """Checks a value for the constructor of an allowed package. Any plain value is fine."""
    if type(value) is dict and "_target_" in value:
        check_node(key, value, folder, allow, {}, "vaelab", delayed=bool(value.get("_partial_")))
    elif type(value) is dict:
        for name, inner in value.items():
            if type(name) is str:
                check_key(key, name)
            check_plain(f"{key}.{name}", inner, folder, allow)
    elif type(value) is list:
        for inner in value:
            check_plain(key, inner, folder, allow)
    else:
        check_kind(key, "", value, schema.TEXT | schema.NUMBER | schema.FLAG | schema.NOTHING, folder)
