"""Console output of a run: 200,000 lines, followed, filtered by level, searched, and moved through by time."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from time import perf_counter
from typing import TYPE_CHECKING

from textual.message import Message
from textual.reactive import reactive

from mllab.tui.widgets.log_canvas import LogCanvas
from mllab.tui.widgets.log_level import LEVELS
from mllab.tui.widgets.log_lines import LogLine
from mllab.tui.widgets.log_search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

__all__ = ["LogLine", "LogView"]

# While it works through many lines, the view shows how far it is so often: painting costs more than a slice.
_SHOW_S = 0.1
_MINUTE_US = 60_000_000
_NO_SEARCH = ("", 0, 0, "", True)


class LogView(LogCanvas, can_focus=True):
    """Shows lines that it is given.

    ``cursor`` counts all lines, also those that the level hides. Loading, classifying and searching go on in slices
    of a few milliseconds between other events. Escape sequences, apart from colours, and other controls never reach the
    terminal.
    """

    is_following: reactive[bool] = reactive(default=True, init=False)
    level: reactive[str] = reactive("all", init=False)  # "all", "info", "warn", "error": lines at or above it

    class CursorMoved(Message):
        """The reader moved the cursor; it is not sent for ``go_to_time``, nor when the end is followed."""

        def __init__(self, view: LogView, time_us: int) -> None:
            super().__init__()
            self.view = view
            self.time_us = time_us

        @property
        def control(self) -> LogView:
            """The view."""
            return self.view

    class FollowChanged(Message):
        """The end is followed, or no longer."""

        def __init__(self, view: LogView, is_following: bool) -> None:
            super().__init__()
            self.view = view
            self.is_following = is_following

        @property
        def control(self) -> LogView:
            """The view."""
            return self.view

    class SearchChanged(Message):
        """How a search stands: lines that match so far, which is the current one, and what is wrong.

        ``at`` counts from 1; 0 is none yet.
        """

        def __init__(
            self, view: LogView, pattern: str, matches: int, at: int, *, problem: str = "", is_complete: bool = True
        ) -> None:
            super().__init__()
            self.view = view
            self.pattern = pattern
            self.matches = matches
            self.at = at
            self.problem = problem
            self.is_complete = is_complete

        @property
        def control(self) -> LogView:
            """The view."""
            return self.view

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # as in every widget
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._reset()
        self._search_at = 0  # the number of the current match, from 1
        self._seek = 0  # the direction in which a match is wanted that was not found yet
        self._reported = _NO_SEARCH
        self._is_working = False

    # Lines in

    def set_lines(self, lines: Sequence[LogLine]) -> None:
        """Show these lines instead of all before; level and search stay."""
        search = self._feed.search
        self._reset()
        self._feed.keep(LEVELS.index(self.level))
        self._feed.look_for(search and Search.of(search.pattern))
        self._search_at = 0
        with self._pinning():
            self.set_reactive(LogView.cursor, 0)
            self.scroll_to(0, 0, animate=False)
        self.append(lines)

    def append(self, lines: Sequence[LogLine]) -> None:
        """Add lines at the end. Some of many lines are taken in at once, the others between events."""
        self._feed.give(lines)
        self._go_on()

    def append_columns(self, times_us: Sequence[int], is_stderr: Sequence[bool], texts: Sequence[str]) -> None:
        """Add lines that come as columns, without an object for each."""
        self._feed.give((times_us, is_stderr, texts))
        self._go_on()

    def replace_last(self, count: int, lines: Sequence[LogLine]) -> None:
        """Put lines in the place of the last ones: those that were still being written, such as progress bars."""
        while self._feed.is_loading:
            self._feed.go_on()
        self._lines.drop_last(count)
        self._feed.dropped()
        self._texts.clear()
        self._starts.clear()
        self._lay_out()
        self.append(lines)

    def __len__(self) -> int:
        """Return how many lines were taken in."""
        return len(self._lines)

    @property
    def shown_count(self) -> int:
        """How many lines the level lets through."""
        return len(self._rows)

    @property
    def is_busy(self) -> bool:
        """Whether lines are still being taken in, classified or searched."""
        return self._is_working

    def _go_on(self) -> None:
        """Do a slice of work, and leave the rest to a worker."""
        has_more = self._feed.go_on()
        self._worked()
        if has_more and not self._is_working and self.is_attached:
            self._is_working = True
            self.run_worker(self._work(), group="logview", exit_on_error=True)

    async def _work(self) -> None:
        try:
            painted = perf_counter()
            while self._feed.go_on():
                if perf_counter() - painted > _SHOW_S:
                    self._worked()
                    painted = perf_counter()
                await asyncio.sleep(0)
        finally:
            self._is_working = False
        self._worked()

    def _worked(self) -> None:
        """Show what a slice changed."""
        self._lay_out(afresh=False)
        if self.is_following:
            self._pin_to_end()
        self.refresh()
        if self._seek:
            self._step(self._seek)
        self._report_search()

    # Following

    def _pin_to_end(self) -> None:
        if not len(self._rows):
            return
        height = self.scrollable_content_region.height
        with self._pinning():
            if self._rows.width:
                last = len(self._rows) - 1
                self._measure(self._rows.top(max(0, last - height)), height)
            self.cursor = self._rows.line(len(self._rows) - 1)
            self.scroll_to(y=self.max_scroll_y, animate=False)

    def on_resize(self) -> None:
        """Lay out anew for another width; the last line, or the cursor's, stays on screen."""
        self._lay_out()
        self._starts.clear()
        if self.is_following:
            self._pin_to_end()
        else:
            self._show_cursor()

    def on_mount(self) -> None:
        """Take in what was given before."""
        self._go_on()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Stop following when the reader scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and not self._is_pinning and new_value < self.max_scroll_y:
            self.is_following = False
        if round(old_value) != round(new_value):
            self._measure(round(new_value), self.scrollable_content_region.height)

    # What the reader chooses

    def watch_is_following(self, is_following: bool) -> None:
        """Jump to the end, and say so."""
        if is_following:
            self._pin_to_end()
        self.post_message(self.FollowChanged(self, is_following))

    def validate_level(self, level: str) -> str:
        """Take an unknown level for all."""
        return level if level in LEVELS else "all"

    def watch_level(self, level: str) -> None:
        """Keep the lines at or above it; the cursor goes to the nearest one before it."""
        self._feed.keep(LEVELS.index(level))
        self._go_on()
        self._lay_out()
        self._show_cursor()

    def _relaid(self) -> None:
        self._starts.clear()
        self._lay_out()
        if self.is_following:
            self._pin_to_end()
        else:
            self._show_cursor()

    def watch_wrap(self) -> None:
        """Lay out anew."""
        self._relaid()

    def watch_show_time(self) -> None:
        """Lay out anew."""
        self._relaid()

    def watch_show_numbers(self) -> None:
        """Lay out anew."""
        self._relaid()

    # Moving

    def validate_cursor(self, cursor: int) -> int:
        """Keep it on a line."""
        return max(0, min(cursor, len(self._lines) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint the two lines concerned, and scroll to the cursor."""
        for line in (old, new):
            self._refresh_line_of(line)
        if not self._is_pinning:
            self._show_cursor()

    def _show_cursor(self) -> None:
        if not len(self._rows):
            return
        height = self.scrollable_content_region.height
        position = self._rows.position(self.cursor)
        if self._rows.width:  # heights on the way to the cursor decide where it is
            self._measure(self._rows.top(max(0, position - height)), height)
        top = self._rows.top(position)
        bottom = top + min(self._rows.rows(position), height)
        y = self.scroll_offset.y
        target = top if top < y else bottom - height if bottom > y + height else y
        if target != y:
            with self._pinning():
                self.scroll_to(y=max(0, target), animate=False)

    def _go(self, position: int, *, is_told: bool = True) -> None:
        """Put the cursor on a position; away from the end, following stops."""
        if not len(self._rows):
            return
        position = max(0, min(position, len(self._rows) - 1))
        if position < len(self._rows) - 1:
            self.is_following = False
        self.cursor = self._rows.line(position)
        if is_told:
            self.post_message(self.CursorMoved(self, self._lines.times[self.cursor]))

    def move(self, n: int) -> None:
        """Move the cursor by lines."""
        self._go(self._rows.position(self.cursor) + n)

    def page(self, n: int) -> None:
        """Move by screens, less one line."""
        height = max(1, self.scrollable_content_region.height - 1)
        if not self._rows.width:
            self._go(self._rows.position(self.cursor) + n * height)
        elif len(self._rows):
            row = self._rows.top(self._rows.position(self.cursor)) + n * height
            self._go(self._rows.at_row(max(0, min(row, self._rows.height - 1)))[0])

    def home(self) -> None:
        """Go to the first line."""
        self._go(0)

    def end(self) -> None:
        """Go to the last line, and follow."""
        self._go(len(self._rows) - 1)
        self.is_following = True

    def scroll_columns(self, n: int) -> None:
        """Scroll sideways by cells, where lines are not wrapped."""
        self.scroll_to(x=self.scroll_offset.x + n, animate=False)

    def go_to_time(self, time_us: int) -> None:
        """Go to the last line written by a time. No `CursorMoved` comes of it: the asker knows."""
        self._go(self._rows.position(self._lines.at_or_before(time_us)), is_told=False)

    def jump_minutes(self, n: int) -> None:
        """Go to the first line written ``n`` minutes later, or the last one ``-n`` minutes earlier."""
        if not len(self._lines):
            return
        target = self._lines.clock[self.cursor] + n * _MINUTE_US
        find = self._lines.at_or_after if n > 0 else self._lines.at_or_before
        self._go(self._rows.position(find(target)))

    # Searching

    def search(self, pattern: str) -> int:
        """Look for a regular expression in the lines shown; without capitals, case does not matter.

        Return how many lines matched within the first milliseconds; `SearchChanged` tells the rest, and what is wrong
        with a bad pattern. The cursor stays until ``next_match``.
        """
        if not pattern:
            self.clear_search()
            return 0
        self._feed.look_for(Search.of(pattern))
        self._search_at = self._seek = 0
        self._reported = _NO_SEARCH
        self._go_on()
        return self.match_count

    @property
    def match_count(self) -> int:
        """Lines that matched so far."""
        return len(self._feed.search.matches) if self._feed.search else 0

    def clear_search(self) -> None:
        """Forget the pattern."""
        self._feed.look_for(None)
        self._search_at = self._seek = 0
        self._report_search()
        self.refresh()

    def next_match(self) -> None:
        """Go to the next match, the one on the cursor's line first; after the last to the first."""
        self._step(1)

    def previous_match(self) -> None:
        """Go to the match before; before the first to the last."""
        self._step(-1)

    def _step(self, direction: int) -> None:
        search = self._feed.search
        if search is None:
            return
        matches = search.matches
        is_on_match = self._search_at > 0 and matches[self._search_at - 1 : self._search_at] == [self.cursor]
        if direction > 0:
            at = bisect_right(matches, self.cursor) if is_on_match else bisect_left(matches, self.cursor)
        else:
            at = bisect_left(matches, self.cursor) - 1
        is_past = at >= len(matches) or at < 0
        if is_past and (self._feed.is_searching or self._feed.is_loading):
            self._seek = direction  # it may still be found
            return
        self._seek = 0
        if matches:
            at %= len(matches)
            self._search_at = at + 1
            self._go(self._rows.position(matches[at]))
            self.refresh()
        self._report_search()

    def _report_search(self) -> None:
        """Tell how the search stands, if that changed."""
        search = self._feed.search
        if search is None:
            state = _NO_SEARCH
        else:
            is_complete = not (self._feed.is_searching or self._feed.is_loading)
            state = (search.pattern, len(search.matches), self._search_at, search.problem, is_complete)
        if state != self._reported:
            self._reported = state
            pattern, matches, at, problem, is_complete = state
            self.post_message(self.SearchChanged(self, pattern, matches, at, problem=problem, is_complete=is_complete))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the click was."""
        offset = event.get_content_offset(self)
        if offset is None or not len(self._rows):
            return
        row = offset.y + self.scroll_offset.y
        if row < self._rows.height:
            self._go(self._rows.at_row(row)[0])
