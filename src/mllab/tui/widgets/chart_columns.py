"""Curves cut at the dot columns of a plot: the least, greatest, first and last value of each, in one pass of numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    columns that hold a NaN, a positive and a negative infinity; the ``_points`` count the points themselves.
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
    nan_points: int = 0
    infinite_points: int = 0
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
    nan_points = infinite_points = left_out = 0
    masked = seen
    if not is_drawn.all():
        odd = np.flatnonzero(~is_drawn)
        values = seen[odd]
        is_left_out = values <= 0 if is_log_y else np.zeros(len(odd), dtype=bool)
        left_out = int(is_left_out.sum())
        nan, nan_points = _holding(odd[np.isnan(values)], firsts, filled)
        above, infinite_points = _holding(odd[values == np.inf], firsts, filled)
        below, more = _holding(odd[(values == -np.inf) & ~is_left_out], firsts, filled)
        infinite_points += more
        masked = seen.copy()
        masked[odd] = np.inf
    low = np.minimum.reduceat(masked, firsts) if len(firsts) else np.zeros(0)
    if masked is not seen:
        masked[odd] = -np.inf
    high = np.maximum.reduceat(masked, firsts) if len(firsts) else np.zeros(0)
    parts = [filled.astype(np.float64), _finite(low), _finite(high), _finite(masked[firsts]), _finite(masked[lasts])]
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
    columns = Columns(at, low, high, first, last, nan, above, below)
    return replace(
        columns,
        points=end - begin,
        fullest=fullest,
        nan_points=nan_points,
        infinite_points=infinite_points,
        left_out=left_out,
    )


def _holding(
    places: NDArray[np.intp], firsts: NDArray[np.intp], filled: NDArray[np.intp]
) -> tuple[NDArray[np.intp], int]:
    """Return the columns that hold any of these places, and how many places there are."""
    bounds = np.append(np.searchsorted(places, firsts), len(places))
    return filled[np.diff(bounds) > 0], len(places)


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
    low[place] = scale.fractions(columns.low[inside]) * top
    high[place] = scale.fractions(columns.high[inside]) * top
    point_low, point_high = np.rint(low), np.rint(high)
    if len(at) < 2:
        return point_low, point_high
    first, last = scale.fractions(columns.first) * top, scale.fractions(columns.last) * top
    borders = np.arange(width + 1) - 0.5
    before = np.searchsorted(at, borders, "right") - 1
    is_between = (before >= 0) & (before + 1 < len(at))
    before = np.clip(before, 0, len(at) - 2)
    part = (borders - at[before]) / (at[before + 1] - at[before])
    crossing = np.where(is_between, last[before] + part * (first[before + 1] - last[before]), np.nan)
    # From the points themselves to the borders on both sides.
    low = np.fmin(low, np.fmin(crossing[:-1], crossing[1:]))
    high = np.fmax(high, np.fmax(crossing[:-1], crossing[1:]))
    # Whole rows that the line crosses; where it crosses none, the nearest one. Neighbours then meet at a corner at
    # least, and a flat line stays one dot thick.
    row_low, row_high = np.ceil(low), np.floor(high)
    middle = np.rint(low + (high - low) / 2)
    is_thin = row_low > row_high
    is_empty = np.isnan(point_low)
    row_low = np.where(is_thin, np.where(is_empty, middle, np.nan), row_low)
    row_high = np.where(is_thin, np.where(is_empty, middle, np.nan), row_high)
    return np.fmin(point_low, row_low), np.fmax(point_high, row_high)
