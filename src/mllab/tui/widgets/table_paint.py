"""Rows and headers as strips: as few styled pieces as will do, because each costs about 45 bytes on the wire."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip

from mllab.security import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from mllab.tui.widgets.table_layout import TableLayout
    from mllab.tui.widgets.table_model import TableColumn, TableGlyphs, TableRow

# What terminals disagree about: selectors that turn a sign into a picture, and skin tones.
_DISPUTED = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
_STRIPS_KEPT = 1024


def cell_text(text: str, width: int, align: Literal["left", "right"], ellipsis: str = "…") -> str:
    """Return text from outside as exactly ``width`` cells: made safe, cut with an ellipsis, or padded.

    >>> cell_text("0.25", 6, "right")
    '  0.25'
    """
    if text.isascii() and text.isprintable():
        if len(text) > width:
            return text[: width - 1] + ellipsis
        return text.rjust(width) if align == "right" else text.ljust(width)
    text = terminal.fit(_measurable(terminal.line(text)), width, ellipsis)
    padding = " " * (width - terminal.width(text))
    return padding + text if align == "right" else text + padding


def _measurable(text: str) -> str:
    """Return text without the characters of which terminals disagree how wide they are."""
    if cell_len(text) == terminal.width(text):
        return text
    text = _DISPUTED.sub("", text)
    if cell_len(text) == terminal.width(text):
        return text
    return "".join(each if each.isascii() else "\ufffd" for each in text)


class _Pieces:
    """Text in runs of one style. Blanks join the run before them where that looks the same."""

    def __init__(self, style: Style) -> None:
        self._texts: list[str] = []
        self._style = style
        self.segments: list[Segment] = []

    def add(self, text: str, style: Style) -> None:
        if style is not self._style and not (text.isspace() and _alike(style, self._style)):
            if self._texts:
                self.close()
            self._style = style
        self._texts.append(text)

    def close(self) -> list[Segment]:
        self.segments.append(Segment("".join(self._texts), self._style))
        self._texts = []
        return self.segments


@lru_cache(1024)
def _alike(one: Style, other: Style) -> bool:
    """Whether blanks look the same in both styles."""
    drawn = (one.underline, one.reverse, one.strike, one.overline)
    return one.bgcolor == other.bgcolor and drawn == (other.underline, other.reverse, other.strike, other.overline)


class TablePainter:
    """Paints the lines of one layout in one theme, and keeps the strips; another layout or theme needs another one.

    ``partial`` returns what a component class adds to the table's own style ``base``.
    """

    def __init__(
        self,
        columns: Sequence[TableColumn],
        layout: TableLayout,
        glyphs: TableGlyphs,
        base: Style,
        partial: Callable[[str], Style],
    ) -> None:
        self._columns = columns
        self._layout = layout
        self._glyphs = glyphs
        self._base = base
        self._partial = partial
        self._slots: list[tuple[int, str, int, Literal["left", "right"]]] = []
        end = 3  # the cursor's bar, the mark and the glyph
        for place in layout.placed:
            self._slots.append((place.index, " " * (place.x - end), place.width, columns[place.index].align))
            end = place.x + place.width
        self._rest = " " * (layout.width - end)
        self._is_tiny = layout.width < end
        self._styles: dict[tuple[str, str], Style] = {}
        self._known: dict[Style, Style] = {}
        self._strips: LRUCache[tuple[str | None, str, bool], tuple[TableRow | None, Strip]] = LRUCache(_STRIPS_KEPT)

    def line(self, row: TableRow | None, *, state: str = "", marked: bool = False) -> Strip:
        """Return a row in a state: ``""``, ``"cursor"`` or ``"cursor-blurred"``; without a row, a placeholder."""
        key = (row.key if row else None, state, marked)
        found = self._strips.get(key)
        if found is not None and (found[0] is row or found[0] == row):
            return found[1]
        strip = self._row(row, state, marked=marked) if row else self._placeholder(state)
        self._strips[key] = (row, strip)
        return strip

    def blank(self, text: str = "") -> Strip:
        """Return a line that is no row: empty, or with a remark."""
        return Strip([Segment(cell_text(f"  {text}", self._layout.width, "left"), self._base)], self._layout.width)

    def header(self, sort: tuple[str, bool] | None, selected: int) -> Strip:
        """Return the titles, with an arrow at the sorted column and ``<`` ``>`` where columns are hidden."""
        layout, glyphs = self._layout, self._glyphs
        style, chosen = self._style("header", ""), self._style("header-selected", "header")
        pieces = _Pieces(style)
        pieces.add(" " * min(layout.width, layout.placed[0].x if layout.placed else layout.width), style)
        end = 0
        for place in layout.placed:
            column = self._columns[place.index]
            if end:
                hidden = layout.before and place.index == layout.first
                pieces.add("<" if hidden else glyphs.border, style)
            title = column.title
            if sort and sort[0] == column.key:
                arrow = glyphs.descending if sort[1] else glyphs.ascending
                room = place.width - 1
                title = cell_text(title, min(terminal.width(title), room), "left", glyphs.ellipsis) if room else ""
                gap = " " if terminal.width(title) < room else ""
                title = f"{arrow}{gap}{title}" if column.align == "right" else f"{title}{gap}{arrow}"
            text = cell_text(title, place.width, column.align, glyphs.ellipsis)
            pieces.add(text, chosen if place.index == selected else style)
            end = place.x + place.width
        if end < layout.width:
            pieces.add((glyphs.border if end else " ") + " " * (layout.width - end - 1), style)
        strip = Strip(pieces.close(), layout.width)
        if layout.after:
            strip = Strip([*strip.crop(0, layout.width - 1), Segment(">", style)], layout.width)
        if layout.before and not layout.frozen and layout.width > 3:
            strip = Strip([*strip.crop(0, 3), Segment("<", style), *strip.crop(4)], layout.width)
        return strip

    def _row(self, row: TableRow, state: str, *, marked: bool) -> Strip:
        glyphs, cells = self._glyphs, row.cells
        plain = self._style("", state)
        pieces = _Pieces(plain)
        add = pieces.add
        add(glyphs.cursor if state else " ", plain)
        if marked:
            add(glyphs.mark, self._style("mark", state))
        else:
            add(" ", plain)
        add(cell_text(row.glyph, 1, "left", glyphs.ellipsis), self._style(row.glyph_style, state))
        for index, gap, width, align in self._slots:
            add(gap, plain)
            text, name = cells[index] if index < len(cells) else ("", "")
            add(cell_text(text, width, align, glyphs.ellipsis), self._style(name, state) if name else plain)
        add(self._rest, plain)
        return (
            Strip(pieces.close()).crop(0, self._layout.width)
            if self._is_tiny
            else Strip(pieces.close(), self._layout.width)
        )

    def _placeholder(self, state: str) -> Strip:
        glyphs, layout = self._glyphs, self._layout
        text = (glyphs.cursor if state else " ").ljust(layout.placed[0].x if layout.placed else layout.width)
        for place in layout.placed:
            text = text.ljust(place.x)
            text += cell_text(glyphs.ellipsis, place.width, self._columns[place.index].align)
        text = text.ljust(layout.width)[: layout.width]
        return Strip([Segment(text, self._style("" if state else "dim", state))], layout.width)

    def _style(self, name: str, state: str) -> Style:
        """Return the style of a component in a line's state.

        On the cursor's line a component keeps its bold and underline but not its colour, which need not be readable
        there; and the line is one piece more often.
        """
        style = self._styles.get((name, state))
        if style is None:
            if state in ("", "header"):
                style = self._base + self._partial(state or "row") + self._partial(name or "row")
            else:
                own = self._partial(name or "row")
                style = self._base + self._partial(state)
                kept = Style(bold=own.bold or None, underline=own.underline or None, italic=own.italic or None)
                style += kept
            style = self._known.setdefault(style, style)
            self._styles[name, state] = style
        return style
