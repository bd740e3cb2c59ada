"""Experiments with variational autoencoders."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Baseline": "vaelab.baseline",
    "RunFailed": "vaelab.app.from_python",
    "VAE": "vaelab.vae",
    "Conditional": "vaelab.conditional",
    "compose": "vaelab.app.compose",
    "evaluate_run": "vaelab.commands.evaluate",
    "export": "vaelab.commands.export",
    "Standardization": "vaelab.standardization",
    "load_run": "vaelab.runs.load",
    "save_run": "vaelab.runs.save",
    "train": "vaelab.app.from_python",
}
_ROOMS = ("data", "evaluation", "families", "networks", "objectives", "priors", "training")
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that commands that only draw or print help don't wait for torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("vaelab")
    if name in _ROOMS:
        return import_module(f"vaelab.{name}")
    raise AttributeError(f"module 'vaelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *_HOMES, *_ROOMS])
