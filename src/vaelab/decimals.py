"""Numbers as text for tables, and what they are called."""

MOST = 1e7  # from here on, all digits before the point would fill a table


def decimals(value: float, digits: int = 3) -> str:
    """A number with this many decimals, or in scientific notation if it is huge. Zero has no sign.

    >>> [decimals(value) for value in (-345230.1234, -1e-12, 1e30, float("nan"), float("-inf"))]
    ['-345230.123', '0.000', '1e+30', 'nan', '-inf']
    """
    if MOST <= abs(value) < float("inf"):
        return f"{value:.4g}"
    return f"{round(value, digits) + 0.0 if abs(value) < MOST else value:.{digits}f}"


def kind_of_score(measure: str) -> str:
    """What log p is called, given what p is: a `density`, a `mass`, or `mixed` for a product of both."""
    return {"density": "log-density", "mixed": "mixed log-density"}.get(measure, "log-probability")
