"""Reads text in the columns of a table as numbers: the codes of its categories."""

import re
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.selection import assignment
from vaelab.data.wording import listed
from vaelab.escapes import for_terminal, short

MOST = 1_000  # categories of one column
LETTERS = 1_000  # of the name of a category
FLAGS = {"false": "0", "true": "1"}  # how a column of 0 and 1 may be written, too
Where = Callable[[int], str]  # row of a chunk, from 0 -> its place in words


class Categories:
    """The categories of the columns that hold text: name of a column -> category -> its code.

    In a new run, categories are found while the file is read, and their codes count them from 0. A trained model knows
    its categories, and their codes never change.

    Args:
        known: the categories of a trained model, in the order of their codes; None for a new run.
        text: the columns that may hold text; None allows all.
        always: columns that are read as categories even if they hold numbers.

    Attributes:
        coded: the columns that a reader has turned into codes.
    """

    def __init__(
        self,
        known: Mapping[str, Sequence[str]] | None = None,
        text: Set[str] | None = None,
        always: Set[str] = frozenset(),
    ) -> None:
        self._known = known is not None
        self._codes = {
            column: {name: code for code, name in enumerate(names)} for column, names in (known or {}).items()
        }
        self._text = {*self._codes} if self._known else text
        self._always = {*self._codes, *always}
        self.coded: set[str] = set()

    def takes(self, column: str, is_text: bool) -> bool:
        """True if a column is read as categories, given that it holds text."""
        return column in self._always or (is_text and (self._text is None or column in self._text))

    def names(self, column: str) -> tuple[str, ...]:
        """The categories of a column, in the order of their codes."""
        return tuple(self._codes.get(column, ()))

    def codes(self, column: str, texts: Sequence[str], path: object, where: Where) -> np.ndarray:
        """The codes of some rows, (m,) float64; NaN for a missing category, which is "".

        Raises:
            UnreadableFile: a trained model does not know a category, or there are too many.
        """
        self.coded.add(column)
        known = self._codes.setdefault(column, {})
        found = np.full(len(texts), np.nan)
        for row, text in enumerate(map(_spelled, texts)):
            text = FLAGS.get(text.lower(), text) if known.keys() == {"0", "1"} else text
            if text and text not in known:
                if self._known:
                    raise UnreadableFile(_unknown(column, text, [*known], path, where(row)))
                known[text] = len(known)
                _check_few(column, text, len(known), path)
            if text:
                found[row] = known[text]
        return found

    def finished(self, numbers: np.ndarray, names: Sequence[str] | None, path: object, where: Where) -> np.ndarray:
        """Numbers (m, columns) as a reader gives them, with codes in the columns that it has left as numbers."""
        for index, name in enumerate(names or ()):
            if name in self._always and name not in self.coded:
                missing = np.ma.getmaskarray(numbers)[:, index] | np.isnan(np.ma.getdata(numbers)[:, index])
                values = np.ma.getdata(numbers)[:, index].tolist()
                texts = ["" if lost else spelled(value) for lost, value in zip(missing, values, strict=True)]
                numbers = numbers.astype(np.float64)
                numbers[:, index] = self.codes(name, texts, path, where)
                self.coded.discard(name)  # the next chunk holds numbers too
        return numbers


def spelled(value: float | int | bool) -> str:
    """A number as the name of a category: 3 for 3.0, and at most 7 digits of a fraction, as float32 has.

    >>> spelled(3.0), spelled(0.1), spelled(True)
    ('3', '0.1', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if value == round(value) else f"{value:.7g}"


def in_order(names: Sequence[str]) -> list[str]:
    """The names of categories, sorted: as numbers if all of them are, or else as text.

    >>> in_order(["10", "9", "-1"]), in_order(["b", "10", "9"])
    (['-1', '9', '10'], ['10', '9', 'b'])
    """
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


def _spelled(text: str) -> str:
    """The name of a category without spaces around it. A whole number that was written as 3.0 is 3."""
    text = text.strip()
    return text[: text.index(".")] if re.fullmatch(r"[+-]?\d+\.0+", text, re.ASCII) else text


def _check_few(column: str, text: str, count: int, path: object) -> None:
    if len(text) > LETTERS:
        raise UnreadableFile(
            f"a category must have at most {LETTERS:,} letters, but one of {column} in {path} has {len(text):,} "
            f"({short(for_terminal(text), 30)}); leave the column out with {assignment('data.drop', [column])}"
        )
    if count > MOST:
        raise UnreadableFile(
            f"a column must have at most {MOST:,} categories, but {column} in {path} has more; leave it out with "
            f"{assignment('data.drop', [column])}"
        )


def _unknown(column: str, text: str, known: Sequence[str], path: object, where: str) -> str:
    return (
        f"{for_terminal(column)} must be one of the categories that the model knows ({listed(known)}), but {path} "
        f"holds '{short(for_terminal(text), 40)}' {where}; correct it, remove that row, or train a new run with it"
    )
