"""Columns of tables never touch, whatever the numbers."""

import math
import re

import numpy as np
import pytest

from vaelab.decimals import decimals
from vaelab.objectives import Terms
from vaelab.runs.final_numbers import format_metrics
from vaelab.sweeps.statistics import Interval
from vaelab.sweeps.tables import format_interval

NUMBERS = [-345230.123, 1e-12, math.nan, math.inf, -math.inf, 1e30, -9999999.4, 123456789012.5, 0.0]


@pytest.mark.parametrize("value", NUMBERS)
def test_a_number_is_short_and_close(value):
    text = decimals(value)
    assert len(text) <= 12
    np.testing.assert_allclose(float(text), value, rtol=5e-4, atol=5e-4)


def test_the_columns_of_the_final_numbers_are_apart():
    for one in NUMBERS:
        metrics = {f"{split}/{term}": one for split in ("val", "test") for term in (*Terms._fields, "baseline")}
        for line in format_metrics({**metrics, "val/" + 40 * "long": one, "mine": -one}, Terms._fields).splitlines():
            if line and not line.startswith(("also", "nats")):
                name, *cells = re.split(" {2,}", line.strip())
                assert [decimals(float(cell)) if abs(float(cell)) < 1e7 else cell for cell in cells]
                assert len(cells) == (1 if name in ("mine", "val/" + 40 * "long") else 2)


@pytest.mark.parametrize("low", NUMBERS)
def test_any_interval_can_be_written(low):
    text = format_interval(Interval(low + 1, low, low + 2))
    assert "  " not in text
    assert len(text) < 60
