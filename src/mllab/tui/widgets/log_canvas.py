"""How lines of a log are laid out and painted: gutter, wrapping, colours, matches, the cursor."""

from __future__ import annotations

from contextlib import contextmanager
from time import localtime, strftime
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.color import Color
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip

from mllab.tui.widgets.log_feed import LogFeed
from mllab.tui.widgets.log_level import ERROR, WARN
from mllab.tui.widgets.log_lines import LogLines
from mllab.tui.widgets.log_paint import Span, cells, contrast, part_of, window, wrapped
from mllab.tui.widgets.log_rows import LogRows
from mllab.tui.widgets.log_text import ShownText, shown
from mllab.tui.widgets.log_tints import TintedView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.selection import Selection

_CACHED = 512
_GLYPHS = {ERROR: "✗", WARN: "!"}
_TIME_CELLS = {"clock": 9, "relative": 10}
# A colour with less contrast to the background hides what it colours.
_LEAST_CONTRAST = 2.0


class LogCanvas(TintedView):
    """Paints the rows that are on screen; each costs as much as is seen of it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "logview--cursor",
        "logview--gutter",
        "logview--stderr",
        "logview--error",
        "logview--warn",
        "logview--match",
        "logview--match-current",
    }
    DEFAULT_CSS = """
    LogCanvas {
        background: $surface;
        color: $foreground;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
    }
    LogCanvas > .logview--cursor { background: $foreground 12%; text-style: bold; }
    LogCanvas:focus > .logview--cursor { background: $foreground 20%; text-style: bold; }
    LogCanvas > .logview--gutter { color: $foreground 65%; }
    LogCanvas > .logview--stderr { color: $text-accent; }
    LogCanvas > .logview--error { color: $text-error; }
    LogCanvas > .logview--warn { color: $text-warning; }
    LogCanvas > .logview--match { background: $accent 35%; text-style: underline; }
    LogCanvas > .logview--match-current { text-style: reverse underline; }
    LogCanvas:ansi > .logview--cursor { background: ansi_default; text-style: bold; }
    LogCanvas:ansi > .logview--match { background: ansi_default; text-style: underline bold; }
    LogCanvas:ansi > .logview--gutter { color: ansi_default; text-style: dim; }
    """

    wrap: reactive[bool] = reactive(default=False)
    show_time: reactive[str] = reactive("off")  # "off", "clock" (local time), "relative" (since the first line)
    show_numbers: reactive[bool] = reactive(default=False)
    cursor: reactive[int] = reactive(0, repaint=False)

    def _reset(self) -> None:
        """Begin without lines."""
        self._lines = LogLines()
        self._rows = LogRows()
        self._feed = LogFeed(self._lines, self._rows)
        self._texts: LRUCache[int, ShownText] = LRUCache(_CACHED)
        self._starts: LRUCache[int, list[int]] = LRUCache(_CACHED)
        self._widest = 0
        self._is_pinning = False  # the view scrolls by itself

    @contextmanager
    def _pinning(self) -> Iterator[None]:
        """Mark scrolling inside the block as the view's own."""
        before, self._is_pinning = self._is_pinning, True
        try:
            yield
        finally:
            self._is_pinning = before

    # Layout

    def _gutter_width(self) -> int:
        """Cells before the text: number, time, and a glyph each for cursor, level and stream."""
        number = len(f"{len(self._lines):,}") + 1 if self.show_numbers else 0
        return number + _TIME_CELLS.get(self.show_time, 0) + 3

    def _body_width(self) -> int:
        return max(1, self.scrollable_content_region.width - self._gutter_width())

    def _lay_out(self, *, afresh: bool = True) -> None:
        """Find out which rows there are; ``afresh`` is false when lines were only added."""
        width = self._body_width() if self.wrap else 0
        if afresh or width != self._rows.width:
            self._starts.clear()
        self._rows.rebuild(self._lines.lengths, width, afresh=afresh)
        widest = 0 if self.wrap else self._gutter_width() + max(self._lines.longest, self._widest)
        size = Size(widest, self._rows.height)
        if size != self.virtual_size:
            with self._pinning():
                self.virtual_size = size

    def _measure(self, first_row: int, count: int) -> None:
        """Learn the true heights of the wrapped lines from a row on; lines above keep their rows."""
        if not self._rows.width or not len(self._rows):
            return
        for _ in range(8):  # heights that shrink bring further lines on screen
            position, _ = self._rows.at_row(max(0, min(first_row, self._rows.height - 1)))
            stop = min(len(self._rows), position + count + 1)
            heights = {at: len(self._row_starts(self._rows.line(at))) for at in range(position, stop)}
            if not self._rows.measure(heights):
                return
            with self._pinning():
                self.virtual_size = Size(0, self._rows.height)

    def _shown_text(self, line: int) -> ShownText:
        found = self._texts.get(line)
        if found is None:
            found = shown(self._lines.texts[line])
            if found.left_out:
                note = f" … {found.left_out:,} more characters"
                found = ShownText(found.text + note, found.spans, found.left_out)
            self._texts.set(line, found)
        return found

    def _row_starts(self, line: int) -> list[int]:
        found = self._starts.get(line)
        if found is None:
            found = wrapped(self._shown_text(line).text, self._rows.width)
            self._starts.set(line, found)
        return found

    def _bounds(self, line: int, part: int) -> tuple[int, int]:
        """Return which characters of a wrapped line are on one of its rows."""
        starts = self._row_starts(line)
        end = len(self._shown_text(line).text)
        return starts[part] if part < len(starts) else end, starts[part + 1] if part + 1 < len(starts) else end

    # Painting

    def render_line(self, y: int) -> Strip:
        """Return one row of the screen."""
        width = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row >= self._rows.height:
            return Strip.blank(width, self._base())
        position, part = self._rows.at_row(row)
        line = self._rows.line(position)
        is_cursor = position == self._rows.position(self.cursor)
        base = self._base()
        if is_cursor:
            base += Style(bgcolor=self._tint("logview--cursor", keeps_background=True).bgcolor, bold=True)
        level = self._lines.level(line)
        text_style = base
        if level >= WARN:
            text_style += self._tint("logview--error" if level == ERROR else "logview--warn")
        gutter = self._gutter(line, part, level, base, is_cursor=is_cursor)
        body = width - self._gutter_width()
        if body <= 0:
            return Strip(gutter).adjust_cell_length(width, base)
        spans = self._spans(line, row, base, is_cursor=is_cursor)
        text = self._shown_text(line).text
        if self._rows.width:
            offset = 0
            strip = part_of(text, text_style, spans, self._bounds(line, part), body)
        else:
            offset = self.scroll_offset.x
            strip = window(text, text_style, spans, offset, body)
            if not text.isascii():
                self._note_width(cells(text))
        # Equal styles side by side are one sequence: fewer bytes on the wire.
        return Strip.join([Strip(gutter).simplify(), strip.simplify().apply_offsets(offset, row)])

    def _note_width(self, width: int) -> None:
        """Make room for a line of wide characters, whose cells were not counted before it was seen."""
        if width > max(self._widest, self._lines.longest):
            self._widest = width
            self.call_later(self._lay_out, afresh=False)

    def _gutter(self, line: int, part: int, level: int, base: Style, *, is_cursor: bool) -> list[Segment]:
        muted = base + self._tint("logview--gutter")
        made = []
        is_first = part == 0
        if self.show_numbers:
            width = len(f"{len(self._lines):,}")
            made.append(Segment(f"{line + 1 if is_first else '':>{width}{',' if is_first else ''}} ", muted))
        if self.show_time in _TIME_CELLS:
            made.append(Segment(self._time(line) if is_first else " " * _TIME_CELLS[self.show_time], muted))
        made.append(Segment("▸" if is_cursor and is_first else " ", base))
        glyph = _GLYPHS.get(level, " ") if is_first else " "
        level_tint = self._tint("logview--error" if level == ERROR else "logview--warn")
        made.append(Segment(glyph, base if glyph == " " else base + level_tint))
        is_stderr = self._lines.stderr[line]
        made.append(Segment("┃", base + self._tint("logview--stderr")) if is_stderr else Segment(" ", base))
        return made

    def _time(self, line: int) -> str:
        width = _TIME_CELLS[self.show_time]
        time_us = self._lines.times[line]
        if not time_us:
            return " " * width
        if self.show_time == "clock":
            return strftime("%H:%M:%S ", localtime(time_us / 1e6))
        since = max(0, time_us - self._lines.first_time()) // 1_000_000
        return f"+{since // 3600}:{since // 60 % 60:02}:{since % 60:02} ".rjust(width)[-width:]

    def _spans(self, line: int, row: int, base: Style, *, is_cursor: bool) -> list[Span]:
        """Return what is painted over a line: its own colours, matches, the selection."""
        content = self._shown_text(line)
        spans: list[Span] = [(start, stop, self._seen(style, base)) for start, stop, style in content.spans]
        search = self._feed.search
        if search is not None:
            tint = self._tint("logview--match-current" if is_cursor else "logview--match", keeps_background=True)
            spans += [(start, stop, tint) for start, stop in search.spans(line, content.text)]
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, stop = self._in_characters(line, row, *span)
            spans.append((start, stop, self.screen.get_component_rich_style("screen--selection")))
        return spans

    def _seen(self, style: Style, base: Style) -> Style:
        """Return a style of the log without a colour that could not be seen on the background."""
        if style.color is None or style.color.is_default or base.bgcolor is None or self.app.native_ansi_color:
            return style
        theme = self.app.ansi_theme
        colors = (Color.from_rich_color(color, theme).rgb for color in (style.color, base.bgcolor))
        return style.without_color if contrast(*colors) < _LEAST_CONTRAST else style

    # Selecting with the mouse

    def _in_characters(self, line: int, row: int, start: int, stop: int) -> tuple[int, int]:
        """Return the part of a line's text that a selection has of one of its rows."""
        if not self._rows.width:
            return start, len(self._shown_text(line).text) if stop < 0 else stop
        first, last = self._bounds(line, self._rows.at_row(row)[1])
        return first + start, last if stop < 0 else min(last, first + stop)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text: rows of one line as one."""
        first = selection.start.y if selection.start else 0
        last = min(selection.end.y if selection.end else self._rows.height - 1, self._rows.height - 1)
        parts: list[str] = []
        before = -1
        for row in range(first, last + 1):
            span = selection.get_span(row)
            position, _ = self._rows.at_row(row)
            line = self._rows.line(position)
            if span is None:
                continue
            start, stop = self._in_characters(line, row, *span)
            text = self._shown_text(line).text[start:stop]
            if line == before:
                parts[-1] += text
            else:
                parts.append(text)
            before = line
        return "\n".join(parts), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002  # what is selected is asked when painting
        """Repaint."""
        self.refresh()

    def _refresh_line_of(self, line: int) -> None:
        """Repaint the rows of one line."""
        if len(self._rows):
            position = self._rows.position(line)
            y = self._rows.top(position) - self.scroll_offset.y
            width = self.scrollable_content_region.width
            self.refresh(Region(0, y, width, self._rows.rows(position)))
