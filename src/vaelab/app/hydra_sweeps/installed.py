"""Checks for packages that only some sweeps need."""

from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).parents[4]


def install_command(package: str) -> str:
    """The command that installs a package for sweeps. In a checkout, it installs all of them, in tested versions."""
    if (CHECKOUT / "constraints.txt").is_file():
        return "pip install -c constraints.txt -e '.[sweep]'"
    return f"pip install {package}"


def check_installed(what: str, package: str) -> None:
    """Raises a ValueError if a package that something needs is missing."""
    if find_spec(package) is None:
        raise ValueError(f"{what} needs {package}, which is not installed; run {install_command(package)}")
