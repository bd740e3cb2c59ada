"""The error for a logger whose package is not installed."""

from importlib import import_module
from typing import Any


def needed(package: str, extra: str) -> Any:
    """Imports a package that a logger needs.

    Args:
        package: the package.
        extra: the extra of vaelab that installs it, which is also the logger's option.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"logger={extra} needs the package {error.name}, which is not installed; run pip install 'vaelab[{extra}]'",
            name=error.name,
        ) from error
