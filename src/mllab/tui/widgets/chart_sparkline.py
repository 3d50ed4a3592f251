"""Sparklines: a curve in one line of text, for tables and details."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BARS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"


def sparkline(values: Sequence[float] | NDArray[np.float64], width: int) -> str:
    """Return at most ``width`` bars from the least to the greatest finite value.

    Where there are more values than bars, each pair of bars shows the least and the greatest of a stretch, in the
    order in which they came: no extreme is lost. A stretch of NaN alone is ``·``, infinities are ``↑`` and ``↓``.

    Example:
        >>> sparkline([1.0, 2.0, 3.0, float("nan"), 8.0], 10)
        '▁▂▃·█'
        >>> sparkline([0.0] * 500 + [9.0] + [0.0] * 500, 8)
        '▁▁▁▁█▁▁▁'
    """
    found = np.asarray(values, dtype=np.float64)
    if width < 1 or not len(found):
        return ""
    finite = found[np.isfinite(found)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    picked = found if len(found) <= width else _extremes(found, width)
    return "".join(_bar(each, low, high) for each in picked.tolist())


def _extremes(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the least and greatest value of each stretch; for a single bar the last value."""
    if width == 1:
        return values[-1:]
    missing = np.isnan(values)
    lowest, highest = np.where(missing, np.inf, values), np.where(missing, -np.inf, values)
    bounds = np.linspace(0, len(values), width // 2 + 1).astype(np.intp).tolist()
    picked = []
    for start, stop in pairwise(bounds):
        if missing[start:stop].all():
            picked += [start, start]
        else:
            # Of a constant stretch both are the same point, which is what there is to see.
            picked += sorted([start + int(lowest[start:stop].argmin()), start + int(highest[start:stop].argmax())])
    return values[picked]


def _bar(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return _NOTHING
    if np.isinf(value):
        return "↑" if value > 0 else "↓"
    if low == high:
        return _BARS[3]
    # Halves, because a span can be more than a float holds.
    part = value - low if np.isfinite(high - low) else value / 2 - low / 2
    span = high - low if np.isfinite(high - low) else high / 2 - low / 2
    return _BARS[min(int(part / span * len(_BARS)), len(_BARS) - 1)]
