"""The ELBO over epochs, beside the baseline and the ceiling."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import BLUE, ORANGE
from vaelab.figures.landmarks import draw_landmarks
from vaelab.figures.layout import panels
from vaelab.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
LEAST = 0.05  # nats, the least height of the axis
SETTLED = 0.2  # of the run: what happened earlier need not fit into the picture
MARKED = 30  # a curve with at most this many points has a mark at each


@dataclass(frozen=True, eq=False)
class Curves(Picture):
    """A score over epochs, on training and on validation data, with landmarks as dashed lines.

    The axis holds the landmarks and all of the run but its first fifth, because the first steps are so much worse that
    they would hide the rest. The title says if anything lies outside.

    Args:
        train: (2, n), epochs and values on training data, nats per example.
        val: (2, m), the same on validation data.
        landmarks: `baseline`, `ceiling` -> nats per example, finite.
        score: the name of the score.
    """

    train: Array
    val: Array
    landmarks: dict[str, float] = field(default_factory=dict)
    score: str = "ELBO"

    def _draw(self) -> "Figure":
        figure, axes = panels(1, 1, 3.1, 2.3, left=0.85, right=0.85, top=0.65)
        panel = axes[0, 0]
        looks = {"train": (self.train, ORANGE, 1.2), "validation": (self.val, BLUE, 2.0)}
        for name, (points, colour, width) in looks.items():
            if points.shape[1]:
                mark = "o" if points.shape[1] <= MARKED else ""
                panel.plot(*points, color=colour, lw=width, marker=mark, ms=3, label=name)
        low, high, hidden = self._limits()
        panel.set(ylim=(low, high), xlabel="epoch", ylabel=f"{self.score} (nats per example)")
        panel.locator_params(axis="x", integer=True)
        if panel.get_legend_handles_labels()[1]:
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.98), "borderaxespad": 0.1}
            panel.legend(ncols=2, title="the first points lie below the axis" if hidden else None, **place)
        draw_landmarks(panel, self.landmarks)
        return figure

    def _limits(self) -> tuple[float, float, bool]:
        """The ends of the axis, and True if some points lie below it."""
        epochs, values = np.concatenate([self.train, self.val], axis=1)
        landmarks = list(self.landmarks.values())
        if not len(values):  # the landmarks alone
            epochs, values = np.zeros(1), np.array(landmarks[:1] or [0.0])
        settled = values[epochs >= epochs.min() + SETTLED * np.ptp(epochs)]
        shown = np.concatenate([settled, landmarks])
        low, high = float(shown.min()), float(max(shown.max(), values.max()))
        margin = 0.06 * max(high - low, LEAST)
        middle, half = (low + high) / 2, max(high - low, LEAST) / 2 + margin
        return middle - half, middle + half, bool(values.min() < middle - half)
