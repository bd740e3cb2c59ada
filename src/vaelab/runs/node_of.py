"""Turns an object into the node of a config that makes it again.

A constructor's arguments are read from the attributes with the same names, as in scikit-learn's `get_params`.
"""

import inspect
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from torch import nn

from vaelab.instantiate import parameters_of

PLAIN = (bool, str, type(None))
UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def node_of(made: Any, key: str, without: Sequence[str] = ()) -> dict[str, Any]:
    """`_target_` and the arguments of the constructor that made an object.

    >>> from vaelab import families
    >>> node_of(families.IdentityGaussian((3,), std=0.5), "model", without=["event_shape"])
    {'_target_': 'vaelab.families.IdentityGaussian', 'std': 0.5}

    Args:
        made: the object. A function or a `functools.partial` gives a node with `_partial_`.
        key: the node's place in the config, for the errors.
        without: arguments to leave out.

    Raises:
        ValueError: the object does not keep an argument as an attribute of that name, or its class cannot be imported.
    """
    if isinstance(made, partial) or inspect.isroutine(made) or inspect.isclass(made):
        return _delayed(made, key)
    node: dict[str, Any] = {"_target_": name_of(type(made), key)}
    for name in arguments_of(type(made), key):
        if name not in without:
            node[name] = _plain(_kept(made, name, key), f"{key}.{name}")
    return node


def arguments_of(made: type, key: str) -> list[str]:
    """The names of a constructor's arguments.

    Raises:
        ValueError: it takes `*args` or `**kwargs`.
    """
    if made.__init__ in (nn.Module.__init__, object.__init__):  # type: ignore[misc]
        return []
    parameters = parameters_of(made)
    if unnamed := [parameter for parameter in parameters.values() if parameter.kind in UNNAMED]:
        raise ValueError(
            f"{key} must have a constructor whose arguments have names, but {made.__name__} takes {unnamed[0]}, so the "
            "run cannot be saved; write the arguments out"
        )
    return list(parameters)


def name_of(made: Any, key: str) -> str:
    """The shortest dotted name of a class or a function, such as `torch.optim.Adam`.

    Raises:
        ValueError: it has no name that another program could import.
    """
    module, name = str(made.__module__), str(made.__qualname__)
    if module == "__main__" or "<" in name:
        raise ValueError(
            f"{key} must be defined in a module that can be imported, but {name.split('.')[-1]} is not, so the "
            "run could not be loaded; move it to a separate file and import it"
        )
    parts = module.split(".")
    packages = [".".join(parts[: length + 1]) for length in range(len(parts))]
    return next(f"{each}.{name}" for each in packages if each == module or _has(each, name, made))


def _has(package: str, name: str, made: Any) -> bool:
    return getattr(sys.modules.get(package), name, None) is made


def _delayed(made: Any, key: str) -> dict[str, Any]:
    """A function or a class with some of its arguments."""
    function = made.func if isinstance(made, partial) else made
    given: Mapping[str, Any] = {}
    if isinstance(made, partial):
        given = inspect.signature(function).bind_partial(*made.args, **made.keywords).arguments
    values = {name: _plain(value, f"{key}.{name}") for name, value in given.items()}
    return {"_target_": name_of(function, key), "_partial_": True, **values}


def _kept(made: Any, name: str, key: str) -> Any:
    for attribute in (name, f"_{name}"):  # a method may have the name of the argument
        value = getattr(made, attribute, made)
        if value is not made and not inspect.ismethod(value):
            return value
    raise ValueError(
        f"{key} must keep its constructor's argument {name} as an attribute of that name, but {type(made).__name__} "
        f"does not, so the run cannot be saved; add self.{name} = {name} to its constructor"
    )


def _plain(value: Any, key: str) -> Any:
    """A value as a checkpoint may hold it."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Integral | Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, key) for inner in value]
    if isinstance(value, nn.Module | partial) or inspect.isclass(value) or inspect.isfunction(value):
        return node_of(value, key)
    raise ValueError(
        f"{key} must be made of numbers, texts, lists and modules, but is a {type(value).__name__}, so the run cannot "
        "be saved; pass it in another form"
    )
