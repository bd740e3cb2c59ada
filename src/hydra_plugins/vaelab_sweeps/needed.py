"""Packages that sweeps need, and vaelab itself does not."""

from importlib.util import find_spec


def check_installed(what: str, *packages: str) -> None:
    """Raises a ModuleNotFoundError in one sentence if a package is missing that something needs."""
    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(
                f"{what} needs {package}, which is not installed; run pip install -c constraints.txt -e '.[sweep]'",
                name=package,
            )
