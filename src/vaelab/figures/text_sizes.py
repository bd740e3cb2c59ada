"""Names as text for a picture: how wide they are in inches, and shorter forms that fit."""

import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from vaelab.escapes import for_terminal, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TITLE, LABEL, TICK = 11.0, 11.0, 10.0  # font sizes in points, readable if a picture is shrunk to 300 pixels
LONGEST_NAME = 30  # the most letters in a name
FONTS = (  # after the first, fonts that have Chinese, Japanese and Korean letters, if they are installed
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei"),
    *("Hiragino Sans GB", "PingFang SC", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
)


@cache
def installed_fonts() -> list[str]:
    """The fonts of all pictures, in the order in which they are asked for a letter."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in FONTS if name in installed]


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, 100)


@cache
def width_of(text: str, size: float) -> float:
    """The width of a line of text in inches, at a font size in points."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=installed_fonts(), size=size)
    with quiet_about_letters():
        return float(_renderer().get_text_width_height_descent(text, font, False)[0]) / 100


@contextmanager
def quiet_about_letters() -> "Iterator[None]":
    """Hides matplotlib's warnings about letters that no installed font has. It draws a box for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def fitting(text: str, inches: float, size: float) -> str:
    """A line of text that is at most `inches` wide. A text that is too long loses its middle."""
    if width_of(text, size) <= inches:
        return text
    longest = len(text)
    while longest > 3 and width_of(shortened(text, longest), size) > inches:
        longest -= 1
    return shortened(text, longest)


def widest(texts: "Sequence[str]", size: float) -> float:
    """The width of the widest text in inches; 0 if there is none."""
    return max((width_of(text, size) for text in texts), default=0.0)


def subscript(letter: str, index: int) -> str:
    """("z", 0) -> z₁."""
    return letter + str(index + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def names_of(names: tuple[str, ...] | None, count: int, letter: str = "t") -> tuple[str, ...]:
    """The names of `count` target dimensions as text for a picture: those given, or t₁, t₂, …"""
    if not names or len(names) != count:
        return tuple(subscript(letter, index) for index in range(count))
    return tuple(short(for_terminal(name), LONGEST_NAME) for name in names)


def shortened(text: str, longest: int) -> str:
    """Removes the middle of a text that is too long, because names mostly differ at their ends.

    >>> shortened("a_long_name_of_a_model_7", 12)
    'a_long…del_7'
    """
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[half - longest + 1 :]}"


def first_of(shown: int, count: int) -> str:
    """A remark for a title that not all dimensions are shown; empty if all are."""
    return f" (first {shown} of {count} dimensions)" if shown < count else ""
