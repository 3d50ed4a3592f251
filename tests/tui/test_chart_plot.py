"""What is drawn, without an app: no spike lost, nothing hidden, no floats that break it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllab.security import terminal
from mllab.tui.widgets import chart_frame, chart_plot
from mllab.tui.widgets.chart_columns import cut, trace
from mllab.tui.widgets.chart_data import ChartView, Series, in_order
from mllab.tui.widgets.chart_layout import lay_out
from mllab.tui.widgets.chart_scale import Scale
from mllab.tui.widgets.chart_style import series_style

MILLION = np.arange(1_000_000, dtype=np.float64)


def drawn(series, view=None, size=(80, 24), cursor=None, **options):
    view = view or ChartView()
    layout = lay_out(*size)
    assert layout is not None
    curves = chart_plot.prepare(series, view)
    plot = chart_plot.draw(curves, view, layout, **options)
    frame = chart_frame.compose(plot, curves, view, layout=layout, title="loss", cursor=cursor)
    return plot, ["".join(text for text, _ in frame.row(y)) for y in range(size[1])]


def series(y, x=None, **more) -> Series:
    y = np.array(y, dtype=float)
    return Series("run", np.arange(len(y), dtype=float) if x is None else np.array(x, dtype=float), y, **more)


def dots(plot):
    """Return the dots as booleans, the lowest row first."""
    bits = np.where(plot.canvas.codes >= 0x2800, plot.canvas.codes - 0x2800, 0)
    order = [[1, 8], [2, 16], [4, 32], [64, 128]]
    cells = np.array([[(bits & value) > 0 for value in row] for row in order])
    return cells.transpose(2, 0, 3, 1).reshape(plot.canvas.dot_height, plot.canvas.dot_width)[::-1]


@given(st.integers(0, 999_999), st.integers(2, 200), st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_spike_of_one_step_in_a_million_shows_at_any_width(place, width, is_up) -> None:
    y = np.zeros(1_000_000)
    y[place] = 1.0 if is_up else -1.0
    plot, _ = drawn([Series("run", MILLION, y)], size=(width, 8))
    found = dots(plot)
    column = round(place / 999_999 * (plot.canvas.dot_width - 1))
    extreme = found[-1 if is_up else 0]
    assert extreme[max(column - 1, 0) : column + 2].any()
    assert extreme.sum() == 1


@pytest.mark.parametrize("smoothing", ["ema", "median"])
def test_a_spike_shows_behind_its_smoothed_curve(smoothing) -> None:
    y = np.zeros(100_000)
    y[54_321] = 1.0
    plot, _ = drawn([Series("run", MILLION[:100_000], y)], ChartView(smoothing=smoothing, smoothing_amount=0.99))
    assert dots(plot)[-1].any()


def test_a_nan_among_a_million_is_marked_on_the_axis() -> None:
    y = np.zeros(1_000_000)
    y[700_000] = np.nan
    _, lines = drawn([Series("run", MILLION, y)])
    assert lines[-3].count("\N{MULTIPLICATION SIGN}") == 1
    assert "1 NaN" in lines[-1]
    assert "points per column, min and max shown" in lines[-1]


@pytest.mark.parametrize("size", [(18, 4), (10, 3), (10, 2)])
def test_a_nan_is_marked_at_the_least_size(size) -> None:
    _, lines = drawn([series([1.0, np.nan, 2.0])], size=size)
    assert lines[-1].count("\N{MULTIPLICATION SIGN}") == 1


def test_nan_is_a_gap_and_lines_join_the_rest() -> None:
    plot, _ = drawn([series([0.0, 0.0, np.nan, 0.0, 0.0])])
    filled = dots(plot).any(axis=0)
    quarter = plot.canvas.dot_width // 4
    assert filled[: quarter - 1].all()
    assert not filled[quarter + 2 : 3 * quarter - 2].any()
    assert filled[3 * quarter + 2 :].all()


def test_infinities_are_arrows_at_the_edges() -> None:
    plot, lines = drawn([series([0.0, math.inf, 1.0, -math.inf, 0.0])])
    assert "↑" in lines[2]
    assert "↓" in lines[2 + plot.canvas.height - 1]
    assert "2 infinite" in lines[-1]


def test_every_point_is_drawn_where_there_is_room() -> None:
    plot, lines = drawn([series(np.linspace(0, 1, 21))])
    assert dots(plot).any(axis=0).all()
    assert lines[-1] == "all 21 points"
    assert drawn([series(np.linspace(0, 1, 21))], ChartView(x_low=5, x_high=10))[1][-1] == "all 6 points in view"


def test_a_diagonal_is_one_unbroken_line() -> None:
    plot, _ = drawn([series([0.0, 1.0])])
    found = dots(plot)
    rows = [np.flatnonzero(column) for column in found.T]
    assert all(len(each) for each in rows)
    for before, after in pairwise(rows):
        assert after[0] - before[-1] <= 1


def test_a_steep_line_leaves_no_hole() -> None:
    plot, _ = drawn([series([0.0, 1.0] * 5)])
    assert all((np.diff(np.flatnonzero(column)) == 1).all() for column in dots(plot).T)
    assert dots(plot).any(axis=1).all()


def test_a_single_point_is_a_dot() -> None:
    plot, lines = drawn([series([3.0])])
    assert dots(plot).sum() == 1
    assert lines[-1] == "1 point"


def test_a_constant_series_is_level_in_the_middle_of_round_ticks() -> None:
    plot, lines = drawn([series([5.0] * 100)])
    rows = np.flatnonzero(dots(plot).any(axis=1))
    assert len(rows) == 1
    assert 0.3 < rows[0] / plot.canvas.dot_height < 0.7
    assert any(line.startswith("    5.0┤") for line in lines)


def test_lines_lead_to_points_out_of_view() -> None:
    plot, lines = drawn([series([0.0, 10.0], x=[0, 100])], ChartView(x_low=40, x_high=60))
    assert dots(plot).any(axis=0).sum() == 0  # no value is in view to scale to
    assert "no points in view" in "".join(lines)
    plot, _ = drawn([series([0.0, 5.0, 10.0], x=[0, 50, 100])], ChartView(x_low=40, x_high=60))
    assert dots(plot).any(axis=0).sum() > 2


def test_a_log_axis_says_how_many_values_it_leaves_out() -> None:
    _, lines = drawn([series([10.0, 0.0, -5.0, 1000.0, 100.0])], ChartView(is_log_y=True))
    assert "2 not positive, left out" in lines[-1]
    assert any("100┤" in line for line in lines)
    _, lines = drawn([series([1.0, 2.0, 3.0], x=[0, 10, 1000])], ChartView(is_log_x=True))
    assert "1 not positive, left out" in lines[-1]
    assert "100" in lines[-2]


def test_clipping_says_what_lies_outside() -> None:
    y = np.sin(np.arange(1000.0))
    y[500] = 1e9
    plot, lines = drawn([series(y)], ChartView(clip=True))
    assert plot.y.high < 2
    assert "cut to 1-99 %, " in lines[-1]
    count = int(lines[-1].partition("99 %, ")[2].split()[0])
    assert 1 <= count <= 20


def test_a_later_series_covers_an_earlier_one() -> None:
    plot, _ = drawn([series([1.0] * 9, color=0), series([1.0] * 9, color=3)])
    styles = set(plot.canvas.styles[plot.canvas.codes >= 0x2800].tolist())
    assert len(styles) == 1
    assert styles == {series_style(3)}


def test_a_band_is_a_half_tone_behind_its_line() -> None:
    y = np.linspace(0, 1, 50)
    plot, _ = drawn([series(y, band=(y - 1, y + 1))])
    dim = series_style(0, is_dim=True)
    assert 0.3 < dots(plot).mean() < 0.7
    assert (plot.canvas.styles == dim).sum() > (plot.canvas.styles == dim - 2).sum() > 50


def test_down_sampled_series_say_so() -> None:
    _, lines = drawn([series(np.zeros(40), total=1_000_000)])
    assert "40 kept of 1,000,000" in lines[-1]


def test_the_footer_takes_fewer_words_where_there_is_little_room() -> None:
    many = series([*np.zeros(3000), np.nan])
    assert drawn([many], size=(80, 24))[1][-1] == "21 points per column, min and max shown · 1 NaN"
    assert drawn([many], size=(36, 9))[1][-1] == "54/column min max · 1 NaN"


def test_smoothing_is_named_and_the_raw_value_kept() -> None:
    _, lines = drawn([series([0.0, 1.0, 0.0, 1.0])], ChartView(smoothing="ema", smoothing_amount=0.5), cursor=3.0)
    assert "EMA 0.50" in lines[-1]
    assert "(raw 1)" in lines[1]
    _, lines = drawn([series([0.0, 1.0, 0.0])], ChartView(smoothing="median"), cursor=1.0)
    assert "median of 3" in lines[-1]
    assert "run 0 (raw 1)" in lines[1]


def test_markers_tell_series_apart_without_colour() -> None:
    _, lines = drawn([series(np.zeros(100)), series(np.ones(100), color=1)], has_markers=True)
    plot = "".join(lines[2:-3])
    assert plot.count("●") >= 3
    assert plot.count("▲") >= 3


def test_labels_from_outside_cannot_move_the_columns() -> None:
    evil = Series("\x1b[2J\u202eevil\n模型", np.arange(3.0), np.arange(3.0))
    _, lines = drawn([evil])
    assert "\x1b" not in "".join(lines)
    assert "\\x1b[2J\\u202eevil\\n模型" in lines[1]


def test_parts_give_way_in_order() -> None:
    def parts(width, height):
        layout = lay_out(width, height)
        assert layout is not None
        return bool(layout.legend_rows), layout.has_footer, layout.has_labels, layout.has_rule

    assert parts(36, 9) == (True, True, True, True)
    assert parts(36, 8) == (False, True, True, True)
    assert parts(36, 6) == (False, False, True, True)
    assert parts(18, 4) == (False, False, False, True)
    assert lay_out(1, 1) is None


def test_points_out_of_order_or_without_x_still_show() -> None:
    found = in_order(series([1.0, 2.0, 3.0, 4.0], x=[3, math.nan, 1, 2]))
    assert found.x.tolist() == [1, 2, 3]
    assert found.y.tolist() == [3, 4, 1]
    assert "1 without x" in drawn([series([1.0, 2.0], x=[0, math.nan])])[1][-1]


VALUES = st.floats() | st.sampled_from(
    [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 1.0, 1 + 2e-16]
)
VIEWS = st.builds(
    ChartView,
    x_low=st.none() | st.floats(),
    x_high=st.none() | st.floats(),
    is_log_x=st.booleans(),
    is_log_y=st.booleans(),
    smoothing=st.sampled_from(["off", "ema", "median"]),
    smoothing_amount=st.floats(0, 1),
    clip=st.booleans(),
    x_axis=st.sampled_from(["step", "relative", "wall"]),
)


@given(
    st.lists(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=30), max_size=3),
    VIEWS,
    st.tuples(st.integers(2, 90), st.integers(2, 20)),
    st.none() | VALUES,
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_floats_can_be_drawn(data, view, size, cursor, has_markers) -> None:
    curves = []
    for number, points in enumerate(data):
        x, y, z = np.array(sorted(points, key=lambda p: p[0]), dtype=float).reshape(-1, 3).T
        curves.append(
            Series(f"run {number}", x, y, color=number, band=(np.fmin(y, z), np.fmax(y, z)) if number else None)
        )
    plot, lines = drawn(curves, view, size, cursor, has_markers=has_markers)
    assert len(lines) == size[1]
    assert all(terminal.width(line) <= size[0] for line in lines)
    assert plot.x.low < plot.x.high
    assert plot.y.low < plot.y.high
    # Every NaN that has a place on the axis is marked.
    seen = sum(
        int((np.isnan(each.y) & (each.x >= plot.x.low) & (each.x <= plot.x.high) & np.isfinite(each.x)).sum())
        for each in curves
    )
    assert plot.counts.nan >= seen
    assert bool(plot.nan_cells) == bool(plot.counts.nan)


@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=300), st.integers(2, 60))
def test_columns_keep_least_greatest_first_and_last(values, width) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=float)
    scale = Scale(0.0, max(len(y) - 1.0, 1.0))
    found = cut(x, y, scale, width)
    column = np.rint(scale.fractions(x) * (width - 1))
    for at, low, high in zip(found.at, found.low, found.high, strict=True):
        # Points half way between two columns may go to either.
        near = y[np.abs(scale.fractions(x) * (width - 1) - at) <= 0.5 + 1e-9]
        sure = y[(np.abs(scale.fractions(x) * (width - 1) - at) < 0.5 - 1e-9)]
        if not np.isnan(low):
            assert np.nanmin(near) <= low <= high <= np.nanmax(near)
        if np.isfinite(sure).any():
            assert low <= np.nanmin(sure) <= np.nanmax(sure) <= high
    assert found.points == len(y)
    assert set(found.at.tolist()) <= set(range(width))
    assert len(column) == found.points
    rows = trace(found, Scale(-1e3, 1e3), width, 40)
    assert np.array_equal(np.isnan(rows[0]), np.isnan(rows[1]))
