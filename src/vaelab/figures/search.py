"""A picture of a search over keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import BLUE, GREY
from vaelab.figures.layout import panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, widest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Search(Picture):
    """The score of every trial, the best so far, and how much each key matters.

    Args:
        trials, scores, best: (n,), the number, the finite score, and the best score so far.
        metric: the name of the score.
        names: the names of m keys.
        importances: (m,), the importance of each key.
    """

    trials: Array
    scores: Array
    best: Array
    metric: str
    names: tuple[str, ...]
    importances: Array

    @classmethod
    def of(
        cls,
        trials: Sequence[int],
        scores: Sequence[float],
        minimise: bool,
        metric: str,
        names: tuple[str, ...],
        importances: Sequence[float],
    ) -> "Search":
        """Makes the picture from numbers in the order of the trials."""
        so_far = (np.minimum if minimise else np.maximum).accumulate(scores)
        return cls(np.array(trials), np.array(scores), so_far, metric, names, np.array(importances))

    def _range(self) -> tuple[float, float]:
        """The range of scores to show, without the worst tenth: a few failures would squeeze the others together."""
        hidden = 10 if len(self.scores) >= 10 else 0
        shown = [hidden, 100] if self.best[-1] == self.scores.max() else [0, 100 - hidden]
        low, high = np.percentile(self.scores, shown)
        margin = 0.1 * (high - low) or 1.0
        return low - margin, high + margin

    def _draw(self) -> "Figure":
        names = [fitting(name, 2.0, TICK) for name in self.names]
        left = 0.9 if not names else max(0.9, widest(names, TICK) + 0.2)
        room: dict[str, Any] = {"left": left, "down": 0.75, "top": 0.45}
        figure, grid = panels(2 if names else 1, 1, 4.4 - left, max(1.8, 0.2 * len(names)), **room)
        axes = grid[:, 0]
        low, high = self._range()
        outside = int(((self.scores < low) | (self.scores > high)).sum())
        label = f"a trial ({outside} worse than shown)" if outside else "a trial"
        axes[0].plot(self.trials, self.scores, ".", color=GREY, label=label)
        axes[0].step(self.trials, self.best, where="post", color=BLUE, label="best so far")
        axes[0].set(xlabel="trial", ylabel=f"{self.metric} (nats)", ylim=(low, high))
        axes[0].locator_params(axis="x", integer=True)
        axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        if names:
            order = np.argsort(self.importances)
            axes[1].barh([names[index] for index in order], self.importances[order], color=BLUE)
            axes[1].set(xlabel="share of what makes a trial good", xlim=(0, 1))
        return figure
