"""Makes text from a run's files safe to show.

A run folder may come from anyone. Its text must not move a terminal's cursor, start a formula in a spreadsheet, or
add markup to a page.
"""

import html
import math
import re
import unicodedata

HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # Unicode categories: control, format, surrogate, private, separators
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that starts with one of these is run by spreadsheets
MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def for_terminal(text: object) -> str:
    r"""Text on one line, with control and format characters written out.

    >>> for_terminal("done\x1b[2J")
    'done\\x1b[2J'
    """
    return "".join(_written_out(each) if unicodedata.category(each) in HIDDEN else each for each in str(text))


def lines_for_terminal(text: object) -> str:
    """Like `for_terminal`, but keeps line breaks."""
    return "\n".join(map(for_terminal, str(text).split("\n")))


def for_csv(cell: object) -> str:
    """A cell that no spreadsheet runs as a formula: text that could be one gets an apostrophe in front.

    >>> for_csv("=cmd()"), for_csv("-0.5")
    ("'=cmd()", '-0.5')
    """
    text = for_terminal(cell)
    return f"'{text}" if str(cell).lstrip(" ").startswith(FORMULA) and not _is_number(text) else text


def for_markdown(cell: object) -> str:
    r"""A table cell or a line of Markdown, with all Markdown and HTML in it escaped.

    >>> for_markdown("a|b <script>")
    'a\\|b &lt;script&gt;'
    """
    return MARKDOWN.sub(r"\\\1", html.escape(for_terminal(cell), quote=False))


def short(text: str, longest: int = 60) -> str:
    """Cuts off a text that has more letters than `longest`.

    >>> short("a long name", 7)
    'a long…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
