"""Draws the figures of the option pages: `python docs/figures/draw.py [GROUP/OPTION …]`, by default all of them.

A function that is named as an option returns that option's figure. `FILES` says where it is.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from drawing import png
from matplotlib.figure import Figure

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images" / "options"
FILES = {  # group -> where the figures of its options are drawn
    "model": ["model"],
    "posterior": ["posterior"],
    "prior": ["prior"],
    "network": ["network"],
    "objective": ["objective", "penalties"],
}


def figures() -> dict[str, Callable[[], Figure]]:
    """GROUP/OPTION -> the function that draws it."""
    found = {}
    for group, files in FILES.items():
        options = [path.stem for path in (HERE.parents[1] / "conf" / group).glob("*.yaml")]
        functions = {name: each for file in files for name, each in vars(import_module(file)).items()}
        found |= {f"{group}/{name}": functions[name] for name in sorted(options) if name in functions}
    return found


def main(wanted: list[str]) -> None:
    known = figures()
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(
            f"{unknown[0]} has no figure; write a function for it in docs/figures, or use one of {', '.join(known)}"
        )
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in wanted or known:
        torch.manual_seed(0)
        path = IMAGES / f"{name.replace('/', '_')}.png"
        path.write_bytes(png(known[name]()))
        print(f"{path.name}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
