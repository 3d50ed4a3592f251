from __future__ import annotations

import doctest
import importlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.tui.widgets.chart_scale import Scale, outward, spread
from mllab.tui.widgets.chart_ticks import (
    axis_labels,
    count_text,
    duration,
    moment,
    nice_step,
    number_labels,
    ticks,
    time_ticks,
    value_text,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    "name", ["data", "grid", "layout", "order", "scale", "smoothing", "sparkline", "ticks", "columns", "frame", "style"]
)
def test_examples_hold(name) -> None:
    assert doctest.testmod(importlib.import_module(f"mllab.tui.widgets.chart_{name}")).failed == 0


@pytest.fixture
def _in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@given(st.floats(1e-200, 1e200), st.integers(1, 20))
def test_steps_are_one_two_or_five(span, count) -> None:
    step = nice_step(span, count)
    assert f"{step:.0e}"[0] in "125"
    assert span / step <= count * (1 + 1e-9)
    assert span / step > count / 3


def test_ticks_lie_at_round_values_in_view() -> None:
    assert ticks(0.13, 0.98, 4) == pytest.approx([0.5])
    assert ticks(-3, 12, 4) == [0, 5, 10]
    assert number_labels([0.0, 0.02, 0.04]) == ["0.00", "0.02", "0.04"]
    assert number_labels([0.0, 2e-5, 4e-5]) == ["0", "2e-5", "4e-5"]
    assert number_labels([0.0, 5e6]) == ["0", "5e6"]
    assert all(len(each) <= 7 for each in number_labels([1.000001, 1.000002, -1e-300]))


def test_log_ticks_are_powers_of_ten_with_finer_ones_where_few_fit() -> None:
    assert ticks(1e-4, 1.0, 4, is_log=True) == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1])
    assert ticks(1e-12, 1.0, 4, is_log=True) == pytest.approx([1e-12, 1e-9, 1e-6, 1e-3, 1])
    assert ticks(1.0, 10.0, 6, is_log=True) == [1, 2, 5, 10]
    # No power of ten lies in so short a stretch.
    assert ticks(3.0, 4.0, 2, is_log=True) == [3, 3.5, 4]


def test_steps_are_written_with_k_and_m() -> None:
    assert axis_labels([0.0, 250_000.0, 500_000.0], "step") == ["0", "250k", "500k"]
    assert axis_labels([500_000.0, 1_000_000.0, 1_500_000.0], "step") == ["500k", "1.0M", "1.5M"]
    assert count_text(1_000_001.0, 1.0) == "1,000,001"


def test_spans_of_time_have_round_ticks() -> None:
    assert axis_labels(time_ticks(0, 3 * 3600, 6, is_wall=False), "relative") == [
        *("0", "30m", "1h", "1h30m", "2h", "2h30m", "3h")
    ]
    assert duration(4_800) == "1h20m"
    assert duration(-90) == "-1m30s"


@pytest.mark.usefixtures("_in_berlin")
def test_wall_time_is_the_local_clock() -> None:
    noon_utc = 1_767_268_800.0  # 2026-01-01 12:00 UTC
    found = time_ticks(noon_utc, noon_utc + 24 * 3600, 4, is_wall=True)
    assert axis_labels(found, "wall") == ["18:00", "01-02", "06:00", "12:00"]
    assert moment(noon_utc, "wall") == "01-01 13:00:00"


def test_a_wall_time_that_no_clock_shows_is_a_number() -> None:
    assert axis_labels(time_ticks(1e20, 2e20, 4, is_wall=True), "wall")
    assert moment(1e300, "wall") == "1e300"


@given(FINITE, FINITE, st.booleans())
def test_a_scale_maps_its_ends_and_back(one, other, is_log) -> None:
    low, high = sorted((abs(one) or 1.0, abs(other) or 1.0)) if is_log else sorted((one, other))
    low, high = spread(low, high, is_log=is_log)
    assert low < high
    scale = Scale(low, high, is_log)
    assert scale.fraction(low) == 0
    assert scale.fraction(high) == 1
    assert 0 <= scale.fraction(scale.value(0.25)) <= 1
    wider = outward(low, high, nice_step(high - low, 5))
    assert wider[0] <= low < high <= wider[1]


@given(st.floats())
def test_any_value_has_a_short_text(value) -> None:
    assert 1 <= len(value_text(value)) <= 11
    assert len(duration(value)) <= 14
    assert moment(value, "step")
