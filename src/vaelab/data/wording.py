"""Lists and numbers of things, as the messages about data say them."""

from collections.abc import Sequence

from vaelab.escapes import for_terminal, short

SHOWN, LONGEST = 10, 40  # names in a sentence, and letters of one


def listed(names: Sequence[object], shown: int = SHOWN) -> str:
    """Names as a sentence shows them: the first few, on one line.

    >>> listed(["age", "height", "weight"], shown=2)
    'age, height and 1 more'
    """
    first = ", ".join(short(for_terminal(name), LONGEST) for name in names[:shown])
    return first if len(names) <= shown else f"{first} and {len(names) - shown:,} more"


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(2345, "row")
    ('1 row', '2,345 rows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
