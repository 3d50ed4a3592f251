"""What a chart is given: series of points, and the view of them that a link restores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMOOTHINGS = ("off", "ema", "median")
X_AXES = ("step", "relative", "wall")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve: ``x`` and ``y`` are float64 of one length, ``x`` ascending; ``y`` may hold NaN and infinities.

    ``color`` counts into the theme's palette of eight. ``total`` is how many points there were before down-sampling,
    0 when these are all. ``band`` holds a low and a high bound for each point, such as a confidence interval.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    color: int = 0
    total: int = 0
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    is_dim: bool = False


@dataclass(frozen=True, slots=True)
class ChartView:
    """How a chart looks at its series.

    ``x_low`` and ``x_high`` bound what is seen; None stands for the first or last point, so an open end follows a
    live run. ``smoothing`` is "off", "ema" or "median". ``x_axis`` says what x counts and how it is written: "step";
    "relative", seconds since the start; "wall", seconds since 1970 in UTC, shown in local time.
    """

    x_low: float | None = None
    x_high: float | None = None
    is_log_x: bool = False
    is_log_y: bool = False
    smoothing: str = "off"
    smoothing_amount: float = 0.6
    clip: bool = False
    x_axis: str = "step"


def in_order(series: Series) -> Series:
    """Return the series with points that have a place on the x axis, in its order; the same object when all have.

    A clock set back, or a wall time that was never written, must not keep the rest of a curve from being seen.
    """
    x, y, band = series.x, series.y, series.band
    size = min(len(x), len(y), *(map(len, band) if band else ()))
    is_whole = size == len(x) == len(y)
    # NaN compares false, and what is in order is finite when both ends are.
    if is_whole and (size == 0 or bool(np.isfinite(x[[0, -1]]).all() and (x[1:] >= x[:-1]).all())):
        return series
    chosen = np.flatnonzero(np.isfinite(x[:size]))
    chosen = chosen[np.argsort(x[chosen], kind="stable")]
    bounds = None if band is None else (band[0][chosen], band[1][chosen])
    return Series(series.label, x[chosen], y[chosen], series.color, series.total, bounds, series.is_dim)
