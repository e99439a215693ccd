from __future__ import annotations

import pytest

from stepsize.report.wording import bounds
from stepsize.stats.intervals import Interval


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1.0004, 1.07, "[1.0004, 1.07]"),
        (0.996, 1.0, "[0.996, 1.00]"),
        (0.5, 0.99999, "[0.500, 0.99999]"),
    ],
)
def test_an_end_that_is_not_1_does_not_read_as_1(low: float, high: float, text: str):
    assert bounds(Interval(1.0, low, high, 5)) == text
