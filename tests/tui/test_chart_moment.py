from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mllab.tui.widgets.chart_scale import PAD_S, spread

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_one_moment_is_padded_by_seconds() -> None:
    assert spread(1.7e9, 1.7e9, pad=PAD_S) == (1.7e9 - 30, 1.7e9 + 30)
    assert spread(0.0, 0.0, pad=PAD_S) == (-30.0, 30.0)


def test_two_moments_are_the_ends() -> None:
    assert spread(1.7e9, 1.7e9 + 1, pad=PAD_S) == (1.7e9, 1.7e9 + 1)


@given(FINITE)
def test_ends_differ_where_seconds_are_nothing(value: float) -> None:
    low, high = spread(value, value, pad=PAD_S)
    assert low <= value <= high
    assert low < high
