"""Rows of choices in which every possible pair of choices meets: a covering array (Cohen et al. 1997)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

Row = dict[str, str]
Choices = frozenset[tuple[str, str]]


def covering_array(
    groups: Mapping[str, Sequence[str]], possible: Callable[[Row], bool], strength: int = 2
) -> list[Row]:
    """Rows that hold an option of each group, such that all options that can be in a row together are in one.

    Args:
        groups: the options of each group.
        possible: False for a row, or a part of one, that no model can have.
        strength: how many options meet: 2 for each pair, 1 for each option on its own.
    """
    left = {
        frozenset(zip(names, options, strict=True))
        for names in combinations(groups, strength)
        for options in product(*(groups[name] for name in names))
        if possible(dict(zip(names, options, strict=True)))
    }
    rows = []
    for choices in sorted(left, key=sorted):
        if choices in left and (row := _completed(dict(choices), groups, left, possible, strength)):
            rows.append(row)
            left -= met_in(row, strength)
    return rows


def met_in(row: Row, strength: int = 2) -> set[Choices]:
    """All choices that meet in a row: pairs, if `strength` is 2."""
    return {frozenset(choices) for choices in combinations(row.items(), strength)}


def _completed(
    row: Row,
    groups: Mapping[str, Sequence[str]],
    left: set[Choices],
    possible: Callable[[Row], bool],
    strength: int,
) -> Row | None:
    """The row with an option of every group, chosen to hold many of the choices left; None if there is none."""
    if missing := [group for group in groups if group not in row]:
        group = max(missing, key=lambda name: len(groups[name]))  # it has the most to meet

        def gain(option: str) -> int:
            others = combinations(row.items(), strength - 1)
            return sum(frozenset([(group, option), *choices]) in left for choices in others)

        for option in sorted(groups[group], key=gain, reverse=True):
            wider = {**row, group: option}
            if possible(wider) and (found := _completed(wider, groups, left, possible, strength)):
                return found
        return None
    return row
