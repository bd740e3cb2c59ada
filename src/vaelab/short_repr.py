"""One line about a part of a model, as the call that makes it. torch's own text fills a page."""

from inspect import signature
from typing import Any

MOST = 60  # the most letters of an argument
SHAPES = ("event_shape", "x_shape", "input_shape")  # arguments that need no name
PLAIN = (bool, int, float, str)


def call_of(made: Any) -> str:
    """The class and its arguments, which are read from the attributes of the same names.

    Arguments that the object does not keep, or that change nothing (None and 0 if that is the default), are left out.

    >>> from vaelab import networks
    >>> call_of(networks.MLP((3,), 4, hidden=[11]))
    "MLP((3,), output_size=4, hidden=(11,), activation='tanh')"
    """
    shown = []
    for name, parameter in signature(type(made)).parameters.items():
        text = _text(getattr(made, name, None))
        if text and (parameter.default or text != repr(parameter.default)):
            shown.append(text if name in SHAPES or hasattr(getattr(made, name), "forward") else f"{name}={text}")
    return f"{type(made).__name__}({', '.join(shown)})"


def _text(value: Any) -> str:
    """A plain value, or a list of such, or a part of a model, as text; empty if it is something else."""
    if hasattr(value, "forward") and not isinstance(value, type):
        return call_of(value)
    if isinstance(value, tuple | list) and all(isinstance(each, PLAIN) for each in value):
        value = tuple(value) if isinstance(value, tuple) else list(value)  # torch.Size would show its name
    elif not isinstance(value, PLAIN):
        return ""
    text = repr(value)
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"
