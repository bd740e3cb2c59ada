"""Packages that sweeps need, and vaelab itself does not."""

from importlib.util import find_spec


def check_installed(what: str, package: str) -> None:
    """Raises a ValueError if a package that something needs is missing."""
    from vaelab.errors import EXTRA

    if find_spec(package) is None:
        raise ValueError(f"{what} needs {package}, which is not installed; run {EXTRA}")
