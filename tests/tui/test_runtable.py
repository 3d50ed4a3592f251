"""The table in an app: what it shows, where the cursor and the marks stay, and what it asks for."""

from __future__ import annotations

import asyncio

import pytest
from textual import events
from textual.app import App
from textual.geometry import Region
from textual.scroll_view import ScrollView

from mllab.tui.widgets.runtable import RunTable, TableCell, TableColumn, TableRow

COLUMNS = (TableColumn("name", "name", 10), *(TableColumn(key, key, 8, "right") for key in "abcdefgh"))
SIZES = [(80, 24), (120, 40), (20, 5)]


class Rows:
    """Rows by key, of which some are loaded."""

    def __init__(self, keys, *, loaded=True) -> None:
        self.keys = list(keys)
        self.loaded = set(self.keys) if loaded else set()
        self.wanted: list[tuple[int, int]] = []
        self.value = "1"

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, index):
        key = self.keys[index]
        return TableRow(key, (TableCell(key), *(TableCell(self.value),) * 8)) if key in self.loaded else None

    def want(self, start, stop) -> None:
        assert 0 <= start <= stop <= len(self.keys)
        self.wanted.append((start, stop))

    def load(self, table: RunTable, start: int, stop: int) -> None:
        self.loaded.update(self.keys[start:stop])
        table.rows_arrived(start, stop)


