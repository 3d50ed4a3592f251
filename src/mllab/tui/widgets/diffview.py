"""A diff on screen: numbers of both sides, glyphs beside colours, and what is unchanged folded away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip

from mllab.security.terminal import line as safe_line
from mllab.tui.widgets.diff_lines import (
    ADDED,
    HEADER,
    HUNK,
    NOTE,
    REMOVED,
    SAME,
    DiffLine,
    changed_part,
    of_patch,
    of_texts,
    partners,
)
from mllab.tui.widgets.log_paint import Span, window
from mllab.tui.widgets.log_tints import TintedView

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events

# Texts up to this size are read at once, in a few milliseconds; larger ones in a thread.
_AT_ONCE = 40_000
_CONTEXT = 3
_MAX_CHARACTERS = 5_000
_SIGNS = {ADDED: "+", REMOVED: "-"}


class DiffView(TintedView, can_focus=True):
    """Shows a unified diff, or what differs between two texts.

    Text is shown as it is, controls and invisible characters as escapes, so that a diff hides nothing.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "diffview--added", "diffview--removed", "diffview--changed", "diffview--header", "diffview--hunk",
        "diffview--dim", "diffview--cursor",
    }  # fmt: skip
    DEFAULT_CSS = """
    DiffView {
        background: $surface;
        color: $foreground;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
    }
    DiffView > .diffview--added { color: $text-success; }
    DiffView > .diffview--removed { color: $text-error; }
    DiffView > .diffview--changed { text-style: bold underline; }
    DiffView > .diffview--header { text-style: bold; }
    DiffView > .diffview--hunk { color: $text-accent; }
    DiffView > .diffview--dim { color: $foreground 65%; }
    DiffView > .diffview--cursor { background: $foreground 12%; }
    DiffView:focus > .diffview--cursor { background: $foreground 20%; }
    DiffView:ansi > .diffview--cursor { background: ansi_default; }
    DiffView:ansi > .diffview--dim { color: ansi_default; text-style: dim; }
    """

    cursor: reactive[int] = reactive(0, repaint=False)  # a row

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # as in every widget
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._lines: list[DiffLine] = []
        self._partners: dict[int, int] = {}
        self._rows: list[tuple[int, int]] = []  # which lines a row stands for: one, or those that it folds away
        self._groups: list[tuple[int, int]] = []  # lines that can be folded
        self._folded: set[int] = set()  # groups, by their first line
        self._generation = 0

    # What is shown

    def show_patch(self, patch: str) -> None:
        """Show a unified diff; each file can be folded."""
        self._show(lambda: of_patch(patch), len(patch))

    def show_diff(self, left: str, right: str, names: tuple[str, str] = ("before", "after")) -> None:
        """Show what differs between two texts, unchanged stretches folded."""
        self._show(lambda: of_texts(left, right, names), len(left) + len(right))

    def _show(self, read: Callable[[], list[DiffLine]], size: int) -> None:
        self._generation += 1
        if size <= _AT_ONCE or not self.is_attached:
            self._take(read())
            return
        self._take([DiffLine(NOTE, 0, 0, "comparing …")])
        self.run_worker(self._read_aside(read, self._generation), group="diffview")

    async def _read_aside(self, read: Callable[[], list[DiffLine]], generation: int) -> None:
        lines = await asyncio.to_thread(read)
        if generation == self._generation:
            self._take(lines)

    def _take(self, lines: list[DiffLine]) -> None:
        self._lines = lines
        self._partners = partners(lines)
        self._groups = _foldable(lines)
        self._folded = {start for start, _ in self._groups if lines[start].kind == SAME}
        self.set_reactive(DiffView.cursor, 0)
        self._lay_out()
        self.scroll_to(0, 0, animate=False)

    @property
    def counts(self) -> tuple[int, int]:
        """How many lines were added and removed."""
        kinds = [line.kind for line in self._lines]
        return kinds.count(ADDED), kinds.count(REMOVED)

    # Folding

    def toggle_fold(self) -> None:
        """Fold or unfold what the cursor is on: an unchanged stretch, or a file by its header."""
        if not self._rows:
            return
        at = self._rows[self.cursor][0]
        for start, stop in self._groups:
            is_file = self._lines[start].kind != SAME
            if (start - 1 if is_file else start) <= at < (start if is_file else stop):
                self._folded ^= {start}
                self._lay_out()
                self._show_cursor()
                return

    def fold_all(self, *, is_folded: bool = True) -> None:
        """Fold or unfold everything, keeping the cursor's line on screen."""
        at = self._rows[self.cursor][0] if self._rows else 0
        self._folded = {start for start, _ in self._groups} if is_folded else set()
        self._lay_out()
        self.cursor = next((row for row, (_, stop) in enumerate(self._rows) if at < stop), 0)

    def _lay_out(self) -> None:
        rows = []
        at = 0
        folded = {start: stop for start, stop in self._groups if start in self._folded}
        while at < len(self._lines):
            stop = folded.get(at, at + 1)
            rows.append((at, stop))
            at = stop
        self._rows = rows
        self.cursor = min(self.cursor, max(0, len(rows) - 1))
        longest = max((len(line.text) for line in self._lines), default=0)
        width = self._gutter_width() + min(longest, _MAX_CHARACTERS)
        self.virtual_size = Size(width, len(rows))
        self.refresh()

    # Moving

    def validate_cursor(self, cursor: int) -> int:
        """Keep it on a row."""
        return max(0, min(cursor, len(self._rows) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint two rows."""
        for row in (old, new):
            self.refresh(Region(0, row - self.scroll_offset.y, self.size.width, 1))
        self._show_cursor()

    def _show_cursor(self) -> None:
        height = self.scrollable_content_region.height
        y = self.scroll_offset.y
        target = min(y, self.cursor) if self.cursor < y else max(y, self.cursor - height + 1)
        if target != y:
            self.scroll_to(y=target, animate=False)

    def move(self, n: int) -> None:
        """Move the cursor by rows."""
        self.cursor += n

    def page(self, n: int) -> None:
        """Move by screens, less one row."""
        self.cursor += n * max(1, self.scrollable_content_region.height - 1)

    def home(self) -> None:
        """Go to the first row."""
        self.cursor = 0

    def end(self) -> None:
        """Go to the last row."""
        self.cursor = len(self._rows) - 1

    def scroll_columns(self, n: int) -> None:
        """Scroll sideways by cells."""
        self.scroll_to(x=self.scroll_offset.x + n, animate=False)

    def next_change(self) -> None:
        """Go to where the next change begins, if there is one."""
        self._to_change(range(self.cursor + 1, len(self._rows)))

    def previous_change(self) -> None:
        """Go to where the change before begins, if there is one."""
        self._to_change(range(self.cursor - 1, -1, -1))

    def _to_change(self, rows: range) -> None:
        for row in rows:
            if self._is_change(row) and not self._is_change(row - 1):
                self.cursor = row
                return

    def _is_change(self, row: int) -> bool:
        return row >= 0 and self._lines[self._rows[row][0]].kind in _SIGNS

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click folds."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y + self.scroll_offset.y < len(self._rows):
            self.cursor = offset.y + self.scroll_offset.y
            if event.chain == 2:
                self.toggle_fold()

    # Painting

    def _number_width(self) -> int:
        return max((len(str(max(line.old, line.new))) for line in self._lines[-400:]), default=1)

    def _gutter_width(self) -> int:
        return 2 * self._number_width() + 5

    def render_line(self, y: int) -> Strip:
        """Return one row of the screen."""
        width = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        base = self._base()
        if row >= len(self._rows):
            return Strip.blank(width, base)
        start, stop = self._rows[row]
        line = self._lines[start]
        if row == self.cursor:
            base += Style(bgcolor=self._tint("diffview--cursor", keeps_background=True).bgcolor, bold=True)
        cursor = "▸" if row == self.cursor else " "
        dim = base + self._tint("diffview--dim")
        if stop - start > 1 or start in self._folded:
            what = "unchanged lines" if line.kind == SAME else "lines folded"
            text, style, numbers = f"⋯ {stop - start:,} {what}", dim, ""
            spans: list[Span] = []
        else:
            text, style, spans = self._styled(start, base)
            numbers = self._numbers(line)
        sign = _SIGNS.get(line.kind, " ")
        gutter = [
            Segment(cursor, base),
            Segment(f"{numbers:{self._gutter_width() - 3}}", dim),
            Segment(f"{sign} ", style),
        ]
        room = max(0, width - self._gutter_width())
        strip = Strip([*gutter, *window(text, style, spans, self.scroll_offset.x, room)])
        return strip.adjust_cell_length(width, base)

    def _numbers(self, line: DiffLine) -> str:
        if line.kind not in (ADDED, REMOVED, SAME):
            return ""
        width = self._number_width()
        return f"{line.old or '':>{width}} {line.new or '':>{width}}"

    def _styled(self, at: int, base: Style) -> tuple[str, Style, list[Span]]:
        """Return a line's safe text, its style, and what its partner does not share."""
        line = self._lines[at]
        text = _safe(line.text)
        if line.kind in (HEADER, HUNK):
            return text, base + self._tint(f"diffview--{line.kind}"), []
        if line.kind == NOTE:
            return text, base + self._tint("diffview--dim"), []
        if line.kind == SAME:
            return text, base, []
        style = base + self._tint(f"diffview--{line.kind}")
        partner = self._partners.get(at)
        part = changed_part(text, _safe(self._lines[partner].text)) if partner is not None else None
        return text, style, [(*part, self._tint("diffview--changed"))] if part else []


def _safe(text: str) -> str:
    cut = text[:_MAX_CHARACTERS]
    more = f" … {len(text) - len(cut):,} more characters" if len(text) > len(cut) else ""
    return safe_line(cut.expandtabs(4)) + more


def _foldable(lines: list[DiffLine]) -> list[tuple[int, int]]:
    """Return what can be folded: long unchanged stretches but for some lines around changes, else each file's diff."""
    groups = []
    headers = [at for at, line in enumerate(lines) if line.kind == HEADER]
    if any(line.kind == HUNK for line in lines):
        return [(at + 1, stop) for at, stop in zip(headers, [*headers[1:], len(lines)], strict=True) if stop > at + 1]
    at = 0
    while at < len(lines):
        start = at
        while at < len(lines) and lines[at].kind == SAME:
            at += 1
        # Nothing changed before the first line of the text and after its last, so no context is kept there.
        first = start + (_CONTEXT if start > 1 else 0)
        last = at - (_CONTEXT if at < len(lines) else 0)
        if last - first > 1:
            groups.append((first, last))
        at = max(at, start + 1)
    return groups
