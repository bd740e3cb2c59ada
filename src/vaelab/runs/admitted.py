"""The constructors that a loaded run's config may name: those of vaelab and allowed packages, and some by name."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from vaelab.instantiate import Allow, anything
from vaelab.runs.constructors import NAMES

TARGET = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def admitted(allow: tuple[str, ...] = (), kind: type = object, names: frozenset[str] = frozenset()) -> Allow:
    """Decides which constructors `vaelab.instantiate` may call for a run that may come from anyone.

    Args:
        allow: packages other than vaelab whose classes are trusted.
        kind: the base class of all constructors.
        names: constructors of other packages that are admitted by their full name.
    """
    return lambda target: anything(target) if target in names else constructor(target, allow, kind)


def admitted_to_resume(allow: tuple[str, ...] = ()) -> Allow:
    """Like `admitted`, for a run that is resumed: also admits its trainer, callbacks and optimiser."""
    return admitted(allow, names=frozenset(NAMES))


def constructor(target: Any, allow: tuple[str, ...], kind: type) -> Any:
    """Finds the class `package.module.Class`, if it is a `kind` from vaelab or an allowed package.

    Raises:
        ValueError: it is not.
    """
    module, _, name = str(target).rpartition(".")
    packages = ("vaelab", *allow)
    found: Any = None
    if re.fullmatch(TARGET, str(target)) and module.split(".")[0] in packages:
        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            raise ValueError(f"the run's config names {target}, which cannot be imported ({error})") from error
    # A module also has the names that it imports, so only classes defined in the package count.
    if not isinstance(found, type) or found.__module__.split(".")[0] not in packages:
        raise ValueError(
            f"the run's config names {target}, which is not a class of {' or '.join(packages)}, so it is not called; "
            "if you trust it, allow its package"
        )
    if not issubclass(found, kind):
        raise ValueError(f"the run's config must name a {kind.__name__} here, but names {target}, so it is not called")
    return found


def users_own(allow: tuple[str, ...]) -> tuple[str, ...]:
    """The allowed packages that are the user's own."""
    return tuple(package for package in allow if package not in ("vaelab", "torch", "lightning", "optuna"))


def packages(config: Any) -> list[str]:
    """The packages of all constructors in a config, except vaelab and the constructors that vaelab allows by name."""
    return sorted({target.split(".")[0] for target in _targets(config) if target not in NAMES} - {"vaelab"})


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for inner in node.values():
            yield from _targets(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _targets(inner)
