"""Student's t and F against SciPy 1.17.1, whose values are written here: it is no dependency."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.query.student import f_p_value, t_p_value, t_quantile

# (t, df, 2 * scipy.stats.t.sf(abs(t), df))
T = [
    (0.5, 1, 0.7048327646991335),
    (12.706, 1, 0.05000080235813319),
    (-2.0, 2.5, 0.1573914957579659),
    (2.0, 10, 0.07338803477074037),
    (1.96, 99, 0.052807113750970754),
    (40.0, 7, 1.5902179984850364e-09),
    (1e-09, 4, 0.99999999925),
    (3.0, 0.3, 0.5013376896876194),
    (5.0, 99998, 5.742701872181706e-07),
]
# (confidence, df, scipy.stats.t.ppf((1 + confidence) / 2, df))
QUANTILES = [
    (0.95, 1, 12.706204736174694),
    (0.95, 2, 4.302652729749462),
    (0.95, 4, 2.7764451051977934),
    (0.95, 9, 2.262157162798205),
    (0.9, 3.7, 2.1824938039146007),
    (0.99, 30, 2.7499956535672254),
    (0.999, 1.5, 82.84744670366369),
    (0.5, 8, 0.7063866126448388),
    (0.95, 99998, 1.9599877080090842),
]
# (f, between, within, scipy.stats.f.sf(f, between, within))
F = [
    (4.0, 2, 12, 0.04665599999999999),
    (1.0, 1, 1, 0.5000000000000001),
    (0.2, 5, 30, 0.9599575282870428),
    (161.4, 1, 1, 0.050007348139564305),
    (3.3, 7, 2.5, 0.20948908705482325),
    (1.02, 999, 99000, 0.3240309984107897),
    (250.0, 3, 40, 6.150429167790566e-26),
    (1e-06, 4, 4, 0.999999999997),
]
degrees = st.floats(0.5, 1e5)


@pytest.mark.parametrize(("t", "df", "expected"), T)
def test_p_values_of_t(t: float, df: float, expected: float) -> None:
    assert t_p_value(t, df) == pytest.approx(expected, rel=1e-9)
    assert t_p_value(-t, df) == t_p_value(t, df)


@pytest.mark.parametrize(("confidence", "df", "expected"), QUANTILES)
def test_quantiles_of_t(confidence: float, df: float, expected: float) -> None:
    assert t_quantile(confidence, df) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("f", "between", "within", "expected"), F)
def test_p_values_of_f(f: float, between: float, within: float, expected: float) -> None:
    assert f_p_value(f, between, within) == pytest.approx(expected, rel=1e-9)


def test_the_ends() -> None:
    assert (t_p_value(0.0, 3), t_p_value(math.inf, 3), t_p_value(1e300, 3)) == (1.0, 0.0, 0.0)
    assert (f_p_value(0.0, 2, 3), f_p_value(math.inf, 2, 3), f_p_value(1e308, 1e5, 1e-3)) == (1.0, 0.0, 0.0)
    assert math.isnan(t_p_value(math.nan, 3))
    assert math.isnan(f_p_value(math.nan, 2, 3))
    # With one degree of freedom t is Cauchy's, whose tail is known: 2 / (pi t). It is no 0 where t squared overflows.
    assert t_p_value(1e200, 1) == pytest.approx(2 / (math.pi * 1e200), rel=1e-9)


@given(st.floats(0.01, 0.999), degrees)
def test_a_quantile_is_the_inverse_of_the_p_value(confidence: float, df: float) -> None:
    assert t_p_value(t_quantile(confidence, df), df) == pytest.approx(1 - confidence, rel=1e-7)


@given(st.floats(1e-3, 1e3), degrees)
def test_f_with_one_degree_between_is_t_squared(t: float, df: float) -> None:
    assert f_p_value(t * t, 1, df) == pytest.approx(t_p_value(t, df), rel=1e-7, abs=1e-300)


@given(st.floats(0, 100), st.floats(0, 100), degrees)
def test_p_values_fall_as_t_grows(one: float, other: float, df: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= t_p_value(high, df) <= t_p_value(low, df) * (1 + 1e-9) <= 1 + 1e-9
