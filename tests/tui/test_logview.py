"""LogView: what is on screen, following, levels, wrapping, moving and searching."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.geometry import Region

from mllab.tui.themes import ThemedApp
from mllab.tui.widgets.logview import LogLine, LogView


class Sample(ThemedApp[None]):
    def __init__(self, theme: str = "mllab-dark") -> None:
        super().__init__()
        self.theme = theme
        self.said: list[Any] = []

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
    return [view.render_line(y).text.rstrip() for y in range(view.scrollable_content_region.height)]


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


@shown_on()
async def test_scrolling_up_with_the_wheel_stops_following_and_scrolling_down_does_not(app, view, pilot) -> None:
    view.set_lines(many(50))
    await pilot.pause()
    assert view.is_following
    view.scroll_to(y=10, animate=False)
    assert not view.is_following
    view.is_following = True
    assert view.scroll_offset.y == view.max_scroll_y == 44


@shown_on()
async def test_new_lines_replace_all_before(app, view, pilot) -> None:
    view.set_lines(many(50))
    await pilot.pause()
    view.set_lines(lines("a", "b"))
    await pilot.pause()
    assert screen(view) == ["   a", "▸  b", "", "", "", ""]
    assert view.is_following
    view.set_lines([])
    await pilot.pause()
    assert screen(view) == [""] * 6
    view.move(1)
    view.end()
    view.page(-1)
    view.jump_minutes(1)
    view.go_to_time(5)
    assert view.cursor == 0


@shown_on()
async def test_a_line_still_being_written_is_replaced(app, view, pilot) -> None:
    view.set_lines(lines("a", "10%"))
    view.search("%")
    view.replace_last(1, lines("50%"))
    view.replace_last(1, lines("100%", "b"))
    await pilot.pause()
    assert screen(view)[:3] == ["   a", "   100%", "▸  b"]
    assert view.match_count == 1


@shown_on()
async def test_text_with_newlines_takes_several_lines(app, view, pilot) -> None:
    view.set_lines(lines("a\nb\n", "\n", "c"))
    await pilot.pause()
    assert screen(view)[:4] == ["   a", "   b", "", "▸  c"]


@shown_on((40, 8))
async def test_stderr_and_levels_are_marked_by_glyphs(app, view, pilot) -> None:
    view.set_lines(
        [
            *lines("plain", "WARNING hot"),
            *lines("oops", "Traceback (most recent call last):", '  File "x"', "ValueError: y", stream="stderr"),
            *lines("after"),
        ]
    )
    await pilot.pause()
    assert screen(view)[:7] == [
        "   plain",
        " ! WARNING hot",
        "  ┃oops",
        " ✗┃Traceback (most recent call last):",
        ' ✗┃  File "x"',
        " ✗┃ValueError: y",
        "▸  after",
    ]


@shown_on((40, 8))
async def test_a_level_hides_lines_below_it(app, view, pilot) -> None:
    view.set_lines(lines("a", "DEBUG b", "WARNING c", "ERROR d", "e"))
    view.level = "warn"
    await pilot.pause()
    assert screen(view)[:3] == [" ! WARNING c", "▸✗ ERROR d", ""]
    view.append(lines("f", "[error] g"))
    await pilot.pause()
    assert screen(view)[:3] == [" ! WARNING c", " ✗ ERROR d", "▸✗ [error] g"]
    assert view.shown_count == 3
    view.home()
    assert view.cursor == 2
    view.move(1)
    assert view.cursor == 3
    view.level = "info"
    await pilot.pause()
    assert screen(view)[:6] == ["   a", " ! WARNING c", "▸✗ ERROR d", "   e", "   f", " ✗ [error] g"]
    view.level = "nonsense"
    assert view.level == "all"
    assert view.shown_count == 7


@shown_on((24, 8))
async def test_long_lines_wrap(app, view, pilot) -> None:
    view.set_lines(lines("a" * 45, "学" * 15, "end"))
    view.wrap = True
    await pilot.pause()
    # 20 cells of text beside the gutter and the scrollbar; a wide character is never cut in two.
    expected = ["   " + "a" * 20, "   " + "a" * 20, "   " + "a" * 5, "   " + "学" * 10, "   " + "学" * 5, "▸  end"]
    assert screen(view)[:6] == expected
    view.move(-1)
    await pilot.pause()
    assert screen(view)[3:6] == ["▸  " + "学" * 10, "   " + "学" * 5, "   end"]
    await pilot.resize_terminal(14, 8)
    await pilot.pause()
    assert screen(view)[0].startswith("   aa")
    assert "▸  学学学学学" in screen(view)


@shown_on((24, 6))
async def test_wrapping_follows_the_end_of_lines_whose_width_is_not_their_length(app, view, pilot) -> None:
    view.wrap = True
    colored = [f"\x1b[31m{'x' * 30}\x1b[0m{number}" for number in range(40)]
    view.set_lines(lines(*colored, *("学" * 30 for _ in range(10)), "last"))
    await pilot.pause()
    assert screen(view)[-1] == "▸  last"
    assert screen(view)[-2] == "   " + "学" * 10
    view.move(-20)
    await pilot.pause()
    rows = screen(view)
    at = next(index for index, text in enumerate(rows) if text.startswith("▸"))
    assert rows[at + 1] == "   " + "x" * 10 + "30"[: len(rows[at + 1]) - 13]
    for _ in range(20):
        view.page(1)
    await pilot.pause()
    assert screen(view)[-1] == "▸  last"
    for _ in range(60):
        view.move(-1)
        assert sum(text.startswith("▸") for text in screen(view)) == 1
    assert view.cursor == 0
    assert view.scroll_offset.y == 0


@shown_on()
async def test_colours_are_shown_and_other_escapes_are_not(app, view, pilot) -> None:
    view.set_lines(lines("\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\x1b[2J\x1b[8mseen\x1b[5;38;5;46mgreen\x07"))
    await pilot.pause()
    strip = view.render_line(0)
    assert strip.text.rstrip() == "▸  red seengreen\\x07"
    colors = {segment.text: segment.style.color for segment in strip if segment.style}
    assert colors["red"].number == 1 or colors["red"].get_truecolor()[0] > 150
    assert colors["green\\x07"].get_truecolor() == (0, 255, 0)
    for row in range(view.size.height):
        for segment in view.render_line(row):
            assert segment.text.isprintable()
            assert not segment.style.blink
            assert not segment.style.conceal


@shown_on()
async def test_a_colour_like_the_background_is_not_taken(app, view, pilot) -> None:
    view.set_lines(lines("\x1b[38;2;26;30;37;48;2;26;30;37mhidden"))
    await pilot.pause()
    (segment,) = [each for each in view.render_line(0) if "hidden" in each.text]
    assert segment.style.color.get_truecolor() != (26, 30, 37)
    assert segment.style.bgcolor.get_truecolor() != (26, 30, 37)  # the cursor's


@shown_on((60, 6))
async def test_times_and_numbers_stand_before_lines(app, view, pilot) -> None:
    view.set_lines(
        [LogLine(1_000_000, "stdout", "a"), LogLine(0, "stdout", "b"), LogLine(3_725_000_000, "stdout", "c")]
    )
    view.show_time = "relative"
    await pilot.pause()
    assert screen(view)[:3] == [" +0:00:00    a", " " * 13 + "b", " +1:02:04 ▸  c"]
    view.show_time = "clock"
    view.show_numbers = True
    await pilot.pause()
    assert screen(view)[1] == "2             b"
    assert screen(view)[0].startswith("1 ")
    assert screen(view)[0][4] == ":"


@shown_on()
async def test_moving_by_time(app, view, pilot) -> None:
    view.set_lines([LogLine(at * 60_000_000, "stdout", f"minute {at}") for at in (1, 2, 5, 9)])
    view.home()
    await pilot.pause()
    app.said.clear()
    view.go_to_time(6 * 60_000_000)
    await pilot.pause()
    assert view.cursor == 2
    assert not [event for event in app.said if isinstance(event, LogView.CursorMoved)]
    view.jump_minutes(-1)
    assert view.cursor == 1
    view.jump_minutes(4)
    assert view.cursor == 3
    view.jump_minutes(-100)
    assert view.cursor == 0
    view.jump_minutes(1)
    assert view.cursor == 1
    view.go_to_time(0)
    assert view.cursor == 0
    await pilot.pause()
    assert app.last(LogView.CursorMoved).time_us == 2 * 60_000_000


@shown_on((50, 6))
async def test_matches_are_marked_and_visited(app, view, pilot) -> None:
    view.set_lines(lines("loss 1", "acc 2", "Loss 3", "acc 4", "loss 5"))
    view.home()
    assert view.search("loss") == 3
    view.next_match()
    assert view.cursor == 0  # the match on the cursor's line comes first
    view.next_match()
    assert view.cursor == 2
    view.next_match()
    view.next_match()
    assert view.cursor == 0
    view.previous_match()
    assert view.cursor == 4
    await pilot.pause()
    said = app.last(LogView.SearchChanged)
    assert (said.pattern, said.matches, said.at, said.problem, said.is_complete) == ("loss", 3, 3, "", True)
    marked = {each.text: each.style for each in view.render_line(2) if each.style}
    assert marked["Loss"].underline
    assert not next(style for text, style in marked.items() if text.startswith(" 3")).underline
    view.append(lines("loss 6"))
    assert view.match_count == 4
    assert view.search("Loss") == 1  # a capital: case matters
    view.clear_search()
    await pilot.pause()
    assert app.last(LogView.SearchChanged).pattern == ""


@shown_on()
async def test_a_bad_pattern_is_told(app, view, pilot) -> None:
    view.set_lines(many(3))
    assert view.search("(unclosed") == 0
    view.next_match()
    await pilot.pause()
    said = app.last(LogView.SearchChanged)
    assert said.problem.startswith("not a regular expression: ")
    assert said.is_complete
    assert screen(view)[0] == "   line 0"


@shown_on()
async def test_a_pattern_that_takes_years_is_given_up(app, view, pilot) -> None:
    view.set_lines(lines(*["a" * 60 + "!"] * 100, "aaa"))
    view.search("^(a+)+$")
    view.next_match()
    await settle(app, pilot)
    said = app.last(LogView.SearchChanged)
    assert said.problem == "this pattern takes too long: stopped at line 20"
    assert said.is_complete
    view.set_lines(lines("a" * 60 + "!", "aaa"))
    await settle(app, pilot)
    said = app.last(LogView.SearchChanged)
    assert (said.matches, said.problem) == (1, "1 line took too long and was left out")
    assert screen(view)[0] == "   " + "a" * 36  # nor does highlighting it take years


@shown_on((60, 6))
async def test_very_long_lines_are_cut(app, view, pilot) -> None:
    long = "x" * 1_000_000
    view.set_lines(lines("short", long, "\x1b[1mprogress" + "\r" * 5 + "y" * 100 + "\rdone"))
    view.home()
    await pilot.pause()
    assert screen(view)[:3] == ["▸  short", "   " + "x" * 56, "   done"]
    view.wrap = True
    view.move(1)
    await pilot.pause()
    view.move(1)
    await pilot.pause()
    assert "980,000 more characters" in screen(view)[-3] + screen(view)[-2]


@shown_on()
async def test_sideways(app, view, pilot) -> None:
    view.set_lines(lines("0123456789" * 10, "学習" * 20))
    await pilot.pause()
    view.scroll_columns(5)
    await pilot.pause()
    assert screen(view)[0] == "   " + ("0123456789" * 10)[5:41]
    assert view.render_line(1).cell_length == 39


@shown_on()
async def test_a_click_puts_the_cursor(app, view, pilot) -> None:
    view.set_lines(many(4))
    await pilot.pause()
    await pilot.click(LogView, offset=(5, 1))
    await pilot.pause()
    assert view.cursor == 1
    assert app.last(LogView.CursorMoved).time_us == 2_000_000


@shown_on()
async def test_selected_text_is_that_of_the_lines(app, view, pilot) -> None:
    from textual.geometry import Offset
    from textual.selection import Selection

    view.set_lines(lines("first line", "\x1b[31msecond\x1b[0m line", "third"))
    assert view.get_selection(Selection(Offset(6, 0), Offset(6, 1))) == ("line\nsecond", "\n")
    assert view.get_selection(Selection(None, None)) == ("first line\nsecond line\nthird", "\n")


@shown_on((20, 5))
async def test_it_fits_in_tiny_sizes(app, view, pilot) -> None:
    view.show_numbers = True
    view.show_time = "relative"
    view.set_lines(many(1000))
    for size in ((20, 5), (8, 2), (3, 1), (1, 1)):
        await pilot.resize_terminal(*size)
        await pilot.pause()
        for row in range(view.size.height):
            assert view.render_line(row).cell_length == view.scrollable_content_region.width
        view.wrap = not view.wrap


@pytest.mark.parametrize("theme", ["mllab-light", "mllab-ansi", "textual-dark"])
def test_the_cursor_and_matches_are_seen_in_every_theme(theme: str) -> None:
    @shown_on((40, 4), theme)
    async def inside(app, view, pilot) -> None:
        view.set_lines(lines("one", "two", "one"))
        view.search("one")
        await pilot.pause()
        cursor, plain = view.render_line(2), view.render_line(1)
        assert cursor.text.startswith("▸")
        assert any(each.style.underline for each in cursor)
        assert not any(each.style.underline for each in plain)
        assert next(iter(cursor)).style.bold

    inside()


@shown_on((80, 24))
async def test_200_000_lines_come_in_slices(app, view, pilot) -> None:
    longest = []
    go_on = view._feed.go_on
    source = many(200_000)

    def timed(*arguments):
        import time

        began = time.thread_time()
        try:
            return go_on(*arguments)
        finally:
            longest.append(time.thread_time() - began)

    view._feed.go_on = timed
    view.append(source)
    assert 0 < len(view) < 200_000
    await settle(app, pilot)
    assert len(view) == 200_000
    assert len(longest) > 5
    assert screen(view)[-1] == "▸  line 199999"


@shown_on()
async def test_a_match_keeps_the_colour_of_its_line(app, view, pilot) -> None:
    view.set_lines(lines("ERROR loss", "plain"))
    view.search("loss")
    await pilot.pause()
    colors = {each.text: each.style for each in view.render_line(0) if each.text.strip()}
    assert colors["loss"].underline
    assert colors["loss"].color == colors["ERROR "].color
    assert colors["loss"].bgcolor != colors["ERROR "].bgcolor


def test_no_color_leaves_glyphs_and_text_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    @shown_on((40, 4), "mllab-ansi")
    async def inside(app, view, pilot) -> None:
        view.set_lines([*lines("\x1b[31mred\x1b[0m one"), *lines("ERROR two", stream="stderr")])
        view.search("one")
        await pilot.pause()
        first, second = view.render_lines(Region(0, 0, 40, 2))
        assert app.no_color
        assert second.text.startswith("▸✗┃ERROR two")
        for segment in (*first, *second):
            assert segment.style.color is None or segment.style.color.is_default
            assert segment.style.bgcolor is None or segment.style.bgcolor.is_default
        assert next(each for each in first if each.text == "one").style.underline
        assert next(iter(second)).style.bold

    inside()
