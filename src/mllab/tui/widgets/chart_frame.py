"""The lines of a chart: title, legend, plot with its axes, footer; as text and numbers of styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllab.security import terminal
from mllab.tui.widgets import chart_ticks
from mllab.tui.widgets.chart_canvas import BLANK, Canvas
from mllab.tui.widgets.chart_plot import Counts, Curve, Plot, tick_count
from mllab.tui.widgets.chart_style import (
    ALERT,
    AXIS,
    CURSOR,
    EMPTY,
    FOOTER,
    LABEL,
    LEGEND,
    PLAIN,
    TITLE,
    marker,
    series_style,
    under_cursor,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.tui.widgets.chart_data import ChartView
    from mllab.tui.widgets.chart_layout import Layout

Row = list[tuple[str, int]]
_LEAST_LABEL = 4
_LEAST_NAME = 8
_NAN = "\N{MULTIPLICATION SIGN}"


@dataclass(slots=True, eq=False)
class Frame:
    """All that a chart shows: rows of text ``above`` and ``below`` the plot, its y ``axis``, and its ``canvas``."""

    layout: Layout
    above: list[Row]
    axis: list[Row]
    canvas: Canvas
    below: list[Row]

    def row(self, y: int) -> Row:
        """Return one row as stretches of one style."""
        inside = y - self.layout.plot_top
        if inside < 0:
            return self.above[y]
        if inside < self.layout.plot_height:
            return [*self.axis[inside], *self.canvas.spans(inside)]
        return self.below[inside - self.layout.plot_height]

    def differences(self, other: Frame) -> list[tuple[int, int, int]]:
        """Return what looks unlike another frame of the same layout: rows, first columns and ends.

        The plot is compared cell by cell, what is around it line by line.
        """
        top, width = self.layout.plot_top, self.layout.width
        below = top + self.layout.plot_height
        parts = ((0, self.above, other.above), (top, self.axis, other.axis), (below, self.below, other.below))
        found = {
            start + y: (0, width)
            for start, rows, before in parts
            for y, (row, old) in enumerate(zip(rows, before, strict=True))
            if row != old
        }
        for inside, first, end in self.canvas.differences(other.canvas):
            found.setdefault(top + inside, (self.layout.gutter + first, self.layout.gutter + end))
        return [(y, first, end) for y, (first, end) in found.items()]


def compose(
    plot: Plot,
    curves: Sequence[Curve],
    view: ChartView,
    *,
    layout: Layout,
    title: str,
    cursor: float | None,
    same_plot: Frame | None = None,
) -> Frame:
    """Compose a chart around its plot; an earlier frame of the ``same_plot`` spares what no cursor changes."""
    above = [_title(curves, view, layout, title, cursor), *legend(curves, layout, cursor)]
    canvas = _canvas(plot, curves, cursor)
    if not layout.has_rule:
        for cell in plot.nan_cells:
            canvas.put(canvas.height - 1, cell, _NAN, ALERT)
    if same_plot is not None:
        return Frame(layout, above, same_plot.axis, canvas, same_plot.below)
    below = []
    marks = _x_ticks(plot, view) if layout.has_labels and plot.counts.points else {}
    if layout.has_rule:
        below.append(_rule(plot, layout, marks))
    if layout.has_labels:
        below.append(_labels(layout, marks))
    if layout.has_footer:
        below.append([(footer(plot, view, layout.width), FOOTER)])
    return Frame(layout, above, _axis(plot, layout), canvas, below)


def cursor_cell(plot: Plot, cursor: float | None) -> int | None:
    """Return the column of the plot that an x lies in, None when it is not in view."""
    if cursor is None:
        return None
    place = plot.x.fraction(cursor) * (plot.canvas.dot_width - 1)
    # NaN, which a log axis makes of what is not positive, compares false.
    return round(place) // 2 if -0.5 <= place < plot.canvas.dot_width - 0.5 else None


def _title(curves: Sequence[Curve], view: ChartView, layout: Layout, title: str, cursor: float | None) -> Row:
    said = ""
    if cursor is not None:
        kind = "step " if view.x_axis == "step" else ""
        said = kind + chart_ticks.moment(cursor, view.x_axis)
        if not layout.legend_rows and curves:
            said += f": {_value(curves[-1], cursor)}"
    if terminal.width(said) > layout.width - _LEAST_LABEL:
        said = ""
    room = layout.width - terminal.width(said) - bool(said)
    name = terminal.fit(terminal.line(title), max(room, 0))
    gap = layout.width - terminal.width(name) - terminal.width(said)
    return [(name, TITLE), (" " * gap, PLAIN), (said, CURSOR)]


def _value(curve: Curve, cursor: float | None, *, has_raw: bool = True) -> str:
    found = curve.value_at(cursor)
    if found is None:
        return "no points"
    average = curve.average_at(found[0])
    value = chart_ticks.value_text(found[1])
    if average is None:
        return value
    smoothed = chart_ticks.value_text(average)
    return f"{smoothed} (raw {value})" if has_raw else smoothed


def legend(curves: Sequence[Curve], layout: Layout, cursor: float | None) -> list[Row]:
    """Return the rows that name the curves, with the value at the cursor or the last one."""
    if not layout.legend_rows:
        return []
    values = [_value(curve, cursor) for curve in curves]
    # Raw values give way first, then long names, but not so far that they become alike.
    fixed = sum(len(value) + 5 for value in values)
    if fixed + _LEAST_NAME * len(curves) > layout.width * layout.legend_rows:
        values = [_value(curve, cursor, has_raw=False) for curve in curves]
        fixed = sum(len(value) + 5 for value in values)
    room = max(_LEAST_NAME, (layout.width * layout.legend_rows - fixed) // max(len(curves), 1))
    rows: list[Row] = [[]]
    used = 0
    for number, (curve, value) in enumerate(zip(curves, values, strict=True)):
        label = terminal.fit(terminal.line(curve.series.label), room)
        text = terminal.fit(f" {label} {value}" if label else f" {value}", layout.width - 1)
        width = 1 + terminal.width(text)
        left = len(curves) - number
        is_last_row = len(rows) == layout.legend_rows
        # Where not all fit, the last row says how many more there are.
        reserve = len(f"  +{left - 1}") if left > 1 and is_last_row else 0
        if used and used + 2 + width + reserve > layout.width:
            if is_last_row:
                rows[-1].append((f"  +{left}"[: layout.width - used], FOOTER))
                break
            rows.append([])
            used = 0
        if used:
            rows[-1].append(("  ", PLAIN))
            used += 2
        color = curve.series.color
        rows[-1] += [(marker(color), series_style(color, is_dim=curve.series.is_dim)), (text, LEGEND)]
        used += width
    return rows + [[] for _ in range(layout.legend_rows - len(rows))]


def _canvas(plot: Plot, curves: Sequence[Curve], cursor: float | None) -> Canvas:
    """Return the plot with the rule of the cursor, or with a word where there is nothing to see."""
    canvas = plot.canvas.copy()
    cell = cursor_cell(plot, cursor)
    if cell is not None:
        for row in range(canvas.height):
            if canvas.codes[row, cell] == BLANK:
                canvas.put(row, cell, "│", CURSOR)
            else:
                canvas.styles[row, cell] = under_cursor(int(canvas.styles[row, cell]))
    if not plot.has_values:
        text = _empty(plot, curves)[: canvas.width]
        for place, character in enumerate(text, (canvas.width - len(text)) // 2):
            canvas.put((canvas.height - 1) // 2, place, character, EMPTY)
    return canvas


def _axis(plot: Plot, layout: Layout) -> list[Row]:
    """Return the y axis beside each row of the plot."""
    if not layout.gutter:
        return [[] for _ in range(layout.plot_height)]
    labels = _y_labels(plot) if plot.has_values else {}
    rows: list[Row] = []
    for row in range(layout.plot_height):
        label = labels.get(row, "").rjust(layout.gutter - 1)
        rows.append([(label, LABEL), ("┤", AXIS)] if row in labels else [(label + "│", AXIS)])
    return rows


def _empty(plot: Plot, curves: Sequence[Curve]) -> str:
    if not any(len(curve.series.x) for curve in curves):
        return "no points yet"
    return "no finite values" if plot.counts.points else "no points in view"


def _y_labels(plot: Plot) -> dict[int, str]:
    rows = plot.canvas.height
    values = chart_ticks.ticks(plot.y.low, plot.y.high, tick_count(rows), is_log=plot.y.is_log)
    found: dict[int, str] = {}
    texts = chart_ticks.number_labels(values or [plot.y.low], is_log=plot.y.is_log)
    for value, text in zip(values or [plot.y.low], texts, strict=True):
        dot = round(plot.y.fraction(value) * (plot.canvas.dot_height - 1))
        found.setdefault(rows - 1 - min(max(dot // 4, 0), rows - 1), text)
    return found


def _x_ticks(plot: Plot, view: ChartView) -> dict[int, str]:
    """Return the ticks of the x axis: column of the plot and words."""
    low, high = plot.x.low, plot.x.high
    count = max(1, plot.canvas.width // 12)
    if view.x_axis == "step" or plot.x.is_log:
        values = chart_ticks.ticks(low, high, count, is_log=plot.x.is_log)
    else:
        values = chart_ticks.time_ticks(low, high, count, is_wall=view.x_axis == "wall")
    if view.x_axis == "step":
        whole = [each for each in values if each == round(each)] if max(abs(low), abs(high)) < 1e15 else values
        values = whole or values
    texts = chart_ticks.axis_labels(values, view.x_axis, is_log=plot.x.is_log) if values else []
    found = {}
    for value, text in zip(values, texts, strict=True):
        cell = cursor_cell(plot, value)
        if cell is not None:
            found[cell] = text
    return found


def _rule(plot: Plot, layout: Layout, marks: dict[int, str]) -> Row:
    row: Row = [(" " * (layout.gutter - 1) + "└", AXIS)] if layout.gutter else []
    line = ["─"] * plot.canvas.width
    for cell in marks:
        line[cell] = "┬"
    start = 0
    for cell in sorted(plot.nan_cells):
        row += [("".join(line[start:cell]), AXIS), (_NAN, ALERT)]
        start = cell + 1
    return [*row, ("".join(line[start:]), AXIS)]


def _labels(layout: Layout, marks: dict[int, str]) -> Row:
    line = [" "] * layout.width
    free = 0
    for cell, text in sorted(marks.items()):
        start = min(max(layout.gutter + cell - len(text) // 2, 0), layout.width - len(text))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return [("".join(line), LABEL)]


def footer(plot: Plot, view: ChartView, width: int) -> str:
    """Say in words what is drawn, and what of the data is not; in fewer words where they would not fit."""
    counts = plot.counts
    if not counts.total:
        return terminal.fit(f"{counts.lost:,} without x" if counts.lost else "", width)
    where = "" if counts.points == counts.total else " in view"
    said = f"all {counts.points:,} points{where}" if counts.points != 1 else f"1 point{where}"
    short = said
    if counts.fullest > 2:
        said = f"{counts.per_column:,} points per column, min and max shown"
        short = f"{counts.per_column:,}/column min max"
    parts = _remarks(counts, view)
    text = " · ".join([said, *parts])
    return terminal.fit(text if len(text) <= width else " · ".join([short, *parts]), width)


def _remarks(counts: Counts, view: ChartView) -> list[str]:
    parts = []
    if counts.before > counts.total + counts.lost:
        parts.append(f"{counts.total:,} kept of {counts.before:,}")
    if counts.nan:
        parts.append(f"{counts.nan:,} NaN")
    if counts.infinite:
        parts.append(f"{counts.infinite:,} infinite")
    if counts.left_out:
        parts.append(f"{counts.left_out:,} not positive, left out")
    if counts.lost:
        parts.append(f"{counts.lost:,} without x")
    if view.clip:
        about = "about " if counts.is_sampled else ""
        parts.append(f"cut to {about}1-99 %, {counts.clipped:,} outside")
    if view.smoothing == "ema":
        parts.append(f"EMA {view.smoothing_amount:.2f}")
    elif view.smoothing == "median" and counts.median_window:
        places = f" at {counts.median_places:,} places" if counts.median_places else ""
        parts.append(f"median of {counts.median_window}{places}")
    return parts
