"""The distributions from which a search draws its values."""

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep


def check_searchable(keys: Iterable[str]) -> None:
    """Raises a ValueError if a search is over data, because scores on different data cannot be compared."""
    from vaelab.sweeps.cells import MOVABLE

    for key in keys:
        if key.lstrip("+") in ("data", *MOVABLE):
            raise ValueError(
                f"{key} must have one value in a search, because scores on different data cannot be compared, but has "
                "several; choose one, or use hydra/sweeper=grid"
            )


def distribution(override: Override) -> Any:
    """The Optuna distribution for the values of a key.

    Raises:
        ValueError: a range is empty, or a logarithmic scale does not fit.
    """
    try:
        return _distribution(override)
    except ValueError as error:
        raise ValueError(
            f"{override.input_line} leaves nothing to draw from ({error}); use interval(low,high) or range(low,high), "
            "above 0 if it is tag(log,…)"
        ) from error


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    logarithmic = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        return FloatDistribution(float(value.start or 0), float(value.end or 0), log=logarithmic)
    numbers = list(value.range()) if isinstance(value, RangeSweep) else None
    if numbers == []:
        raise ValueError("the range is empty")
    whole = numbers is not None and all(isinstance(number, int) for number in numbers)
    if logarithmic and not (whole and abs(value.step) == 1):
        raise ValueError("only an interval, or a range of whole numbers with step 1, has a logarithmic scale")
    if numbers is None:
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if whole:
        return IntDistribution(min(numbers), max(numbers), log=logarithmic, step=abs(int(value.step)))
    return FloatDistribution(float(min(numbers)), float(max(numbers)), step=abs(float(value.step or 1.0)))


def first_of(drawn: Any) -> Any:
    """One of the values that may be drawn."""
    return drawn.choices[0] if hasattr(drawn, "choices") else drawn.low
