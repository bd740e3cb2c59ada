"""Rows of choices in which every possible pair of choices meets: a covering array of strength 2 (Cohen et al. 1997)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

Row = dict[str, str]
Pair = frozenset[tuple[str, str]]


def covering_array(groups: Mapping[str, Sequence[str]], possible: Callable[[Row], bool]) -> list[Row]:
    """Rows that hold an option of each group, such that each pair of options that can be in a row is in one.

    Args:
        groups: the options of each group.
        possible: False for a row, or a part of one, that no model can have.
    """
    left = {
        frozenset([(one, a), (other, b)])
        for one, other in combinations(groups, 2)
        for a, b in product(groups[one], groups[other])
        if possible({one: a, other: b})
    }
    rows = []
    for pair in sorted(left, key=sorted):
        if pair in left and (row := _completed(dict(pair), groups, left, possible)):
            rows.append(row)
            left -= pairs_of(row)
    return rows


def pairs_of(row: Row) -> set[Pair]:
    """All pairs of choices in a row."""
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


def _completed(
    row: Row, groups: Mapping[str, Sequence[str]], left: set[Pair], possible: Callable[[Row], bool]
) -> Row | None:
    """The row with an option of every group, chosen to hold many of the pairs that are left; None if there is none."""
    if missing := [group for group in groups if group not in row]:
        group = max(missing, key=lambda name: len(groups[name]))  # the group with the most options has the most pairs

        def gain(option: str) -> int:
            return sum(frozenset([(group, option), choice]) in left for choice in row.items())

        for option in sorted(groups[group], key=gain, reverse=True):
            wider = {**row, group: option}
            if possible(wider) and (found := _completed(wider, groups, left, possible)):
                return found
        return None
    return row
