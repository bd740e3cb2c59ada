"""Pictures of the encoder: the places of examples in latent space, and the KL of each dimension."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.picture import BAR, BLUE, PALETTE, SEQUENTIAL, Picture, add_bar, panels, subscript

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
MARKS = "oooooo^^^^"
BARS = 64  # with more dimensions, a histogram replaces the bars


@dataclass(frozen=True, eq=False)
class LatentScatter(Picture):
    """Posterior means, coloured by label.

    Args:
        z: (n, 2), or (n, 1) for a latent space of one dimension.
        dimensions: (2,) or (1,), the indices of the latents shown, from 0.
        latent_dim: the number of latents.
        labels: (n,), or None. Whole numbers with at most ten different values are classes, all others a quantity.
        label: the name of the labels.
    """

    z: Array
    dimensions: Array
    latent_dim: int
    labels: Array | None = None
    label: str = "label"

    def _draw(self) -> "Figure":
        figure, axes = panels(1, 1, 4.2, 3.6, right=BAR + 0.1 if self.labels is not None else 0.15)
        panel = axes[0, 0]
        one = self.z.shape[1] == 1
        kinds = self._kinds()
        if one and self.labels is None:
            panel.hist(self.z[:, 0], 40, color=BLUE)
            panel.set_ylabel("examples")
        elif kinds is not None:
            self._classes(panel, kinds)
        else:
            self._quantity(figure, panel)
        names = [f"mean of q({subscript('z', index)} | x)" for index in self.dimensions]
        panel.set_xlabel(names[0])
        if not one:
            panel.set_ylabel(names[1])
        elif self.labels is not None:
            panel.set_ylabel(self.label)
        most = f" (the 2 of {self.latent_dim} dimensions with most KL)" if self.latent_dim > 2 else ""
        panel.set_title(f"Posterior means{most}")
        return figure

    def _kinds(self) -> Array | None:
        """The classes, or None if the labels are a quantity."""
        if self.labels is None or not np.issubdtype(self.labels.dtype, np.integer):
            return None
        kinds = np.unique(self.labels)
        return kinds if len(kinds) <= len(PALETTE) else None

    def _classes(self, panel: "Axes", kinds: Array) -> None:
        """Draws each class with a colour and a mark, and its name in the middle: ten colours are hard to tell apart."""
        for colour, mark, kind in zip(PALETTE, MARKS, kinds, strict=False):
            mine = self.labels == kind
            down = self.z[mine, 1] if self.z.shape[1] > 1 else np.full(mine.sum(), float(kind))
            panel.scatter(self.z[mine, 0], down, s=14, lw=0, color=colour, marker=mark, alpha=0.8, label=str(kind))
            _write(panel, float(np.median(self.z[mine, 0])), float(np.median(down)), str(kind), colour)
        panel.legend(title=self.label, loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6, handletextpad=0.1)

    def _quantity(self, figure: "Figure", panel: "Axes") -> None:
        """Draws the quantity as colour, or as the other axis if there is one latent dimension."""
        if self.labels is None:
            panel.scatter(self.z[:, 0], self.z[:, 1], s=10, lw=0, color=BLUE)
        elif self.z.shape[1] == 1:
            panel.plot(self.z[:, 0], self.labels, ".", color=BLUE, ms=4)
        else:
            marks = panel.scatter(self.z[:, 0], self.z[:, 1], s=10, lw=0, c=self.labels, cmap=SEQUENTIAL)
            add_bar(figure, panel, marks, self.label)


def _write(panel: "Axes", x: float, y: float, text: str, colour: str) -> None:
    """Writes text in a white box with a coloured edge."""
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
    panel.text(x, y, text, ha="center", va="center", fontsize=9, weight="bold", bbox=box)


@dataclass(frozen=True, eq=False)
class KLBars(Picture):
    """The KL of each latent dimension, which shows the dimensions that carry information.

    Args:
        kl: (p,), nats, the mean over examples.
        by_moments: True if it is computed from Gaussians with the same means and variances. It then need not add up
            to the KL.
    """

    kl: Array
    by_moments: bool = False

    def _draw(self) -> "Figure":
        p = len(self.kl)
        figure, axes = panels(1, 1, 4.4, 2.5)
        panel = axes[0, 0]
        if p > BARS:
            panel.hist(self.kl, 40, color=BLUE)
            panel.set(xlabel="KL (nats)", ylabel="latent dimensions")
        else:
            panel.bar(np.arange(1, p + 1), self.kl, color=BLUE, width=0.8 if p > 3 else 0.5)
            panel.set(xlabel="latent dimension", ylabel="KL (nats)", xlim=(0.4, p + 0.6) if p > 3 else (0, p + 1))
            panel.set_xticks(np.arange(1, p + 1)[:: -(-p // 16)])
        panel.set_title(
            "KL per dimension, as if q and p were Gaussian"
            if self.by_moments
            else f"KL per dimension, {self.kl.sum():.3g} nats in all"
        )
        return figure
