from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager

import numpy as np
import pytest
from textual.app import App

from mllab.tui.widgets.chart import ChartView, Series
from mllab.tui.widgets.chart_grid import ChartGrid
from mllab.tui.widgets.chart_order import LEAST_HEIGHT, LEAST_WIDTH, shape


def in_loop(test):
    """Run a test that awaits."""

    @functools.wraps(test)
    def run(*args, **more):
        asyncio.run(test(*args, **more))

    return run


def curves(*keys: str) -> dict[str, list[Series]]:
    x = np.arange(200.0)
    return {key: [Series("run", x, np.sin(x / 9) + n)] for n, key in enumerate(keys)}


class Grid(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.grid = ChartGrid()
        self.said: list[tuple[object, ...]] = []

    def compose(self):
        yield self.grid

    def on_chart_grid_cursor_moved(self, event: ChartGrid.CursorMoved) -> None:
        self.said.append(("cursor", event.x))

    def on_chart_grid_view_changed(self, event: ChartGrid.ViewChanged) -> None:
        self.said.append(("view", event.view))

    def on_chart_grid_page_changed(self, event: ChartGrid.PageChanged) -> None:
        self.said.append(("page", event.page, event.pages))

    def on_chart_grid_selected(self, event: ChartGrid.Selected) -> None:
        self.said.append(("selected", event.key))


@asynccontextmanager
async def running(size, *keys: str):
    app = Grid()
    async with app.run_test(size=size) as pilot:
        app.grid.show(curves(*keys))
        await pilot.pause()
        yield app, app.grid, pilot


def text(app: Grid) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def titles(grid: ChartGrid) -> list[str]:
    return [chart.title for chart in grid.charts]


@in_loop
async def test_lays_out_metrics_of_one_name_side_by_side() -> None:
    async with running((120, 40), "train/acc", "train/loss", "val.acc", "val.loss") as (app, grid, _):
        assert titles(grid) == ["train/acc", "val.acc", "train/loss", "val.loss"]
        first, second = grid.charts[:2]
        assert first.region.y == second.region.y
        assert first.region.right < second.region.x
        assert all(each.size.width >= LEAST_WIDTH and each.size.height >= LEAST_HEIGHT for each in grid.charts)
        assert "page" not in text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (20, 5)])
@in_loop
async def test_pages_through_what_does_not_fit(size) -> None:
    keys = [f"m{n:02}" for n in range(20)]
    async with running(size, *keys) as (app, grid, pilot):
        seen = titles(grid)
        assert "page 1 of" in text(app)
        for page in range(1, grid.page_count):
            grid.page(1)
            await pilot.pause()
            assert grid.page_index == page
            seen += titles(grid)
        assert seen == keys
        grid.page(1)
        assert grid.page_index == grid.page_count - 1
        assert ("page", 1, grid.page_count) in app.said


@in_loop
async def test_one_cursor_and_one_view_for_all() -> None:
    async with running((120, 40), "a", "b", "c") as (app, grid, pilot):
        grid.charts[1].move_cursor(-1)
        await pilot.pause()
        assert {chart.cursor for chart in grid.charts} == {199.0}
        assert app.said.count(("cursor", 199.0)) == 1
        grid.zoom(2.0)
        await pilot.pause()
        assert {chart.view for chart in grid.charts} == {grid.view}
        assert grid.view.x_low > 90
        assert app.said[-1] == ("view", grid.view)
        grid.pan(-5)
        grid.reset_zoom()
        await pilot.pause()
        assert grid.view == ChartView()
        assert "step 199" in text(app)


@in_loop
async def test_of_many_moves_in_a_row_none_is_lost() -> None:
    async with running((120, 40), "a", "b") as (_, grid, pilot):
        for _ in range(11):
            grid.move_cursor(-1)
        place = grid.charts[0].cursor
        await pilot.pause()
        assert {chart.cursor for chart in grid.charts} == {grid.cursor} == {place}


@in_loop
async def test_new_points_do_not_undo_a_move_that_is_still_being_told() -> None:
    async with running((120, 40), "a", "b") as (_, grid, pilot):
        grid.charts[1].move_cursor(-1)
        grid.charts[1].zoom(2.0)
        grid.show(curves("a", "b"))
        await pilot.pause()
        assert {chart.cursor for chart in grid.charts} == {199.0}
        assert all(chart.view.x_low is not None for chart in grid.charts)


@in_loop
async def test_a_chart_can_have_all_room() -> None:
    async with running((80, 24), "a", "b", "c", "d", "e", "f") as (app, grid, pilot):
        grid.move(2)
        grid.toggle_zoom_chart()
        await pilot.pause()
        assert titles(grid) == ["c"]
        assert grid.charts[0].size.width == 80
        grid.page(1)
        await pilot.pause()
        assert titles(grid) == ["d"]
        grid.toggle_zoom_chart()
        await pilot.pause()
        assert titles(grid) == ["a", "b", "c", "d"]
        assert grid.selected == "d"
        assert ("selected", "c") in app.said


@in_loop
async def test_the_order_is_remembered_while_metrics_come_and_go() -> None:
    async with running((120, 40), "a", "b", "c") as (_, grid, pilot):
        grid.move(2)
        grid.move_chart(-2)
        await pilot.pause()
        assert grid.order == ("c", "a", "b")
        grid.show(curves("a", "b"))
        await pilot.pause()
        assert titles(grid) == ["a", "b"]
        grid.show(curves("a", "b", "c", "d"))
        await pilot.pause()
        assert titles(grid) == ["a", "b", "c", "d"]
        grid.set_order(["d", "b"])
        assert grid.order[:2] == ("d", "b")


@in_loop
async def test_selection_is_seen_without_colour_and_follows_focus() -> None:
    async with running((120, 40), "a", "b") as (_, grid, pilot):
        assert grid.charts[0].render_line(0)._segments[0].style.underline
        grid.charts[1].focus()
        await pilot.pause()
        assert grid.selected == "b"
        grid.move(-1)
        await pilot.pause()
        assert grid.charts[0].has_focus


@in_loop
async def test_nothing_to_show_says_so() -> None:
    async with running((80, 24)) as (app, grid, pilot):
        assert "no points yet" in text(app)
        for act in (grid.toggle_zoom_chart, grid.reset_zoom, lambda: grid.page(1), lambda: grid.move(1)):
            act()
        grid.move_chart(1)
        grid.show(curves("a"))
        await pilot.pause()
        assert titles(grid) == ["a"]


@in_loop
async def test_the_selected_chart_stays_in_view_when_room_shrinks() -> None:
    async with running((160, 50), *"abcdefgh") as (_, grid, pilot):
        grid.select("h")
        await pilot.resize_terminal(60, 15)
        await pilot.pause()
        assert "h" in titles(grid)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12, 100])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (20, 5)])
def test_a_shape_has_room_for_each(count, size) -> None:
    columns, rows = shape(count, *size)
    assert columns == 1 or size[0] // columns >= LEAST_WIDTH
    assert rows == 1 or size[1] // rows >= LEAST_HEIGHT
    assert columns * rows >= min(count, (size[0] // LEAST_WIDTH or 1) * (size[1] // LEAST_HEIGHT or 1))
