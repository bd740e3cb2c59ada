"""Figures of the networks."""

import math

import torch
from drawing import axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from vaelab.networks import MLP, ConvDecoder
from vaelab.networks.conv_layers import ResidualBlock


def mlp() -> Figure:
    """The same function fitted with networks of three sizes."""
    figure, ax = axes(titles=["Regression of sin(3x) after 500 steps of Adam"])
    x = torch.linspace(-2, 2, 200).unsqueeze(-1)
    ax.plot(x, (3 * x).sin(), color="0.75", linewidth=4, label="sin(3x)")
    for hidden in ([], [4], [64, 64]):
        network = MLP((1,), 1, hidden=hidden)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(500):
            optimizer.zero_grad()
            (network(x) - (3 * x).sin()).square().mean().backward()
            optimizer.step()
        ax.plot(x, network(x).detach(), label=f"network.hidden={hidden}".replace(" ", ""))
    ax.set(xlabel="x", ylabel="output")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def gated_mlp() -> Figure:
    """One hidden unit as a function of its linear part, with its gate shut, half open and open."""
    figure, (left, right) = axes(2, ["A gated unit", "A tanh unit"])
    a = torch.linspace(-3, 3, 100)
    for gate in (-3.0, -1.0, 0.0, 3.0):
        unit = nn.functional.glu(torch.stack([a, torch.full_like(a, gate)]), dim=0)[0]
        left.plot(a, unit, label=f"V h + c = {gate:.0f}".replace("-", "−"))
    left.set(xlabel="W h + b", ylabel="output", ylim=(-3.2, 3.2))
    left.legend()
    right.plot(a, a.tanh())
    right.set(xlabel="W h + b", ylim=(-3.2, 3.2))
    return figure


@torch.no_grad()
def conv() -> Figure:
    """Constant maps through two ways to enlarge them, with random weights."""
    titles = ["network=conv", "transposed convolutions"]
    figure, (left, right) = axes(2, titles)
    decoder = ConvDecoder((2,), 32 * 32, (32, 32), channels=[8, 8], kernel=3)
    transposed = nn.Sequential(
        nn.ReLU(), nn.ConvTranspose2d(8, 8, 3, 2, padding=1, output_padding=1),
        nn.ReLU(), nn.ConvTranspose2d(8, 1, 3, 2, padding=1, output_padding=1),
    )  # fmt: skip
    constant = torch.rand(1, 8, 1, 1).expand(-1, -1, 8, 8)
    for ax, layers in ((left, decoder.maps), (right, transposed)):
        ax.imshow(layers(constant)[0, 0], cmap="gray")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure


def residual() -> Figure:
    """How much of a gradient comes through n pairs of convolutions, with and without the sum h + f(h)."""
    figure, ax = axes(titles=["Gradient at the first map, relative to the last, with new weights"])
    counts = [1, 2, 4, 8, 16, 32]
    for name, plain in (("residual blocks, h + f(h)", False), ("the same without h", True)):
        ax.plot(counts, [_gradient(count, plain) for count in counts], marker="o", label=name)
    ax.set(xscale="log", yscale="log", xlabel="blocks", xticks=counts, xticklabels=counts)
    ax.minorticks_off()
    ax.legend()
    return figure


def _gradient(count: int, plain: bool) -> float:
    blocks = [ResidualBlock(16, 3, nn.SiLU) for _ in range(count)]
    maps = torch.randn(1, 16, 14, 14, requires_grad=True)
    given: Tensor = maps
    for block in blocks:
        given = block.layers(given) if plain else block(given)
    (given * torch.randn_like(given)).sum().backward()
    assert maps.grad is not None
    return float(maps.grad.norm()) / math.sqrt(maps.numel())
