from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.tui.widgets.chart_sparkline import sparkline


def test_rising_values_rise() -> None:
    assert sparkline(range(8), 8) == "▁▂▃▄▅▆▇█"


@pytest.mark.parametrize("width", [2, 3, 10, 79])
def test_a_spike_and_a_dip_are_seen_at_any_width(width) -> None:
    values = np.full(100_000, 0.5)
    values[12_345], values[77_777] = 1.0, 0.0
    found = sparkline(values, width)
    assert len(found) <= width
    assert "█" in found
    assert "▁" in found


def test_nan_and_infinities_have_marks_of_their_own() -> None:
    assert sparkline([0.0, math.nan, math.inf, -math.inf, 1.0], 5) == "▁·↑↓█"


def test_constant_values_are_level() -> None:
    assert sparkline([3.0] * 4, 9) == "▄▄▄▄"


def test_nothing_is_nothing() -> None:
    assert sparkline([], 5) == ""
    assert sparkline([1.0], 0) == ""


@given(st.lists(st.floats(), max_size=60), st.integers(-1, 20))
def test_any_floats_make_at_most_width_bars(values, width) -> None:
    found = sparkline(values, width)
    assert len(found) == min(len(values), max(width, 0)) or (len(values) > width and len(found) in (width, width - 1))
