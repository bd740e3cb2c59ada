"""Makes objects from the plain containers of a config, with Hydra's keys.

    _target_     the dotted name of a class, a function or a method, which is called with the other keys
    _args_       a list of positional arguments
    _partial_    true gives `functools.partial` instead of the call
    _recursive_  false keeps the nodes inside unchanged

Values are plain Python values: `_convert_` is accepted and changes nothing. Nothing is ever unpickled.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pkgutil import resolve_name
from types import UnionType
from typing import Any, Union, get_args, get_origin

# A constructor's dotted name -> the constructor; raises a ValueError if it must not be called.
Allow = Callable[[str], Any]

DIRECTIVES = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")
UNCLEAR = (TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, RuntimeError)


def anything(target: str) -> Any:
    """Finds the class, function or method with a dotted name. Everything that a user types may be called.

    Raises:
        ValueError: it cannot be imported, or it cannot be called.
    """
    try:
        found = _located(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_ must be importable, but is {target} ({error}); check its spelling") from error
    if not callable(found):
        raise ValueError(f"_target_ must name a class or a function, but {target} is a {type(found).__name__}")
    return found


def _located(target: str) -> Any:
    module, _, name = str(target).rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it imports does not
    return resolve_name(target)  # a method: package.module.Class.method


def instantiate(node: Any, allow: Allow = anything, key: str = "", /, **more: Any) -> Any:
    """Makes the object that a node describes. A node without a `_target_` gives its values, and a list gives its items.

    >>> instantiate({"_target_": "vaelab.families.Bernoulli"}, event_shape=[2, 3]).event_size
    6

    Args:
        node: plain containers.
        allow: decides which constructors may be called, by default all.
        key: the node's place in the config, for the errors.
        more: further keyword arguments, which take precedence over those of the node.

    Raises:
        ValueError: a constructor is not allowed, or cannot use its values. The sentence names the key.
    """
    if isinstance(node, list | tuple):
        return [instantiate(item, allow, key) for item in node]
    if not isinstance(node, Mapping):
        return node
    inner = partial(_inner, allow, key) if node.get("_recursive_", True) else lambda name, value: value
    values = {name: inner(name, value) for name, value in node.items() if name not in DIRECTIVES}
    if node.get("_target_") is None:
        return values
    make, target = constructor_of(node, allow, key), node["_target_"]
    arguments, values = inner("_args_", node.get("_args_") or []), values | more
    _check_arguments(make, arguments, values, bool(node.get("_partial_")), key, target)
    if node.get("_partial_"):
        _check_numbers(make, values, key)
        return partial(make, *arguments, **values)
    return _called(make, arguments, values, key, target)


def _inner(allow: Allow, key: str, name: str, value: Any) -> Any:
    return instantiate(value, allow, f"{key}.{name}".lstrip("."))


def constructor_of(node: Any, allow: Allow, key: str) -> Any:
    """The constructor that a node names.

    Raises:
        ValueError: the node names no constructor, or one that is not allowed.
    """
    if not isinstance(node, Mapping) or node.get("_target_") is None:
        raise ValueError(
            f"{key} must have a _target_ that names a constructor, but has none; choose one of its options"
        )
    try:
        return allow(node["_target_"])
    except ValueError as error:
        raise _with_key(error, key, ["_target_"]) from error


def _called(make: Any, arguments: Sequence[Any], values: Mapping[str, Any], key: str, target: Any) -> Any:
    try:
        return make(*arguments, **values)
    except UNCLEAR as error:
        _check_numbers(make, values, key)
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{key or target} cannot be made by {target} ({type(error).__name__}{said and f': {said}'}); check its "
            "values, or set HYDRA_FULL_ERROR=1 to see where"
        ) from error
    except ValueError as error:
        raise _with_key(error, key, values) from error


def _check_numbers(make: Any, values: Mapping[str, Any], key: str) -> None:
    """Raises a ValueError if a value is a text although its annotation asks for a number, such as `int | None`."""
    for name, value in values.items():
        kinds = _annotated(make, name) if isinstance(value, str) else set()
        if kinds & {int, float} and not kinds & {str, Any}:
            raise ValueError(f"{key}.{name}".lstrip(".") + f" must be a number, but is {value!r}")


def _annotated(make: Any, name: str) -> set[Any]:
    """The types that an argument's annotation allows, as far as they can be known."""
    try:
        annotation = inspect.signature(make, eval_str=True).parameters[name].annotation
    except (TypeError, ValueError, NameError, KeyError, AttributeError):
        return set()
    return set(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else {annotation}


def _with_key(error: ValueError, key: str, names: Sequence[str] | Mapping[str, Any]) -> ValueError:
    """The same error. If it begins with the name of an argument, as `min_std must be`, that becomes the whole key."""
    first = re.match(r"\w+(?=[ =])", str(error))
    named = key and first and first[0] in names and type(error) is ValueError
    return ValueError(f"{key}.{error}") if named else error


def _check_arguments(
    make: Any, arguments: Sequence[Any], values: Mapping[str, Any], delayed: bool, key: str, target: Any
) -> None:
    """Raises a ValueError if a constructor does not take an argument, or needs one that is missing."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):  # some builtins have none
        return
    key = key or str(target)
    if unknown := [name for name in values if not takes(make, name)]:
        near = get_close_matches(unknown[0], signature.parameters, n=1)
        removed = f"~{key}.{unknown[0]}"
        cure = f"did you mean {key}.{near[0]}?" if near else f"leave it out, or add {removed} if an experiment sets it"
        raise ValueError(f"{key}.{unknown[0]} is not a key of {target}, so nothing would read it; {cure}")
    try:
        (signature.bind_partial if delayed else signature.bind)(*arguments, **values)
    except TypeError as error:
        raise ValueError(f"{key} cannot be made by {target} ({error}); set the values that it needs") from error


def takes(make: Any, name: str) -> bool:
    """True if a constructor takes a keyword argument with this name."""
    parameters = parameters_of(make)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    open_ended = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    return open_ended or (name in parameters and parameters[name].kind in kinds)


def parameters_of(make: Any) -> Mapping[str, inspect.Parameter]:
    """The parameters of a constructor by name; empty if Python cannot tell, as for some builtins."""
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def made(node: Any, allow: Allow, key: str, **more: Any) -> Any:
    """Instantiates a node that must name a constructor."""
    constructor_of(node, allow, key)
    return instantiate(node, allow, key, **more)


def made_with(node: Any, allow: Allow, key: str, **known: Any) -> Any:
    """Like `made`, with those known values that the constructor takes and the node does not set."""
    wanted = parameters_of(constructor_of(node, allow, key))
    return made(node, allow, key, **{name: value for name, value in known.items() if name in wanted.keys() - node})
