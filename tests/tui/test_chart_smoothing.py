from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.tui.widgets.chart_smoothing import ema, half_window, running_median


def plain_ema(values, weight):
    """TensorBoard's classicSmoothing, line by line."""
    last, count, found = 0.0, 0, []
    for value in values:
        if not math.isfinite(value):
            found.append(value)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        found.append(last / (1 - weight**count))
    return found


def plain_median(values, half):
    finite = [(place, value) for place, value in enumerate(values) if math.isfinite(value)]
    found = list(values)
    for rank, (place, _) in enumerate(finite):
        around = [finite[min(max(rank + step, 0), len(finite) - 1)][1] for step in range(-half, half + 1)]
        found[place] = statistics.median(around)
    return found


@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=700), st.floats(0, 0.999))
def test_ema_is_the_plain_loop(values, weight) -> None:
    assert ema(np.array(values, dtype=float), weight) == pytest.approx(
        plain_ema(values, weight), rel=1e-9, abs=1e-6, nan_ok=True
    )


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 513, 3000])
def test_ema_carries_over_from_stretch_to_stretch(size) -> None:
    values = np.random.default_rng(size).normal(size=size).cumsum()
    assert ema(values, 0.999) == pytest.approx(plain_ema(values, 0.999), rel=1e-9)


def test_ema_starts_at_the_first_value_and_not_at_zero() -> None:
    assert ema(np.array([5.0, 5.0, 5.0]), 0.99) == pytest.approx([5.0, 5.0, 5.0])


def test_a_weight_of_one_still_moves() -> None:
    assert ema(np.array([0.0, 1.0]), 1.0)[1] > 0.4


@given(
    st.lists(st.floats(-1e308, 1e308) | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1, max_size=80),
    st.integers(1, 20),
)
def test_median_is_the_plain_median(values, half) -> None:
    found = running_median(np.array(values), half, np.arange(len(values)))
    assert np.array_equal(found, plain_median(values, half), equal_nan=True)


def test_median_at_places_is_that_of_all_at_these_places() -> None:
    values = np.random.default_rng(3).normal(size=1000)
    values[::7] = np.nan
    at = np.array([0, 1, 14, 500, 998, 999])
    everywhere = running_median(values, 9, np.arange(1000))
    assert np.array_equal(running_median(values, 9, at), everywhere[at], equal_nan=True)


def test_median_window_is_a_tenth_of_a_short_curve() -> None:
    assert half_window(20, 1.0) == 2
    assert half_window(1_000_000, 1.0) == 50
    assert half_window(0, 0.0) == 1
