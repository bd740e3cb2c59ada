"""Puts lists and counts into words, for messages about data."""

from collections.abc import Sequence

from vaelab.escapes import for_terminal, short

SHOWN, LONGEST = 10, 40  # the most names in a sentence, and letters in a name


def listed(names: Sequence[object], shown: int = SHOWN) -> str:
    """Joins names for a sentence: the first few, on one line.

    >>> listed(["age", "height", "weight"], shown=2)
    'age, height and 1 more'
    """
    first = ", ".join(short(for_terminal(name), LONGEST) for name in names[:shown])
    return first if len(names) <= shown else f"{first} and {len(names) - shown:,} more"


def counted(number: int, thing: str) -> str:
    """Writes a number of things.

    >>> counted(1, "row"), counted(2345, "row")
    ('1 row', '2,345 rows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
