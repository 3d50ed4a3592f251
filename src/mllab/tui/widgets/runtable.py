"""A table of rows that need not be there: it paints what is loaded and asks for what is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive

from mllab.tui.widgets.table_marks import TableMarks
from mllab.tui.widgets.table_model import (
    ASCII_GLYPHS,
    NoRows,
    RowSource,
    TableCell,
    TableColumn,
    TableGlyphs,
    TableRow,
)
from mllab.tui.widgets.table_view import HEADER, TableView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events
    from textual.strip import Strip

__all__ = ["ASCII_GLYPHS", "RowSource", "RunTable", "TableCell", "TableColumn", "TableGlyphs", "TableRow"]

# How far around its old place the row under the cursor is looked for after the rows changed.
_ROWS_SEARCHED = 500


class RunTable(TableView):
    """A table of any length that never waits: rows come from a ``RowSource``, and ``…`` stands where one is missing.

    It binds no keys: a screen's actions call its methods.
    """

    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    class CursorMoved(Message):
        """The cursor is on another row; ``key`` is None until that row is loaded, then this is sent again."""

        def __init__(self, index: int, key: str | None) -> None:
            super().__init__()
            self.index = index
            self.key = key

    class RowOpened(Message):
        """A row was opened, by ``enter`` or a double click."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class MarksChanged(Message):
        """Other rows are marked."""

    def __init__(
        self,
        *,
        glyphs: TableGlyphs | None = None,
        empty_text: str = "",
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(glyphs or TableGlyphs(), name=name, id=id, classes=classes)
        self.empty_text = empty_text
        self._source: RowSource = NoRows()
        self._marks = TableMarks()
        self._cursor_key: str | None = None
        self._announced: tuple[int, str | None] | None = None
        self._sought: str | None = None
        self._travel = 1
        self._thumb_at = -1

    # What is shown

    def show(self, columns: Sequence[TableColumn], source: RowSource, *, keep_cursor: bool = True) -> None:
        """Show other columns or other rows; with ``keep_cursor`` the cursor stays on its row where that is nearby."""
        self._source = source
        self._announced = None
        self._set_columns(columns)
        if not keep_cursor:
            self._sought = self._cursor_key = None
            self.set_reactive(RunTable.cursor, 0)
        self.source_changed()

    def rows_arrived(self, start: int, stop: int) -> None:
        """Paint rows that were loaded, or that have other values, from ``start`` up to ``stop``."""
        if self._sought is not None and self._seek(start, stop):
            self._refresh_rows()
            self._announce()
        else:
            top, bottom = max(start, self._top), min(stop, self._top + self._height)
            if top < bottom:
                self.refresh(Region(0, HEADER + top - self._top, self._width, bottom - top))
            if start <= self.cursor < stop and self._cursor_key != self._key_at(self.cursor):
                self._announce()
        if self._marks.is_marking:
            self._advance_marks()

    def source_changed(self) -> None:
        """Take over the source's new length and order; the cursor stays on its row where that is found nearby.

        Where rows are not loaded it goes there when they arrive, unless it was moved meanwhile.
        """
        self.virtual_size = Size(0, len(self._source) + HEADER)
        self._thumb_at = -1
        self._marks.stop_range()
        self._sought = self._sought or self._cursor_key
        if self._sought is None or not self._seek(0, len(self._source)):
            self.set_reactive(RunTable.cursor, self.validate_cursor(self.cursor))
            self._reveal(self.cursor)
        self._refresh_rows()
        self._ask()
        self._announce()

    # The cursor

    @property
    def cursor_row(self) -> TableRow | None:
        """The row under the cursor; None where there is none or it is not loaded."""
        return self._row_at(self.cursor)

    def move(self, rows: int) -> None:
        """Move the cursor down so many rows, or up."""
        self.cursor += rows

    def page(self, pages: int) -> None:
        """Move the cursor and the rows by pages; one row stays in sight."""
        self._shift(pages * max(1, self._height - 1))

    def half_page(self, halves: int) -> None:
        """Move the cursor and the rows by halves of a page."""
        self._shift(halves * max(1, self._height // 2))

    def home(self) -> None:
        """Go to the first row."""
        self.cursor = 0

    def end(self) -> None:
        """Go to the last row."""
        self.cursor = len(self._source) - 1

    def go_to(self, index: int) -> None:
        """Go to a row; one that was out of sight comes to the middle."""
        index = self.validate_cursor(index)
        if not self._top <= index < self._top + self._height:
            self._scroll_rows(index - self._height // 2)
        self.cursor = index

    def enter(self) -> None:
        """Open the row under the cursor."""
        row = self.cursor_row
        if row is not None:
            self.post_message(self.RowOpened(row.key))

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, len(self._source) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint two lines."""
        self._sought = None
        self._refresh_row(old)
        self._refresh_row(new)
        self._reveal(new)
        self._announce()

    # Marks

    @property
    def marks(self) -> set[str]:
        """Keys of the marked rows; change them by the methods here."""
        return self._marks.keys

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away; the next range begins here."""
        row = self.cursor_row
        if row is not None:
            self._marks.anchor(self.cursor, row.key)
            self._marks.toggle(row.key)
            self._refresh_row(self.cursor)
            self.post_message(self.MarksChanged())

    def mark_range(self) -> None:
        """Mark the rows from the last mark or click to the cursor; those not loaded follow as they arrive."""
        if len(self._source):
            self._marks.begin_range(self._source, self.cursor)
            self._advance_marks()

    def mark_keys(self, keys: Iterable[str]) -> None:
        """Mark rows by key, whether they are shown or not."""
        if self._marks.add(keys):
            self._refresh_rows()
            self.post_message(self.MarksChanged())

    def clear_marks(self) -> None:
        """Take all marks away."""
        if self._marks.clear():
            self._refresh_rows()
            self.post_message(self.MarksChanged())

    # Reactions

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Repaint the rows below the header, and the scrollbar when its thumb moves by an eighth of a cell."""
        thumb_at = int(new_value * self.size.height * 8 / max(1, self.virtual_size.height))
        if self.show_vertical_scrollbar and thumb_at != self._thumb_at:
            self._thumb_at = thumb_at
            self.vertical_scrollbar.position = new_value
        if round(old_value) != round(new_value):
            self._travel = 1 if new_value > old_value else -1
            self._refresh_rows()
            self._ask()

    def on_resize(self) -> None:
        """Keep the cursor in sight, and ask for the rows that came into it."""
        self._thumb_at = -1
        self._reveal(self.cursor)
        self._ask()

    def on_focus(self) -> None:
        """Show that keys move the cursor."""
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self._refresh_row(self.cursor)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on a row; open it, mark it or mark a range; or tell that a title was clicked."""
        offset = event.get_content_offset(self)
        if offset is None or event.button != 1 or self._has_dragged:
            return
        if offset.y < HEADER:
            self._click_header(offset.x)
            return
        index = self._top + offset.y - HEADER
        if index >= len(self._source):
            return
        if not event.shift:
            self.cursor = index
            self._marks.anchor(index, self._key_at(index))
            if event.ctrl:
                self.toggle_mark()
            elif event.chain == 2:
                self.enter()
            return
        if not self._marks.is_anchored:
            self._marks.anchor(self.cursor, self._key_at(self.cursor))
        self.cursor = index
        self.mark_range()

    # Painting

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen: the header, a row, or nothing."""
        if y < HEADER:
            return self._header()
        painter = self._painter or self._new_painter()
        index = self.scroll_offset.y + y - HEADER
        if index >= len(self._source):
            return painter.blank(self.empty_text if y == HEADER and not len(self._source) else "")
        row = self._source.row(index)
        state = "" if index != self.cursor else "cursor" if self.has_focus else "cursor-blurred"
        return painter.line(row, state=state, marked=row is not None and row.key in self._marks.keys)

    def _refresh_row(self, index: int) -> None:
        y = index - self._top
        if 0 <= y < self._height:
            self.refresh(Region(0, HEADER + y, self._width, 1))

    def _refresh_rows(self) -> None:
        if self._height:
            self.refresh(Region(0, HEADER, self._width, self._height))

    # Rows

    @property
    def _top(self) -> int:
        """Index of the topmost row on screen."""
        return self.scroll_offset.y

    @property
    def _height(self) -> int:
        """How many rows fit."""
        return max(0, self.size.height - HEADER)

    def _row_at(self, index: int) -> TableRow | None:
        return self._source.row(index) if 0 <= index < len(self._source) else None

    def _key_at(self, index: int) -> str | None:
        row = self._row_at(index)
        return row.key if row else None

    def _announce(self) -> None:
        """Tell where the cursor is, unless that was told."""
        self._cursor_key = self._key_at(self.cursor)
        place = (self.cursor, self._cursor_key)
        if place != self._announced:
            self._announced = place
            self.post_message(self.CursorMoved(*place))

    def _ask(self) -> None:
        """Tell the source what is in sight, with two pages ahead and half a page behind."""
        height = self._height
        if height:
            before, after = (height // 2, 2 * height) if self._travel > 0 else (2 * height, height // 2)
            self._source.want(max(0, self._top - before), min(len(self._source), self._top + height + after))

    def _seek(self, start: int, stop: int) -> bool:
        """Put the cursor on the sought key, on the same line of the screen, if it is loaded nearby in these rows.

        It is no longer sought when it was found, or when the rows on screen are there and it is not among them.
        """
        near = range(
            max(0, start, self.cursor - _ROWS_SEARCHED), min(stop, len(self._source), self.cursor + _ROWS_SEARCHED)
        )
        index = next((index for index in near if self._key_at(index) == self._sought), None)
        if index is None:
            on_screen = range(self._top, min(len(self._source), self._top + self._height))
            if self._height and all(self._row_at(each) for each in on_screen):
                self._sought = None
            return False
        line = self.cursor - self._top
        self._sought = None
        self.set_reactive(RunTable.cursor, index)
        if 0 <= line < self._height:
            self._scroll_rows(index - line)
        self._reveal(index)
        return True

    def _reveal(self, index: int) -> None:
        if self._height:
            self._scroll_rows(min(max(self._top, index - self._height + 1), index))

    def _scroll_rows(self, top: int) -> None:
        if top != self._top:
            self.scroll_to(y=max(0, top), animate=False, force=True)

    def _shift(self, rows: int) -> None:
        """Move the cursor and the rows on screen alike."""
        target = self.validate_cursor(self.cursor + rows)
        self._scroll_rows(self._top + rows)
        self.cursor = target

    def _advance_marks(self) -> None:
        """Mark more of a range: what is loaded in slices, so that keys get their turn, the rest when it arrives."""
        missing = self._marks.advance(self._source)
        self._refresh_rows()
        self.post_message(self.MarksChanged())
        if missing:
            self._source.want(*missing)
        elif self._marks.is_marking:
            self.call_later(self._advance_marks)
        else:
            self._ask()