class TableApp(App[None]):
    """One table; keeps what it says and which regions it repaints."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[object, ...]] = []

    def compose(self):
        yield RunTable(empty_text="No runs.")

    def on_run_table_cursor_moved(self, event) -> None:
        self.said.append(("cursor", event.index, event.key))

    def on_run_table_row_opened(self, event) -> None:
        self.said.append(("opened", event.key))

    def on_run_table_marks_changed(self) -> None:
        self.said.append(("marks",))

    def on_run_table_header_clicked(self, event) -> None:
        self.said.append(("header", event.key))

    def on_run_table_column_resized(self, event) -> None:
        self.said.append(("resized", event.key, event.width))


def numbered(count: int, *, loaded=True) -> Rows:
    return Rows((f"r{index}" for index in range(count)), loaded=loaded)


def in_app(*, size=(80, 24), rows=100, loaded=True):
    """Run an async test inside an app with a table of numbered rows."""

    def decorate(test):
        def run() -> None:
            async def inside() -> None:
                app = TableApp()
                async with app.run_test(size=size) as pilot:
                    table, source = app.query_one(RunTable), numbered(rows, loaded=loaded)
                    table.show(COLUMNS, source)
                    table.focus()
                    await pilot.pause()
                    await test(table, source, pilot)

            asyncio.run(inside())

        # No functools.wraps: pytest would see the arguments and take them for fixtures.
        run.__name__ = test.__name__
        return run

    return decorate


def lines(table: RunTable) -> list[str]:
    return [table.render_line(y).text for y in range(table.size.height)]


def names(table: RunTable) -> list[str]:
    return [line[4:14].strip() for line in lines(table)[1:]]


def top(table: RunTable) -> int:
    return table.scroll_offset.y


@pytest.mark.parametrize("size", SIZES)
def test_it_fills_its_place_at_any_size(size) -> None:
    @in_app(size=size)
    async def check(table, source, pilot) -> None:
        width = size[0] - 1
        assert {len(line) for line in lines(table)} == {width}
        assert lines(table)[0].startswith("    na")
        assert lines(table)[1].startswith("▌   r0")
        table.end()
        await pilot.pause()
        assert names(table)[-1].startswith("r99")
        assert lines(table)[-1].startswith("▌")

    check()


@in_app()
async def test_the_header_stays_while_rows_scroll(table, source, pilot) -> None:
    header = lines(table)[0]
    table.page(2)
    await pilot.pause()
    assert lines(table)[0] == header
    assert top(table) == 44
    assert table.cursor == 44


@in_app()
async def test_a_move_repaints_two_lines(table, source, pilot) -> None:
    regions: list[Region] = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr(table, "refresh", lambda *given: regions.extend(given))
    table.move(1)
    monkey.undo()
    await pilot.pause()
    assert regions == [Region(0, 1, 79, 1), Region(0, 2, 79, 1)]


@in_app()
async def test_the_cursor_stays_on_rows_and_in_sight(table, source, pilot) -> None:
    table.move(-5)
    assert table.cursor == 0
    table.move(23)
    assert (table.cursor, top(table)) == (23, 1)
    table.end()
    table.page(1)
    assert (table.cursor, top(table)) == (99, 77)
    table.half_page(-1)
    assert (table.cursor, top(table)) == (88, 66)
    table.home()
    assert (table.cursor, top(table)) == (0, 0)
    table.go_to(50)
    assert table.cursor == 50
    assert top(table) < 50 < top(table) + 22
    await pilot.pause()


@in_app()
async def test_messages_tell_where_the_cursor_is(table, source, pilot) -> None:
    assert pilot.app.said == [("cursor", 0, "r0")]
    table.move(2)
    table.enter()
    await pilot.pause()
    assert pilot.app.said[1:] == [("cursor", 2, "r2"), ("opened", "r2")]
    assert table.cursor_row.key == "r2"


@in_app(loaded=False)
async def test_rows_that_are_not_loaded_are_dots_until_they_arrive(table, source, pilot) -> None:
    assert lines(table)[1].count("…") >= 8
    assert table.cursor_row is None
    assert pilot.app.said == [("cursor", 0, None)]
    table.enter()
    table.toggle_mark()
    source.load(table, 0, 10)
    await pilot.pause()
    assert names(table)[:11] == [f"r{index}" for index in range(10)] + ["…"]
    assert pilot.app.said == [("cursor", 0, None), ("cursor", 0, "r0")]


@in_app(rows=1000, loaded=False)
async def test_it_asks_for_two_pages_ahead_in_the_direction_of_travel(table, source, pilot) -> None:
    assert source.wanted[-1] == (0, 23 * 3)
    table.go_to(500)
    await pilot.pause()
    first = top(table)
    assert source.wanted[-1] == (first - 11, first + 23 * 3)
    table.page(-1)
    await pilot.pause()
    assert source.wanted[-1] == (first - 22 - 46, first - 22 + 23 + 11)
    table.end()
    assert source.wanted[-1][1] == 1000


@in_app()
async def test_other_values_are_painted(table, source, pilot) -> None:
    source.value = "2"
    table.rows_arrived(0, 100)
    await pilot.pause()
    assert " 2 " in lines(table)[1]


@in_app()
async def test_the_cursor_follows_its_row_on_its_line(table, source, pilot) -> None:
    table.go_to(50)
    await pilot.pause()
    line = 50 - top(table)
    source.keys[:0] = ["new1", "new2", "new3"]
    source.loaded |= {"new1", "new2", "new3"}
    table.source_changed()
    await pilot.pause()
    assert table.cursor == 53
    assert table.cursor_row.key == "r50"
    assert 53 - top(table) == line
    assert pilot.app.said[-1] == ("cursor", 53, "r50")


@in_app()
async def test_the_cursor_follows_its_row_once_that_is_loaded(table, source, pilot) -> None:
    table.move(10)
    fresh = Rows(["a", "b", *source.keys], loaded=False)
    table.show(COLUMNS, fresh)
    await pilot.pause()
    assert table.cursor == 10
    fresh.load(table, 0, 60)
    await pilot.pause()
    assert (table.cursor, table.cursor_row.key) == (12, "r10")


@in_app()
async def test_the_cursor_does_not_jump_back_after_a_move(table, source, pilot) -> None:
    table.move(10)
    fresh = Rows(["a", "b", *source.keys], loaded=False)
    table.show(COLUMNS, fresh)
    table.move(1)
    fresh.load(table, 0, 60)
    await pilot.pause()
    assert table.cursor == 11


@in_app()
async def test_a_row_that_is_gone_is_not_waited_for(table, source, pilot) -> None:
    table.move(10)
    source.keys.remove("r10")
    table.source_changed()
    assert (table.cursor, table.cursor_row.key) == (10, "r11")
    source.keys.insert(0, "new")
    source.loaded.add("new")
    table.source_changed()
    assert (table.cursor, table.cursor_row.key) == (11, "r11")


@in_app()
async def test_new_rows_below_are_no_move_of_the_cursor(table, source, pilot) -> None:
    source.keys.append("more")
    table.source_changed()
    await pilot.pause()
    assert pilot.app.said == [("cursor", 0, "r0")]
    table.show(COLUMNS, source)
    await pilot.pause()
    assert pilot.app.said == [("cursor", 0, "r0")] * 2


@in_app()
async def test_fewer_rows_or_none_keep_it_whole(table, source, pilot) -> None:
    table.end()
    source.keys = source.keys[:3]
    table.source_changed()
    await pilot.pause()
    assert (table.cursor, top(table)) == (2, 0)
    source.keys = []
    table.source_changed()
    await pilot.pause()
    assert "No runs." in lines(table)[1]
    assert table.cursor_row is None
    for act in (table.home, table.end, table.enter, table.toggle_mark, table.mark_range, table.clear_marks):
        act()
    table.page(1)
    table.move(-1)
    await pilot.pause()
    assert table.cursor == 0


@in_app()
async def test_without_keeping_the_cursor_it_begins_at_the_top(table, source, pilot) -> None:
    table.end()
    table.show(COLUMNS, source, keep_cursor=False)
    await pilot.pause()
    assert (table.cursor, top(table)) == (0, 0)
    assert pilot.app.said[-1] == ("cursor", 0, "r0")


@in_app()
async def test_marks_follow_their_rows(table, source, pilot) -> None:
    table.toggle_mark()
    table.move(3)
    table.mark_range()
    assert table.marks == {"r0", "r1", "r2", "r3"}
    table.toggle_mark()
    source.keys.reverse()
    table.source_changed()
    table.end()
    await pilot.pause()
    assert [line[1] for line in lines(table)[-4:]] == [" ", "●", "●", "●"]
    table.mark_keys(["elsewhere"])
    assert "elsewhere" in table.marks
    table.clear_marks()
    assert table.marks == set()
    assert not any("●" in line for line in lines(table))


@in_app(rows=3000, loaded=False)
async def test_a_range_is_marked_as_its_rows_arrive(table, source, pilot) -> None:
    source.load(table, 0, 30)
    table.toggle_mark()
    table.end()
    table.mark_range()
    assert len(table.marks) == 30
    asked = 0
    while len(table.marks) < 3000:
        asked += 1
        assert asked < 100
        source.load(table, *source.wanted[-1])
        await pilot.pause()
    assert source.wanted[-1][1] == 3000


@in_app()
async def test_a_range_begins_at_the_row_that_was_marked_wherever_that_is(table, source, pilot) -> None:
    table.move(5)
    table.toggle_mark()
    source.keys[:0] = ["new"]
    source.loaded.add("new")
    table.source_changed()
    table.move(2)
    table.mark_range()
    assert table.marks == {"r5", "r6", "r7"}


@in_app()
async def test_columns_scroll_beside_the_frozen_one(table, source, pilot) -> None:
    assert lines(table)[0].endswith(">")
    table.scroll_columns(1)
    await pilot.pause()
    header = lines(table)[0]
    assert header.startswith("    name      <       b│")
    table.scroll_columns(99)
    assert lines(table)[0].rstrip().endswith("h│")
    table.scroll_columns(-99)
    assert "<" not in lines(table)[0]


@in_app(size=(40, 10))
async def test_the_selected_column_comes_into_sight_and_is_underlined(table, source, pilot) -> None:
    table.selected_column = 7
    await pilot.pause()
    assert [part.text.strip() for part in table.render_line(0) if part.style.underline] == ["g"]
    table.selected_column = 99
    assert table.selected_column == 8
    table.show(COLUMNS[::-1], source)
    assert table.selected_column == 0


@in_app()
async def test_the_sorted_column_has_an_arrow(table, source, pilot) -> None:
    table.sort = ("b", True)
    assert "▼ b" in lines(table)[0]
    table.sort = ("name", False)
    assert "name ▲" in lines(table)[0]


@in_app()
async def test_a_column_is_resized_down_to_its_least_width(table, source, pilot) -> None:
    table.selected_column = 1
    table.resize_column(4)
    table.resize_column(-99)
    await pilot.pause()
    assert pilot.app.said[-2:] == [("resized", "a", 12), ("resized", "a", 4)]
    assert table.columns[1].width == 4


@in_app()
async def test_a_border_is_dragged(table, source, pilot) -> None:
    await pilot.mouse_down(RunTable, offset=(14, 0))
    await pilot.hover(RunTable, offset=(20, 0))
    await pilot.mouse_up(RunTable, offset=(20, 0))
    await pilot.pause()
    assert table.columns[0].width == 16
    assert ("resized", "name", 16) in pilot.app.said
    assert not any(said[0] == "header" for said in pilot.app.said)
    await pilot.click(RunTable, offset=(5, 0))
    assert pilot.app.said[-1] == ("header", "name")


@in_app()
async def test_clicks_set_the_cursor_open_and_mark(table, source, pilot) -> None:
    await pilot.click(RunTable, offset=(5, 4))
    assert table.cursor == 3
    await pilot.click(RunTable, offset=(5, 6), shift=True)
    assert table.marks == {"r3", "r4", "r5"}
    assert table.cursor == 5
    await pilot.click(RunTable, offset=(5, 8), control=True)
    assert "r7" in table.marks
    await pilot.click(RunTable, offset=(5, 2), times=2)
    assert pilot.app.said[-1] == ("opened", "r1")


@in_app(rows=3)
async def test_a_click_below_the_rows_does_nothing(table, source, pilot) -> None:
    await pilot.click(RunTable, offset=(5, 9))
    assert table.cursor == 0


@in_app()
async def test_the_wheel_scrolls_rows_and_with_shift_columns(table, source, pilot) -> None:
    def wheel(kind, **more):
        keys = {"shift": False, "meta": False, "ctrl": False} | more
        table.post_message(kind(table, 5, 5, 0, 0, 0, **keys))

    wheel(events.MouseScrollDown)
    await pilot.pause()
    assert top(table) > 0
    assert table.cursor == 0
    wheel(events.MouseScrollDown, shift=True)
    await pilot.pause()
    assert "<" in lines(table)[0]
    wheel(events.MouseScrollUp, shift=True)
    await pilot.pause()
    assert "<" not in lines(table)[0]


@in_app()
async def test_a_smaller_terminal_keeps_the_cursor_in_sight(table, source, pilot) -> None:
    table.move(20)
    await pilot.resize_terminal(40, 10)
    await pilot.pause()
    assert top(table) <= 20 < top(table) + 9
    assert {len(line) for line in lines(table)} == {39}


@in_app()
async def test_without_focus_the_cursor_is_still_seen(table, source, pilot) -> None:
    focused = table.render_line(1)
    pilot.app.set_focus(None)
    await pilot.pause()
    assert table.render_line(1).text.startswith("▌")
    assert [part.style for part in table.render_line(1)] != [part.style for part in focused]


@in_app()
async def test_another_theme_has_other_colours(table, source, pilot) -> None:
    dark = [part.style for part in table.render_line(2)]
    pilot.app.theme = "textual-light"
    await pilot.pause()
    assert [part.style for part in table.render_line(2)] != dark
    pilot.app.theme = "ansi-dark"
    await pilot.pause()
    assert lines(table)[1].startswith("▌")


def test_no_color_leaves_the_cursor_and_the_marks(monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    @in_app()
    async def check(table, source, pilot) -> None:
        table.toggle_mark()
        await pilot.pause()
        shown = table.render_lines(table.size.region)[1]
        assert shown.text.startswith("▌●")
        colors = {color for part in shown for color in (part.style.color, part.style.bgcolor) if color}
        assert colors
        assert all(len({*color.triplet}) == 1 for color in colors)

    check()


@in_app()
async def test_lines_look_as_textual_would_draw_them(table, source, pilot) -> None:
    table.toggle_mark()
    for theme in ("textual-dark", "textual-light", "ansi-dark"):
        pilot.app.theme = theme
        await pilot.pause()
        region = table.size.region
        for own, usual in zip(table.render_lines(region), ScrollView.render_lines(table, region), strict=True):
            assert list(own.crop(0, 79).simplify()) == list(usual.crop(0, 79).simplify())


@in_app()
async def test_a_border_is_drawn_around_it(table, source, pilot) -> None:
    table.styles.border = ("solid", "red")
    await pilot.pause()
    drawn = [line.text for line in table.render_lines(Region(0, 0, 80, 24))]
    assert drawn[0].startswith("┌")
    assert drawn[1].startswith("│    name")
    await pilot.click(RunTable, offset=(5, 5))
    assert table.cursor == 3
