"""The part of a table that knows columns: header, sideways scrolling, widths, colours. Rows are a subclass's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from mllab.tui.widgets.table_layout import TableLayout, lay_out, revealing
from mllab.tui.widgets.table_paint import TablePainter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.strip import Strip

    from mllab.tui.widgets.table_model import TableColumn, TableGlyphs

HEADER = 1


class TableView(ScrollView, can_focus=True, inherit_bindings=False):
    """A header over lines that scroll up and down by rows and sideways by columns.

    Cells of a style without a component class come out plain; a subclass may add classes named
    ``runtable--<style>``.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "runtable--row",
        "runtable--cursor",
        "runtable--cursor-blurred",
        "runtable--header",
        "runtable--header-selected",
        "runtable--mark",
        "runtable--ok",
        "runtable--bad",
        "runtable--warn",
        "runtable--dim",
        "runtable--live",
        "runtable--best",
    }
    DEFAULT_CSS = """
    TableView {
        background: $surface;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    TableView > .runtable--cursor {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
        text-style: bold;
    }
    TableView > .runtable--cursor-blurred {
        background: $block-cursor-blurred-background;
        color: $block-cursor-blurred-foreground;
    }
    TableView > .runtable--header {
        background: $panel;
        color: $foreground;
        text-style: bold;
    }
    TableView > .runtable--header-selected { text-style: bold underline; }
    TableView > .runtable--mark { color: $text-accent; text-style: bold; }
    TableView > .runtable--ok { color: $text-success; }
    TableView > .runtable--bad { color: $text-error; }
    TableView > .runtable--warn { color: $text-warning; }
    TableView > .runtable--dim { text-style: dim; }
    TableView > .runtable--live { color: $text-primary; text-style: bold; }
    TableView > .runtable--best { color: $text-success; text-style: bold underline; }
    """
    ALLOW_SELECT = False

    fixed_columns: reactive[int] = reactive(1, repaint=False, init=False)
    selected_column: reactive[int] = reactive(0, repaint=False, init=False)
    sort: reactive[tuple[str, bool] | None] = reactive(None, repaint=False, init=False)

    class HeaderClicked(Message, namespace="run_table"):
        """The title of a column was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class ColumnResized(Message, namespace="run_table"):
        """The user gave a column another width, in cells."""

        def __init__(self, key: str, width: int) -> None:
            super().__init__()
            self.key = key
            self.width = width

    def __init__(
        self,
        glyphs: TableGlyphs,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.glyphs = glyphs
        self._columns: tuple[TableColumn, ...] = ()
        self._first_column = 0
        self._laid_out: TableLayout | None = None
        self._painter: TablePainter | None = None
        self._dragged: int | None = None
        self._has_dragged = False

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """The columns, with the widths that they have."""
        return self._columns

    def scroll_columns(self, columns: int) -> None:
        """Scroll sideways by columns."""
        first = max(self._layout.frozen, self._layout.first + columns)
        self._show_columns_from(lay_out(self._columns, self._width, self.fixed_columns, first).first)

    def resize_column(self, cells: int) -> None:
        """Make the selected column wider by so many cells, or narrower."""
        if self._columns:
            self._set_width(self.selected_column, self._columns[self.selected_column].width + cells)
            self._tell_width(self.selected_column)

    def validate_selected_column(self, index: int) -> int:
        """Keep it one of the columns."""
        return max(0, min(index, len(self._columns) - 1))

    def watch_selected_column(self, index: int) -> None:
        """Bring the column into sight."""
        if self._width:
            first = revealing(self._columns, self._width, self.fixed_columns, self._first_column, index)
            self._show_columns_from(first)
        self._refresh_header()

    def watch_sort(self) -> None:
        """Move the arrow."""
        self._refresh_header()

    def watch_fixed_columns(self) -> None:
        """Place the columns anew."""
        self._columns_changed()

    def watch_show_vertical_scrollbar(self) -> None:
        """Place the columns beside the scrollbar, or where it was."""
        self._columns_changed()

    def on_resize(self) -> None:
        """Place the columns anew."""
        self._columns_changed()

    def notify_style_update(self) -> None:
        """Forget what was painted in other colours."""
        super().notify_style_update()
        self._painter = None

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return lines without Textual's cache of styled ones: the painter keeps strips with all that was made of them.

        That halves what a page costs. A table with a border or the like goes the usual way.
        """
        if self._is_framed:
            return super().render_lines(crop)
        filters = self.get_line_filters()
        background = self.background_colors[1]
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y)
            for each in filters:
                strip = strip.apply_filter(each, background)
            strips.append(strip)
        if crop.column_span != (0, strips[0].cell_length if strips else 0):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    @property
    def _is_framed(self) -> bool:
        """Whether Textual would draw more than the lines."""
        styles = self.styles
        has_frame = any(styles.gutter.totals) or any(edge for edge, _ in styles.outline) or styles.has_rule("hatch")
        return has_frame or bool(styles.tint.a) or self.opacity != 1.0 or styles.text_opacity != 1.0

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of a column's right border."""
        self._has_dragged = False
        offset = event.get_content_offset(self)
        if event.button == 1 and offset is not None and offset.y < HEADER:
            self._dragged = self._layout.border_at(offset.x)
            if self._dragged is not None:
                self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Resize the column whose border is held."""
        if self._dragged is None:
            return
        place = next((each for each in self._layout.placed if each.index == self._dragged), None)
        if place is not None:
            self._has_dragged = True
            self._set_width(place.index, event.x - self.gutter.left - place.x)

    def on_mouse_up(self) -> None:
        """Let go of the border."""
        if self._dragged is None:
            return
        self.release_mouse()
        dragged, self._dragged = self._dragged, None
        self._has_dragged = True  # the click that follows is no click on what is below
        self._tell_width(dragged)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll sideways while a modifier is held, as the wheel does elsewhere."""
        if event.shift or event.ctrl:
            self._scroll_by_wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll sideways while a modifier is held."""
        if event.shift or event.ctrl:
            self._scroll_by_wheel(event, -1)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """Scroll sideways."""
        self._scroll_by_wheel(event, 1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """Scroll sideways."""
        self._scroll_by_wheel(event, -1)

    def _scroll_by_wheel(self, event: events.MouseEvent, columns: int) -> None:
        event.stop()
        event.prevent_default()
        self.scroll_columns(columns)

    def _click_header(self, x: int) -> None:
        index = self._layout.column_at(x)
        if index is not None:
            self.selected_column = index
            self.post_message(self.HeaderClicked(self._columns[index].key))

    def _set_columns(self, columns: Sequence[TableColumn]) -> None:
        """Take other columns; the selected one stays selected by its key."""
        chosen = self._columns[self.selected_column].key if self._columns else None
        self._columns = tuple(columns)
        self._columns_changed()
        keys = [each.key for each in self._columns]
        self.selected_column = keys.index(chosen) if chosen in keys else 0

    def _set_width(self, index: int, width: int) -> None:
        column = self._columns[index]
        width = max(column.min_width, width)
        if width != column.width:
            self._columns = (*self._columns[:index], replace(column, width=width), *self._columns[index + 1 :])
            self._columns_changed()

    def _tell_width(self, index: int) -> None:
        column = self._columns[index]
        self.post_message(self.ColumnResized(column.key, column.width))

    def _show_columns_from(self, first: int) -> None:
        if first != self._first_column:
            self._first_column = first
            self._columns_changed()

    def _columns_changed(self) -> None:
        self._laid_out = self._painter = None
        self.refresh()

    def _refresh_header(self) -> None:
        self.refresh(Region(0, 0, self._width, HEADER))

    def _header(self) -> Strip:
        return (self._painter or self._new_painter()).header(self.sort, self.selected_column)

    @property
    def _width(self) -> int:
        """Cells of a line, beside the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _layout(self) -> TableLayout:
        width = self._width
        if self._laid_out is None or self._laid_out.width != width:
            self._laid_out = lay_out(self._columns, width, self.fixed_columns, self._first_column)
            self._painter = None
        return self._laid_out

    def _new_painter(self) -> TablePainter:
        self._painter = TablePainter(self._columns, self._layout, self.glyphs, self.rich_style, self._component)
        return self._painter

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"runtable--{name}", partial=True, default=Style.null())
