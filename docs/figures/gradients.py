"""The figure of docs/options/gradients.md: `python docs/figures/gradients.py`."""

import torch
from draw import IMAGES
from drawing import axes, png
from matplotlib.figure import Figure
from objective import encoder_signal, gradients, signal_axes

from vaelab.objectives import IWAE

NAMES = ["dreg", "stl", "pathwise", "vimco", "score_function_baseline", "score_function"]


def noise_and_signal() -> Figure:
    figure, (left, right) = axes(2, ["variance, K = 5", "signal-to-noise"])
    noise = [gradients(IWAE(5, name), "encoder", 1_000).var(0).sum().item() for name in NAMES]
    left.barh(NAMES[::-1], noise[::-1], height=0.6)
    left.set_xscale("log")
    sizes = [4, 8, 16, 32, 64]
    for name in ("dreg", "pathwise", "vimco"):
        right.plot(sizes, [encoder_signal(IWAE(size, name)) for size in sizes], "o-", label=name)
    right.set_yscale("log")
    right.set_ylim(0.006, 2)
    signal_axes(right, sizes)
    right.set_ylabel("")
    return figure


if __name__ == "__main__":
    torch.manual_seed(0)
    path = IMAGES / "gradients.png"
    path.write_bytes(png(noise_and_signal()))
    print(f"{path.name}  {path.stat().st_size // 1000} kB")
