"""Curves cut at the dot columns of a plot: the least, greatest, first and last value of each, in one pass of numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mllab.tui.widgets.chart_scale import Scale


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is seen of a curve, one entry for each dot column that holds points, and one outside at each side.

    ``at`` is the column, ascending; the entries outside, to which lines lead, lie beyond the edges. ``low``, ``high``,
    ``first`` and ``last`` are values, NaN where there is no finite one. ``nan``, ``above`` and ``below`` are the
    columns that hold a NaN, a positive and a negative infinity, once for each such point.
    """

    at: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    nan: NDArray[np.intp]
    above: NDArray[np.intp]
    below: NDArray[np.intp]
    points: int = 0
    fullest: int = 0
    left_out: int = 0
    """Values that a log axis has no place for."""


def cut(x: NDArray[np.float64], y: NDArray[np.float64], scale: Scale, width: int, *, is_log_y: bool = False) -> Columns:
    """Cut a curve at ``width`` dot columns of an x axis.

    The first and last column are centred on the ends of the axis. The cost is one pass over the points in view.

    Args:
        x: float64[n], finite, ascending.
        y: float64[n].
        scale: the x axis.
        width: dot columns, at least 2.
        is_log_y: leave out what is not positive.
    """
    # On a log axis values from zero down have no place; they come first.
    skipped = int(np.searchsorted(x, 0.0, "right")) if scale.is_log else 0
    edges = scale.values((np.arange(width + 1) - 0.5) / (width - 1))
    # An end that lies beyond what floats hold still has its points inside.
    edges[0], edges[-1] = min(edges[0], scale.low), max(edges[-1], scale.high)
    starts = np.searchsorted(x, edges, "left")
    starts[-1] = max(starts[-1], np.searchsorted(x, scale.high, "right"))
    starts = np.maximum(starts, skipped)
    begin, end = int(starts[0]), int(starts[-1])
    counts = np.diff(starts)
    filled = np.flatnonzero(counts)
    seen = y[begin:end]
    firsts = starts[:-1][filled] - begin
    lasts = firsts + counts[filled] - 1
    is_drawn = np.isfinite(seen)
    if is_log_y:
        is_drawn &= seen > 0
    none = np.zeros(0, dtype=np.intp)
    nan = above = below = none
    left_out = 0
    if is_drawn.all():
        lowest = highest = gapped = seen
    else:
        lowest, highest = np.where(is_drawn, seen, np.inf), np.where(is_drawn, seen, -np.inf)
        gapped = np.where(is_drawn, seen, np.nan)
        odd = np.flatnonzero(~is_drawn)
        column = filled[np.searchsorted(firsts, odd, "right") - 1]
        values = seen[odd]
        nan, above = column[np.isnan(values)], column[values == np.inf]
        below = none if is_log_y else column[values == -np.inf]
        left_out = int((values <= 0).sum()) if is_log_y else 0
    low = np.minimum.reduceat(lowest, firsts) if len(firsts) else np.zeros(0)
    high = np.maximum.reduceat(highest, firsts) if len(firsts) else np.zeros(0)
    parts = [filled.astype(np.float64), _finite(low), _finite(high), gapped[firsts], gapped[lasts]]
    for outside in (begin - 1, end):
        if skipped <= outside < len(x):
            value = y[outside] if np.isfinite(y[outside]) and not (is_log_y and y[outside] <= 0) else np.nan
            place = float(scale.fractions(x[outside : outside + 1])[0]) * (width - 1)
            place = min(place, -0.75) if outside < begin else max(place, width - 0.25)
            index = 0 if outside < begin else len(parts[0])
            added = (place, np.nan, np.nan, value, value)
            parts = [np.insert(part, index, each) for part, each in zip(parts, added, strict=True)]
    fullest = int(counts.max(initial=0))
    at, low, high, first, last = parts
    left_out += skipped
    return Columns(at, low, high, first, last, nan, above, below, end - begin, fullest, left_out)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def trace(columns: Columns, scale: Scale, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest dot row, counted from below, that a curve takes in each dot column.

    A column takes all rows from its least to its greatest value, and those of the lines that lead to the next
    points on both sides, half way each; NaN where there is nothing. Rows outside the plot are possible.
    """
    top = height - 1
    at = columns.at
    low, high = np.full(width, np.nan), np.full(width, np.nan)
    inside = (at >= 0) & (at < width)
    place = at[inside].astype(np.intp)
    low[place] = np.rint(scale.fractions(columns.low[inside]) * top)
    high[place] = np.rint(scale.fractions(columns.high[inside]) * top)
    if len(at) < 2:
        return low, high
    first, last = scale.fractions(columns.first) * top, scale.fractions(columns.last) * top
    borders = np.arange(width + 1) - 0.5
    before = np.searchsorted(at, borders, "right") - 1
    is_between = (before >= 0) & (before + 1 < len(at))
    before = np.clip(before, 0, len(at) - 2)
    part = (borders - at[before]) / (at[before + 1] - at[before])
    crossing = np.where(is_between, last[before] + part * (first[before + 1] - last[before]), np.nan)
    line_low, line_high = np.fmin(crossing[:-1], crossing[1:]), np.fmax(crossing[:-1], crossing[1:])
    # Whole rows that the line crosses; where it crosses none, the nearest one. Neighbours then meet at a corner at
    # least, and a flat line stays one dot thick.
    row_low, row_high = np.ceil(line_low), np.floor(line_high)
    middle = np.rint(line_low + (line_high - line_low) / 2)
    is_thin = row_low > row_high
    is_point = ~np.isnan(low)
    # Where only a border of the stretch is known, the point itself is what there is to draw.
    row_low = np.where(is_thin, np.where(is_point, np.nan, middle), row_low)
    row_high = np.where(is_thin, np.where(is_point, np.nan, middle), row_high)
    return np.fmin(low, row_low), np.fmax(high, row_high)
