"""The lines of a chart: title, legend, plot with its axes, footer; as text and numbers of styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mllab.security import terminal
from mllab.tui.widgets import chart_ticks
from mllab.tui.widgets.chart_canvas import BLANK
from mllab.tui.widgets.chart_plot import Curve, Plot, tick_count
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
    is_series,
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


@dataclass(slots=True, eq=False)
class Frame:
    """All that a chart shows, as rows of stretches of one style."""

    rows: list[Row]


def compose(
    plot: Plot, curves: Sequence[Curve], view: ChartView, *, layout: Layout, title: str, cursor: float | None
) -> Frame:
    """Compose the rows of a chart around its plot."""
    rows = [_title(curves, view, layout, title, cursor)]
    rows += legend(curves, layout, cursor)
    rows += _plot_rows(plot, curves, layout, cursor)
    if layout.has_rule:
        rows.append(_rule(plot, view, layout))
    if layout.has_labels:
        rows.append(_labels(plot, view, layout))
    if layout.has_footer:
        rows.append([(terminal.fit(footer(plot, view), layout.width), FOOTER)])
    return Frame(rows)


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


def _value(curve: Curve, cursor: float | None) -> str:
    found = curve.value_at(cursor)
    if found is None:
        return "no points"
    average = curve.average_at(found[0])
    value = chart_ticks.value_text(found[1])
    return value if average is None else f"{chart_ticks.value_text(average)} (raw {value})"


def legend(curves: Sequence[Curve], layout: Layout, cursor: float | None) -> list[Row]:
    """Return the rows that name the curves, with the value at the cursor or the last one."""
    if not layout.legend_rows:
        return []
    values = [_value(curve, cursor) for curve in curves]
    # Long names give way before values do, but not so far that they become alike.
    fixed = sum(terminal.width(value) + 5 for value in values)
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


def _plot_rows(plot: Plot, curves: Sequence[Curve], layout: Layout, cursor: float | None) -> list[Row]:
    canvas = plot.canvas
    cell = cursor_cell(plot, cursor)
    kept = None
    if cell is not None:
        kept = canvas.codes[:, cell].copy(), canvas.styles[:, cell].copy()
        for row in range(canvas.height):
            if canvas.codes[row, cell] == BLANK:
                canvas.put(row, cell, "│", CURSOR)
            else:
                canvas.styles[row, cell] = under_cursor(int(canvas.styles[row, cell]))
    rows = [canvas.spans(row) for row in range(layout.plot_height)]
    if cell is not None and kept is not None:
        canvas.codes[:, cell], canvas.styles[:, cell] = kept
    if not plot.has_values and rows:
        rows[(len(rows) - 1) // 2] = [(_empty(plot, curves).center(canvas.width)[: canvas.width], EMPTY)]
    if layout.gutter:
        labels = _y_labels(plot) if plot.has_values else {}
        for row, spans in enumerate(rows):
            text = labels.get(row, "")
            rows[row] = [(text.rjust(layout.gutter - 1), LABEL), ("┤" if text else "│", AXIS), *spans]
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


def _rule(plot: Plot, view: ChartView, layout: Layout) -> Row:
    marks = dict.fromkeys(_x_ticks(plot, view), "┬") if layout.has_labels and plot.has_values else {}
    row: Row = [(" " * (layout.gutter - 1) + "└", AXIS)] if layout.gutter else []
    line = ["─"] * plot.canvas.width
    for cell, glyph in marks.items():
        line[cell] = glyph
    start = 0
    for cell in sorted(plot.nan_cells):
        row += [("".join(line[start:cell]), AXIS), ("×", ALERT)]  # noqa: RUF001  # no letter: a cross that marks
        start = cell + 1
    return [*row, ("".join(line[start:]), AXIS)]


def _labels(plot: Plot, view: ChartView, layout: Layout) -> Row:
    if not plot.counts.points:
        return []
    line = [" "] * layout.width
    free = 0
    for cell, text in sorted(_x_ticks(plot, view).items()):
        start = min(max(layout.gutter + cell - len(text) // 2, 0), layout.width - len(text))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return [("".join(line), LABEL)]


def footer(plot: Plot, view: ChartView) -> str:
    """Say in words what is drawn, and what of the data is not."""
    counts = plot.counts
    if not counts.total:
        return f"{counts.lost:,} without x" if counts.lost else ""
    if counts.fullest <= 2:
        where = "" if counts.points == counts.total else " in view"
        parts = [f"all {counts.points:,} points{where}" if counts.points != 1 else f"1 point{where}"]
    else:
        parts = [f"{counts.per_column:,} points per column, min and max shown"]
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
    return " · ".join(parts)


def changed_ends(old: Row, new: Row) -> tuple[int, int] | None:
    """Return the first and the end of the cells that differ between two rows, None when they are the same."""
    if old == new:
        return None
    before, after = _cells(old), _cells(new)
    size = max(len(before), len(after))
    before += [(" ", PLAIN)] * (size - len(before))
    after += [(" ", PLAIN)] * (size - len(after))
    differs = np.fromiter((a != b for a, b in zip(before, after, strict=True)), dtype=bool, count=size)
    where = np.flatnonzero(differs)
    return (int(where[0]), int(where[-1]) + 1) if len(where) else None


def _cells(row: Row) -> list[tuple[str, int]]:
    """Return a row as one entry for each cell; what takes two cells is followed by an empty one."""
    found: list[tuple[str, int]] = []
    for text, style in row:
        if text.isascii() or is_series(style):
            found += [(character, style) for character in text]
            continue
        for character in text:
            width = terminal.width(character)
            if width == 0 and found:
                found[-1] = (found[-1][0] + character, style)
            elif width:
                found += [(character, style), *[("", style)] * (width - 1)]
    return found
