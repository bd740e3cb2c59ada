"""Draws the landmarks of a score: the baseline, which needs no latent, and the ceiling, which no model surpasses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaelab.figures.colours import GREY
from vaelab.figures.layout import spaced
from vaelab.figures.text_sizes import TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: dict[str, Any] = {
    "ceiling": {"color": "black", "ls": (0, (6, 2))},
    "baseline": {"color": GREY, "ls": (0, (3, 2))},
}
LINE = 0.18  # inches between the middles of two lines of text


def draw_landmarks(panel: "Axes", landmarks: Mapping[str, float], across: bool = True) -> None:
    """Draws dashed lines and writes their names and values beside the panel, clear of the curves.

    Args:
        panel: axes whose limits are final.
        landmarks: a name such as `ceiling` or `baseline` -> a score. If it lies outside the limits, it has an arrow
            instead of a line.
        across: True if the score is the y axis. The names then stand right of the panel, otherwise above it.
    """
    draw_landmark_lines(panel, landmarks, across)
    low, high = panel.get_ylim() if across else panel.get_xlim()
    shares = {name: (value - low) / (high - low) for name, value in landmarks.items()}
    texts = {name: number(value) for name, value in landmarks.items()}
    (_write_beside if across else _write_above)(panel, shares, texts)


def draw_landmark_lines(panel: "Axes", landmarks: Mapping[str, float], across: bool = True) -> None:
    """Draws the lines of `draw_landmarks`, without names."""
    low, high = panel.get_ylim() if across else panel.get_xlim()
    line = panel.axhline if across else panel.axvline
    for name, value in landmarks.items():
        if low <= value <= high:
            line(value, lw=1.2, zorder=1, label=f"_{name}", **STYLES.get(name, STYLES["baseline"]))


def _write_beside(panel: "Axes", shares: Mapping[str, float], texts: Mapping[str, str]) -> None:
    """Writes names and numbers to the right of a panel, at shares of its height."""
    figure: Any = panel.figure
    inches = panel.get_position().height * figure.get_size_inches()[1]
    places = spaced([min(max(share, 0.0), 1.0) for share in shares.values()], 2.1 * LINE / inches)
    for (name, share), place in zip(shares.items(), places, strict=True):
        arrow = " ▼" if share < 0 else " ▲" if share > 1 else ""
        look: dict[str, Any] = {"ha": "left", "va": "center", "linespacing": 1.1, "fontsize": TICK}
        panel.text(1.02, place, f"{name}{arrow}\n{texts[name]}", transform=panel.transAxes, **look)


def _write_above(panel: "Axes", shares: Mapping[str, float], texts: Mapping[str, str]) -> None:
    """Writes names and numbers above a panel, at shares of its width, each on a line of its own."""
    for row, (name, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        text = f"{name} {texts[name]}"
        text = f"◀ {text}" if share < 0 else f"{text} ▶" if share > 1 else text
        panel.annotate(
            text,
            (min(max(share, 0.0), 1.0), 1.0),
            xycoords="axes fraction",
            xytext=(0, 3 + 13 * row),
            textcoords="offset points",
            ha="left" if share < 0.5 else "right",
            fontsize=TICK,
        )


def number(value: float) -> str:
    """A score with as many digits as a reader can use.

    >>> number(-1.23456), number(-86.1234), number(-345230.1)
    ('−1.235', '−86.1', '−345,230')
    """
    size = abs(value)
    digits = 3 if size < 10 else 2 if size < 30 else 1 if size < 1000 else 0
    return f"{value:,.{digits}f}".replace("-", "−")
