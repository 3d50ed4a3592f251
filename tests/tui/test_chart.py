"""The Chart widget in an app: keys' methods, the mouse, messages, painting."""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager

import numpy as np
import pytest
from textual import events
from textual.app import App
from textual.geometry import Region

from mllab.tui.widgets.chart import Chart, ChartView, Series

SIZES = [(80, 24), (120, 40), (20, 5)]


def wave(size: int = 1000, color: int = 0, label: str = "run") -> Series:
    x = np.arange(size, dtype=float)
    return Series(label, x, np.sin(x / 50), color=color)


def in_loop(test):
    """Run a test that awaits."""

    @functools.wraps(test)
    def run(*args, **more):
        asyncio.run(test(*args, **more))

    return run


class OneChart(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.chart = Chart("train/loss")
        self.moved: list[float] = []
        self.views: list[ChartView] = []

    def compose(self):
        yield self.chart

    def on_chart_cursor_moved(self, event: Chart.CursorMoved) -> None:
        assert event.control is self.chart
        self.moved.append(event.x)

    def on_chart_view_changed(self, event: Chart.ViewChanged) -> None:
        self.views.append(event.view)


@asynccontextmanager
async def running(size=(80, 24), *series: Series):
    app = OneChart()
    async with app.run_test(size=size) as pilot:
        app.chart.show(series)
        await pilot.pause()
        yield app, app.chart, pilot


def lines(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


def style_of(chart: Chart, glyph: str):
    segments = [segment for y in range(chart.size.height) for segment in chart.render_line(y)]
    return next(segment.style for segment in segments if glyph in segment.text)


@pytest.mark.parametrize("size", SIZES)
@in_loop
async def test_fills_its_size(size) -> None:
    async with running(size, wave(), wave(color=1)) as (_, chart, _):
        found = lines(chart)
        assert all(chart.render_line(y).cell_length == size[0] for y in range(size[1]))
        assert found[0].startswith("train/loss")
        assert any(character > "⠀" for character in "".join(found))


@in_loop
async def test_says_that_there_are_no_points_yet() -> None:
    async with running() as (_, chart, pilot):
        assert "no points yet" in "".join(lines(chart))
        chart.show([wave()])
        await pilot.pause()
        assert "no points yet" not in "".join(lines(chart))


@in_loop
async def test_the_cursor_stands_on_points_and_shows_their_values() -> None:
    sparse = Series("run", np.array([0.0, 10.0, 500.0, 1000.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    async with running((80, 24), sparse) as (app, chart, pilot):
        assert chart.cursor is None
        for columns in (-1, -1, -1, 1, 1, 1):
            chart.move_cursor(columns)
        await pilot.pause()
        assert app.moved == [1000.0, 500.0, 10.0, 500.0, 1000.0]
        chart.cursor = 490.0
        found = lines(chart)
        assert "step 490" in found[0]
        assert "run 3" in found[1]
        assert sum("│" in line[9:] for line in found[2:-3]) > 10


@in_loop
async def test_the_cursor_pans_to_points_out_of_view() -> None:
    async with running((80, 24), wave()) as (app, chart, pilot):
        chart.set_view(ChartView(x_low=100, x_high=200))
        chart.cursor = 200.0
        chart.move_cursor(1)
        await pilot.pause()
        assert 200 < chart.cursor < 210
        assert chart.view.x_low < chart.cursor < chart.view.x_high
        assert app.views == [chart.view]


@in_loop
async def test_zoom_keeps_the_cursor_where_it_is() -> None:
    async with running((80, 24), wave()) as (app, chart, pilot):
        chart.cursor = 250.0
        chart.zoom(4.0)
        await pilot.pause()
        assert chart.view.x_low == pytest.approx(187.3, abs=1)
        assert chart.view.x_high == pytest.approx(437, abs=1)
        chart.zoom(0.01)
        await pilot.pause()
        assert (chart.view.x_low, chart.view.x_high) == (None, None)
        assert len(app.views) == 2


@in_loop
async def test_zoom_ends_where_floats_do() -> None:
    async with running((80, 24), wave()) as (_, chart, _):
        for _ in range(200):
            chart.zoom(2.0)
        assert chart.view.x_low < chart.view.x_high


@in_loop
async def test_pan_stops_at_the_data() -> None:
    async with running((80, 24), wave()) as (_, chart, _):
        chart.pan(5)
        assert chart.view == ChartView()
        chart.set_view(ChartView(x_low=0, x_high=100))
        chart.pan(10_000)
        assert chart.view.x_high == pytest.approx(999)
        chart.pan(-10_000)
        assert chart.view.x_low == pytest.approx(0)
        chart.reset_zoom()
        assert chart.view == ChartView()


@in_loop
async def test_set_view_posts_nothing() -> None:
    async with running((80, 24), wave()) as (app, chart, pilot):
        chart.set_view(ChartView(x_low=10, x_high=20, is_log_x=True))
        chart.cursor = 12.0
        await pilot.pause()
        assert app.views == []
        assert app.moved == []


@in_loop
async def test_a_click_sets_the_cursor_and_a_drag_pans() -> None:
    async with running((80, 24), wave()) as (app, chart, pilot):
        await pilot.click(chart, offset=(8 + 36, 10))
        assert app.moved == [pytest.approx(500, abs=8)]
        chart.set_view(ChartView(x_low=400, x_high=600))
        await pilot.mouse_down(chart, offset=(50, 10))
        await pilot.hover(chart, offset=(40, 10))
        await pilot.mouse_up(chart, offset=(40, 10))
        await pilot.pause()
        assert chart.view.x_low > 420
        assert len(app.moved) == 1


@in_loop
async def test_the_wheel_zooms_at_the_pointer() -> None:
    async with running((80, 24), wave()) as (_, chart, pilot):
        await pilot._post_mouse_events([events.MouseScrollUp], chart, offset=(79, 10))
        await pilot.pause()
        assert chart.view.x_low == pytest.approx(200, abs=5)
        assert chart.view.x_high == pytest.approx(999, abs=1)


@in_loop
async def test_only_changed_cells_are_painted(monkeypatch) -> None:
    async with running((80, 24), wave()) as (_, chart, _):
        painted: list[Region] = []
        refresh = chart.refresh

        def watched(*regions, **more):
            painted.extend(regions or [chart.size.region])
            return refresh(*regions, **more)

        monkeypatch.setattr(chart, "refresh", watched)
        chart.show([wave()])
        assert painted == []
        chart.cursor = 500.0
        assert painted
        assert chart.size.region not in painted
        plot_regions = [each for each in painted if 2 <= each.y < 21]
        assert len(plot_regions) == 19
        assert all(each.width == 1 for each in plot_regions)
        painted.clear()
        y = wave().y.copy()
        y[-1] += 0.05
        chart.show([Series("run", wave().x, y)])
        assert 1 <= len(painted) <= 4
        assert chart.size.region not in painted


@in_loop
async def test_the_same_series_again_cost_nothing(monkeypatch) -> None:
    one = wave()
    async with running((80, 24), one) as (_, chart, _):
        monkeypatch.setattr(chart, "_redraw", lambda: pytest.fail("drawn again"))
        chart.show([one])


@in_loop
async def test_colours_come_from_the_theme_and_change_with_it() -> None:
    async with running((80, 24), wave(color=2)) as (app, chart, pilot):
        dark = style_of(chart, "■").color
        assert style_of(chart, "■").bgcolor is not None
        app.theme = "textual-light"
        await pilot.pause()
        assert style_of(chart, "■").color != dark


@in_loop
async def test_sixteen_colours_show_the_cursor_in_reverse() -> None:
    async with running((80, 24), wave()) as (app, chart, pilot):
        app.theme = "ansi-dark"
        chart.cursor = 500.0
        await pilot.pause()
        assert style_of(chart, "step 500").reverse


@in_loop
async def test_without_colour_markers_tell_series_apart(monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    flat = [Series(f"run {n}", np.arange(100.0), np.full(100, float(n)), color=n) for n in range(3)]
    async with running((80, 24), *flat) as (_, chart, _):
        plot = "".join(lines(chart)[2:-3])
        assert all(plot.count(glyph) > 2 for glyph in "●▲■")


@in_loop
async def test_the_focused_chart_shows_it_without_colour() -> None:
    async with running((80, 24), wave()) as (_, chart, pilot):
        chart.blur()
        await pilot.pause()
        assert not style_of(chart, "train/loss").underline
        chart.focus()
        await pilot.pause()
        assert style_of(chart, "train/loss").underline


@in_loop
async def test_markup_and_escapes_in_names_are_data() -> None:
    async with running((80, 24), wave(label="[red]x[/red]\x1b[31m")) as (_, chart, _):
        chart.title = "[b]loss\x07"
        assert lines(chart)[0].startswith("[b]loss\\x07")
        assert "[red]x[/red]\\x1b[31m" in lines(chart)[1]


@in_loop
async def test_resize_draws_anew() -> None:
    async with running((80, 24), wave()) as (_, chart, pilot):
        await pilot.resize_terminal(18, 4)
        await pilot.pause()
        assert len(lines(chart)) == 4
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert lines(chart)[-1].startswith("4 points per column, min and max shown")
