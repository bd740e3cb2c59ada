"""Draws the landmarks of a score: what no latent at all would reach, and what no model can surpass."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaelab.figures.colours import GREY
from vaelab.figures.layout import spaced
from vaelab.figures.text_sizes import TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: dict[str, Any] = {"ceiling": {"color": "black", "ls": (0, (6, 2))}, "baseline": {"color": GREY, "ls": (0, (3, 2))}}
LINE = 0.18  # inches between the middles of two lines of text


def draw_landmarks(panel: "Axes", landmarks: Mapping[str, float], across: bool = True) -> None:
    """Draws dashed lines and writes their names and values beside the panel, where no curve can hide them.

    Args:
        panel: axes whose limits are final.
        landmarks: a name such as `ceiling` or `baseline` -> a score, within the limits.
        across: True if the score is the y axis. The names then stand right of the panel, otherwise above it.
    """
    for name, value in landmarks.items():
        line = panel.axhline if across else panel.axvline
        line(value, lw=1.2, zorder=1, label=f"_{name}", **STYLES.get(name, STYLES["baseline"]))
    figure = panel.figure
    inches = panel.get_position().height * figure.get_size_inches()[1]  # type: ignore[union-attr]
    low, high = panel.get_ylim() if across else panel.get_xlim()
    if across:
        texts = {f"{name}\n{_number(value)}": (value - low) / (high - low) for name, value in landmarks.items()}
        places = spaced(list(texts.values()), 2.1 * LINE / inches)
        for text, place in zip(texts, places, strict=True):
            at = {"ha": "left", "va": "center", "linespacing": 1.1}
            panel.text(1.02, place, text, transform=panel.transAxes, fontsize=TICK, **at)
        return
    for row, (name, value) in enumerate(sorted(landmarks.items(), key=lambda item: -item[1])):
        right = (value - low) / (high - low) < 0.5
        panel.annotate(
            f"{name} {_number(value)}",
            ((value - low) / (high - low), 1.0),
            xycoords="axes fraction",
            xytext=(0, 3 + 13 * row),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=TICK,
        )


def _number(value: float) -> str:
    """A score with as many digits as a reader can use.

    >>> _number(-1.23456), _number(-86.1234), _number(-345230.1)
    ('−1.235', '−86.1', '−345,230')
    """
    size = abs(value)
    digits = 3 if size < 10 else 2 if size < 30 else 1 if size < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", "−")
