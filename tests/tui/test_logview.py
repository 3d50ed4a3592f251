"""LogView: what is on screen, following, levels, wrapping, moving and searching."""

from __future__ import annotations

import asyncio
import functools

import pytest
from textual.app import ComposeResult

from mllab.tui.themes import ThemedApp
from mllab.tui.widgets.logview import LogLine, LogView


class Sample(ThemedApp[None]):
    def __init__(self, theme: str = "mllab-dark") -> None:
        super().__init__()
        self.theme = theme
        self.said: list = []

    def compose(self) -> ComposeResult:
        yield LogView()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def on_log_view_cursor_moved(self, event) -> None:
        self.said.append(event)

    def on_log_view_follow_changed(self, event) -> None:
        self.said.append(event)

    def on_log_view_search_changed(self, event) -> None:
        self.said.append(event)

    def last(self, kind: type):
        return [event for event in self.said if isinstance(event, kind)][-1]


def lines(*texts: str, stream: str = "stdout") -> list[LogLine]:
    return [LogLine((index + 1) * 1_000_000, stream, text) for index, text in enumerate(texts)]


def many(count: int) -> list[LogLine]:
    return lines(*(f"line {number}" for number in range(count)))


def screen(view: LogView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def shown_on(size: tuple[int, int] = (40, 6), theme: str = "mllab-dark"):
    """Run a test inside an app of a size; it gets the app, its view and the pilot."""

    def wrap(test):
        @functools.wraps(test)
        def run(*args, **kwargs) -> None:
            async def inside() -> None:
                app = Sample(theme)
                async with app.run_test(size=size) as pilot:
                    await test(app, app.view, pilot)

            asyncio.run(inside())

        del run.__wrapped__  # pytest would take its parameters for fixtures
        return run

    return wrap


async def settle(app: Sample, pilot) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()


@shown_on()
async def test_lines_are_shown_and_the_end_is_followed(app, view, pilot) -> None:
    view.set_lines(many(3))
    await pilot.pause()
    assert screen(view) == ["   line 0", "   line 1", "▸  line 2", "", "", ""]
    view.append(many(10))
    await pilot.pause()
    assert screen(view)[-1] == "▸  line 9"
    assert view.cursor == 12


@shown_on()
async def test_moving_up_stops_following(app, view, pilot) -> None:
    view.set_lines(many(20))
    view.move(-1)
    view.append(many(5))
    await pilot.pause()
    assert view.cursor == 18
    assert not view.is_following
    assert not app.last(LogView.FollowChanged).is_following
    assert app.last(LogView.CursorMoved).time_us == 19_000_000
    view.end()
    await pilot.pause()
    assert app.last(LogView.FollowChanged).is_following
    assert screen(view)[-1] == "▸  line 4"
