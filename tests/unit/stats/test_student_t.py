"""Student's t quantiles against tables, closed forms and the integral of the density."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.stats.intervals import t_quantile


@pytest.mark.parametrize(
    ("df", "upper_5", "upper_2_5", "upper_0_5"),
    [
        (1, 6.314, 12.706, 63.657),
        (2, 2.920, 4.303, 9.925),
        (3, 2.353, 3.182, 5.841),
        (4, 2.132, 2.776, 4.604),
        (5, 2.015, 2.571, 4.032),
        (9, 1.833, 2.262, 3.250),
        (10, 1.812, 2.228, 3.169),
        (30, 1.697, 2.042, 2.750),
        (120, 1.658, 1.980, 2.617),
    ],
)
def test_quantiles_are_those_of_the_published_table(
    df: int, upper_5: float, upper_2_5: float, upper_0_5: float
) -> None:
    # Fisher and Yates, Statistical Tables, table III, in every textbook.
    found = [t_quantile(p, df) for p in (0.95, 0.975, 0.995)]
    assert found == pytest.approx([upper_5, upper_2_5, upper_0_5], abs=5.1e-4)


@settings(max_examples=50, deadline=None)
@given(p=st.floats(1e-5, 1 - 1e-5))
def test_quantiles_are_the_closed_forms_for_1_2_and_4_degrees_of_freedom(p: float) -> None:
    # Shaw, "Sampling Student's T distribution", Journal of Computational Finance 9 (2006).
    alpha = 4 * p * (1 - p)
    root = math.sqrt(alpha)
    four = 2 * math.sqrt(max(math.cos(math.acos(min(root, 1.0)) / 3) / root - 1, 0.0))
    assert t_quantile(p, 1) == pytest.approx(-1 / math.tan(math.pi * p), rel=1e-10, abs=1e-10)
    assert t_quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / alpha), rel=1e-10)
    # The closed form for 4 cancels next to the median.
    assert t_quantile(p, 4) == pytest.approx(math.copysign(four, p - 0.5), rel=1e-10, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(df=st.integers(1, 300), p=st.floats(0.001, 0.999))
def test_the_density_integrates_to_the_probability_up_to_the_quantile(df: int, p: float) -> None:
    # In theta = atan(t / sqrt(df)) the density is smooth and bounded: a constant times cos^(df-1).
    nodes, weights = np.polynomial.legendre.leggauss(200)
    half = math.atan(t_quantile(p, df) / math.sqrt(df)) / 2
    constant = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(math.pi)
    integral = half * constant * float(weights @ np.cos(half * (nodes + 1)) ** (df - 1))
    assert integral == pytest.approx(p - 0.5, abs=1e-11)


@settings(max_examples=50, deadline=None)
@given(df=st.integers(1, 50), p=st.floats(0.01, 0.5))
def test_quantiles_are_symmetric_about_zero(df: int, p: float) -> None:
    assert t_quantile(1 - p, df) == pytest.approx(-t_quantile(p, df), rel=1e-10, abs=1e-12)


def test_many_degrees_of_freedom_give_the_normal_quantile() -> None:
    assert t_quantile(0.975, 1_000_000) == pytest.approx(1.959963985 + 2.4e-6, abs=1e-7)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (math.nan, 3), (0.975, 0), (0.9, 2.5)])
def test_a_wrong_probability_or_df_is_refused(p: float, df: int) -> None:
    with pytest.raises(ValueError, match=r"^(p|df)="):
        t_quantile(p, df)
