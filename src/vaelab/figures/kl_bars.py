"""The KL of each latent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import BLUE, GREY
from vaelab.figures.layout import panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
NAMED = 24  # the most latents that each have a place and a name; more are sorted by their KL
UPRIGHT = 10  # up to so many, the names are upright
LEAST = 0.5  # nats, the least height of the axis, so that rounding errors don't look like information
OFF = 0.01  # nats; a latent with less KL is off


@dataclass(frozen=True, eq=False)
class KLBars(Picture):
    """The KL of each latent, which shows the latents that carry information. Latents below 0.01 nats are off.

    Args:
        kl: (p,), nats, the mean over examples.
        by_moments: True if it is computed from Gaussians with the same means and variances. It then need not add up
            to the KL.
    """

    kl: Array
    by_moments: bool = False

    def _draw(self) -> "Figure":
        figure, axes = panels(1, 1, 3.6, 2.1, left=0.75, bottom=0.8, top=0.6)
        panel, off = axes[0, 0], int((self.kl < OFF).sum())
        panel.set_ylim(0, max(LEAST, 1.06 * float(self.kl.max())))
        panel.set_ylabel("KL (nats)")
        (self._draw_named if len(self.kl) <= NAMED else self._draw_sorted)(panel)
        count = f"{off} of {len(self.kl)} latents off" if off else ""
        total = "as if q and p were Gaussian" if self.by_moments else f"{self.kl.sum():.3g} nats in all"
        panel.set_title("\n".join(filter(None, [f"KL per latent, {total}", count])))
        return figure

    def _draw_named(self, panel: "Axes") -> None:
        p = len(self.kl)
        places = np.arange(1, p + 1)
        panel.bar(places, self.kl, color=BLUE, width=0.8 if p > 3 else 0.5)
        panel.set(xlabel="latent", xlim=(0.4, p + 0.6) if p > 3 else (0, p + 1))
        words = ["off" if kl < OFF else "" for kl in self.kl]
        if p <= UPRIGHT:
            panel.set_xticks(places, [f"{place}\n{word}" for place, word in zip(places, words, strict=True)])
        else:
            names = [f"{word} {place}".strip() for place, word in zip(places, words, strict=True)]
            panel.set_xticks(places, names, rotation=90)

    def _draw_sorted(self, panel: "Axes") -> None:
        p, sorted_kl = len(self.kl), np.sort(self.kl)[::-1]
        panel.stairs(sorted_kl, np.arange(p + 1) + 0.5, fill=True, color=BLUE)
        panel.set(xlabel="latents, sorted by KL", xlim=(0.5, p + 0.5))
        on = int((self.kl >= OFF).sum())
        if on < p:
            panel.axvspan(on + 0.5, p + 0.5, color=GREY, alpha=0.15, lw=0)
            share = (on + p + 1) / 2 - 0.5
            side = "center" if 0.1 < share / p < 0.9 else "right" if share / p >= 0.9 else "left"
            panel.text(p + 0.4 if side == "right" else share, panel.get_ylim()[1] / 2, "off", ha=side, fontsize=TICK)
        panel.set_xticks([1, *([on] if 0.15 * p < on < 0.85 * p else []), p])
