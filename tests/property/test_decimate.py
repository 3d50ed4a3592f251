from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mllab.errors import UsageError
from mllab.query.decimate import MIN_POINTS, decimate

VALUES = hnp.arrays(np.float64, st.integers(0, 400), elements=st.floats(allow_nan=True, allow_infinity=True))


@given(values=VALUES, max_points=st.integers(MIN_POINTS, 60))
def test_every_extreme_of_every_bucket_stays(values: np.ndarray, max_points: int) -> None:
    rows = decimate(values, max_points)
    assert len(rows) <= max_points
    assert np.all(np.diff(rows) > 0)
    if not len(values):
        return
    assert rows[0] == 0
    assert rows[-1] == len(values) - 1
    kept = values[rows]
    for of in (np.fmin.reduce, np.fmax.reduce):
        assert repr(of(kept)) == repr(of(values)) or of(kept) == of(values)
    assert np.isnan(kept).any() == np.isnan(values).any()


@pytest.mark.parametrize("at", [0, 1, 4_999_999, 5_000_001, 9_999_998, 9_999_999])
@pytest.mark.parametrize("spike", [1e9, -1e9, np.nan, np.inf])
def test_a_spike_of_one_step_in_ten_million_shows_at_every_zoom(at: int, spike: float) -> None:
    values = _NOISE.copy()
    values[at] = spike
    width = len(values)
    first = 0
    while width >= 10:
        window = values[first : first + width]
        rows = decimate(window, 200) + first
        assert at in rows
        width //= 10
        first = max(0, min(at - width // 2, len(values) - width))


_NOISE = np.random.default_rng(0).normal(size=10_000_000)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(UsageError, match="max_points"):
        decimate(np.zeros(100), 3)
