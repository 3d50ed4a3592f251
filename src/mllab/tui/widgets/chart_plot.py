"""A plot: series drawn onto a canvas under a view, with the axes and the count of what is drawn and what is not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mllab.tui.widgets import chart_smoothing, chart_style
from mllab.tui.widgets.chart_canvas import Canvas
from mllab.tui.widgets.chart_columns import Columns, cut, trace
from mllab.tui.widgets.chart_data import ChartView, Series, in_order
from mllab.tui.widgets.chart_scale import IN_SECONDS, PAD_S, Scale, outward, spread
from mllab.tui.widgets.chart_ticks import nice_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mllab.tui.widgets.chart_layout import Layout

# Percentiles of more values than this are taken of a sample: to sort a million takes 10 ms.
_SAMPLE = 100_000
_CELLS_BETWEEN_MARKERS = 16


@dataclass(slots=True, eq=False)
class Curve:
    """A series made ready: in order, and with its moving average, both kept from one drawing to the next."""

    series: Series
    lost: int
    average: NDArray[np.float64] | None = None
    half_window: int = 0
    """Of a running median, which is taken only where it is looked at; 0 when there is none."""

    def value_at(self, x: float | None) -> tuple[float, float] | None:
        """Return the point nearest to ``x`` (the last one for None) as x and y; of equal ones the latest."""
        xs = self.series.x
        if not len(xs):
            return None
        place = len(xs) - 1
        if x is not None:
            place = int(np.searchsorted(xs, x, "right"))
            if place == len(xs) or (place and abs(x - xs[place - 1]) <= abs(xs[place] - x)):
                place -= 1
        return float(xs[place]), float(self.series.y[place])

    def average_at(self, x: float) -> float | None:
        """Return the smoothed value at a point's ``x``, None when there is none."""
        place = max(int(np.searchsorted(self.series.x, x, "right")) - 1, 0)
        if not len(self.series.x):
            return None
        if self.average is not None:
            return float(self.average[place])
        return float(self.medians(np.array([place]))[0]) if self.half_window else None

    def medians(self, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the running median at ascending positions; only what lies around them is looked at."""
        begin = max(int(at[0]) - 2 * self.half_window, 0)
        part = self.series.y[begin : int(at[-1]) + 2 * self.half_window + 1]
        return chart_smoothing.running_median(part, self.half_window, at - begin)


def prepare(series: Sequence[Series], view: ChartView) -> list[Curve]:
    """Return the curves of series under a view's smoothing: one pass over all points, done when these change."""
    curves = []
    for each in series:
        ordered = in_order(each)
        curve = Curve(ordered, len(each.x) - len(ordered.x))
        if view.smoothing == "ema":
            curve.average = chart_smoothing.ema(ordered.y, view.smoothing_amount)
        elif view.smoothing == "median":
            curve.half_window = chart_smoothing.half_window(len(ordered.y), view.smoothing_amount)
        curves.append(curve)
    return curves


@dataclass(slots=True, eq=False)
class Counts:
    """What is drawn and what is not, for the line that says so."""

    points: int = 0
    total: int = 0
    before: int = 0
    per_column: int = 0
    fullest: int = 0
    nan: int = 0
    infinite: int = 0
    left_out: int = 0
    lost: int = 0
    clipped: int = 0
    is_sampled: bool = False
    median_window: int = 0
    median_places: int = 0


@dataclass(slots=True, eq=False)
class Plot:
    """A drawn plot; the scales are None when there is nothing to scale."""

    canvas: Canvas
    x: Scale
    y: Scale
    counts: Counts
    nan_cells: set[int] = field(default_factory=set)
    has_values: bool = False


def x_extent(curves: Sequence[Curve], view: ChartView) -> tuple[float, float] | None:
    """Return the first and last x of all curves, None when there is no point that the axis has a place for."""
    lows, highs = [], []
    for curve in curves:
        x = curve.series.x
        start = int(np.searchsorted(x, 0.0, "right")) if view.is_log_x else 0
        if start < len(x):
            lows.append(float(x[start]))
            highs.append(float(x[-1]))
    return (min(lows), max(highs)) if lows else None


def x_scale(curves: Sequence[Curve], view: ChartView) -> Scale:
    """Return the x axis: what the view says, else all points."""
    low, high = x_extent(curves, view) or (1.0, 10.0)
    chosen_low = low if view.x_low is None or not math.isfinite(view.x_low) else view.x_low
    chosen_high = high if view.x_high is None or not math.isfinite(view.x_high) else view.x_high
    if view.is_log_x and chosen_low <= 0:
        chosen_low = low
    if chosen_low > chosen_high or (view.is_log_x and chosen_high <= 0):
        # Of two bounds that cross, or one beyond the data, none can be kept.
        chosen_low, chosen_high = low, high
    pad = PAD_S if view.x_axis in IN_SECONDS else None
    return Scale(*spread(chosen_low, chosen_high, is_log=view.is_log_x, pad=pad), view.is_log_x)


def draw(curves: Sequence[Curve], view: ChartView, layout: Layout, *, has_markers: bool = False) -> Plot:
    """Draw curves: bands below, then dim and raw lines, then the others, later ones on top."""
    canvas = Canvas(layout.plot_width, max(layout.plot_height, 1))
    x = x_scale(curves, view)
    counts = Counts()
    width = canvas.dot_width
    raw = [cut(each.series.x, each.series.y, x, width, is_log_y=view.is_log_y) for each in curves]
    smooth = [
        _smooth(curve, columns, view, x, width=width, counts=counts) for curve, columns in zip(curves, raw, strict=True)
    ]
    bands = [_bands(curve, view, x, width) for curve in curves]
    _count(counts, curves, raw)
    extents = [*raw, *(each for each in smooth if each), *(side for pair in bands if pair for side in pair)]
    limits = _clip(curves, x, counts, is_log=view.is_log_y) if view.clip else None
    has_values = any(bool(np.isfinite(each.low).any()) for each in raw)
    y = _y_scale(extents, limits, canvas.height, is_log=view.is_log_y)
    plot = Plot(canvas, x, y, counts, has_values=has_values)
    height = canvas.dot_height
    for curve, pair in zip(curves, bands, strict=True):
        if pair:
            style = chart_style.series_style(curve.series.color, is_dim=True)
            bounds = [trace(side, y, width, height) for side in pair]
            canvas.draw(bounds[0][0], bounds[1][1], style, is_half_tone=True)
    lines: list[tuple[Columns, Series, bool]] = []
    for curve, columns, average in zip(curves, raw, smooth, strict=True):
        lines.append((columns, curve.series, curve.series.is_dim or average is not None))
        if average is not None:
            lines.append((average, curve.series, curve.series.is_dim))
    for columns, series, is_dim in sorted(lines, key=lambda line: not line[2]):
        _line(canvas, columns, series, y, is_dim=is_dim)
    if has_markers:
        for number, (columns, series, _) in enumerate(line for line in lines if not line[2]):
            _markers(canvas, columns, series, y, number)
    for columns, curve in zip(raw, curves, strict=True):
        style = chart_style.series_style(curve.series.color, is_dim=curve.series.is_dim)
        for row, glyph, where in ((0, "↑", columns.above), (canvas.height - 1, "↓", columns.below)):
            for cell in np.unique(where // 2).tolist():
                canvas.put(row, cell, glyph, style)
        plot.nan_cells.update(np.unique(columns.nan // 2).tolist())
    canvas.join_blanks()
    return plot


def _line(canvas: Canvas, columns: Columns, series: Series, y: Scale, *, is_dim: bool) -> None:
    low, high = trace(columns, y, canvas.dot_width, canvas.dot_height)
    canvas.draw(low, high, chart_style.series_style(series.color, is_dim=is_dim))


def _markers(canvas: Canvas, columns: Columns, series: Series, y: Scale, number: int) -> None:
    """Put the series' glyph on its line every few cells, where its last value of a column lies."""
    inside = (columns.at >= 0) & (columns.at < canvas.dot_width) & ~np.isnan(columns.last)
    rows = y.fractions(columns.last[inside])
    style = chart_style.series_style(series.color)
    following = number * 5 % _CELLS_BETWEEN_MARKERS
    cells = (columns.at[inside] // 2).astype(np.intp).tolist()
    for position, (cell, fraction) in enumerate(zip(cells, rows.tolist(), strict=True)):
        is_last = position == len(cells) - 1
        if (cell >= following or is_last) and 0 <= fraction <= 1:
            row = canvas.height - 1 - round(fraction * (canvas.dot_height - 1)) // 4
            canvas.put(row, cell, chart_style.marker(series.color), style)
            following = cell + _CELLS_BETWEEN_MARKERS


def _smooth(curve: Curve, raw: Columns, view: ChartView, x: Scale, *, width: int, counts: Counts) -> Columns | None:
    series = curve.series
    if curve.average is not None:
        return cut(series.x, curve.average, x, width, is_log_y=view.is_log_y)
    if not curve.half_window or not len(series.x):
        return None
    begin = max(int(np.searchsorted(series.x, x.low, "left")) - 1, 0)
    end = min(int(np.searchsorted(series.x, x.high, "right")) + 1, len(series.x))
    at = np.arange(begin, end)
    if raw.points > 2 * width:
        # A few medians for each dot column: all of a million would take a second.
        at = np.unique(np.linspace(begin, end - 1, 2 * width).astype(np.intp))
        counts.median_places = max(counts.median_places, len(at))
    counts.median_window = max(counts.median_window, 2 * curve.half_window + 1)
    return cut(series.x[at], curve.medians(at), x, width, is_log_y=view.is_log_y)


def _bands(curve: Curve, view: ChartView, x: Scale, width: int) -> tuple[Columns, Columns] | None:
    band = curve.series.band
    if band is None:
        return None
    low, high = (cut(curve.series.x, side, x, width, is_log_y=view.is_log_y) for side in band)
    return low, high


def _count(counts: Counts, curves: Sequence[Curve], raw: Sequence[Columns]) -> None:
    for curve, columns in zip(curves, raw, strict=True):
        size = len(curve.series.x)
        filled = int(((columns.at >= 0) & (columns.at == np.floor(columns.at))).sum()) or 1
        counts.points += columns.points
        counts.total += size
        counts.before += max(curve.series.total, size + curve.lost)
        counts.per_column = max(counts.per_column, round(columns.points / filled))
        counts.fullest = max(counts.fullest, columns.fullest)
        counts.nan += columns.nan_points
        counts.infinite += columns.infinite_points
        counts.left_out += columns.left_out
        counts.lost += curve.lost


def _clip(curves: Sequence[Curve], x: Scale, counts: Counts, *, is_log: bool) -> tuple[float, float] | None:
    """Return the 1st and 99th percentile of the values in view, and count what lies outside."""
    seen = []
    for curve in curves:
        xs, ys = curve.series.x, curve.series.y
        seen.append(ys[int(np.searchsorted(xs, x.low, "left")) : int(np.searchsorted(xs, x.high, "right"))])
    every = -(-sum(map(len, seen)) // _SAMPLE) or 1
    sample = np.concatenate([part[::every] for part in seen]) if seen else np.zeros(0)
    sample = sample[np.isfinite(sample) & ((sample > 0) if is_log else True)]
    if not len(sample):
        return None
    counts.is_sampled = every > 1
    low, high = np.percentile(sample, [1, 99], method="nearest").tolist()
    lowest = 0.0 if is_log else -np.inf
    for part in seen:
        counts.clipped += int(np.count_nonzero((part < low) & (part > lowest)))
        counts.clipped += int(np.count_nonzero((part > high) & (part < np.inf)))
    return low, high


def _y_scale(extents: Sequence[Columns], limits: tuple[float, float] | None, rows: int, *, is_log: bool) -> Scale:
    lows = np.concatenate([each.low for each in extents]) if extents else np.zeros(0)
    highs = np.concatenate([each.high for each in extents]) if extents else np.zeros(0)
    lows, highs = lows[np.isfinite(lows)], highs[np.isfinite(highs)]
    if limits is not None:
        low, high = limits
    elif len(lows):
        low, high = float(lows.min()), float(highs.max())
    else:
        low, high = (1.0, 10.0) if is_log else (0.0, 1.0)
    low, high = spread(low, high, is_log=is_log)
    if not is_log:
        low, high = outward(low, high, nice_step(high - low, tick_count(rows)) / 5)
    return Scale(low, high, is_log)


def tick_count(rows: int) -> int:
    """Return into how many parts y ticks should cut the axis of a plot of so many rows."""
    return max(1, min(8, rows // 2))
