"""Turns what a program writes to a terminal into the lines that a reader would have seen in the end."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LINE = 1 << 20
MAX_TEXT = 64 << 10
MAX_STATE = 4096
MAX_OPEN_ROWS = 200
HIDDEN_REACH = 20
# Lines printed within this time of each other become one text.
GROUP_US = 100_000

_CONTROL = re.compile(r"\r|\n|\x08+|\x1b\[(?P<count>\d{0,3})(?P<move>[AF])|\x1b\[[02]?K|\x1b\[0?J|\x1b\[\?25[lh]")
_NEEDS_SCREEN = re.compile(r"[\r\x08\x1b]")


class Text(NamedTuple):
    """Whole lines, each with its newline; or, without one at the end, the state of lines still being written."""

    text: str
    time_us: int


class _Row:
    __slots__ = ("pieces", "size", "time_us")

    def __init__(self, time_us: int) -> None:
        self.pieces: list[str] = []
        self.size = 0
        self.time_us = time_us

    def clear(self) -> None:
        self.pieces.clear()
        self.size = 0

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class Screen:
    r"""The lines of one stream that may yet change. Understands ``\r``, backspaces, moving up, and erasing.

    A row counts as finished when the cursor has left it for good: when it lies further above the cursor than the
    cursor has lately moved up (or may, while a live display hides it). So a single progress bar is one row, and
    nested bars, which move up and down over a few rows, do not leave a line behind for every refresh.
    """

    def __init__(self) -> None:
        self._rows = [_Row(0)]
        self._cursor = 0
        self._is_at_start = True  # of its row: what is written next takes the place of what is there
        self._reach = 0
        self._is_hidden = False
        self._finished: list[Text] = []
        self._shown = ""

    def write(self, text: str, time_us: int) -> None:
        """Apply what was written at ``time_us``."""
        position = 0
        if not self._reach and text.count("\n") > MAX_OPEN_ROWS and not _NEEDS_SCREEN.search(text):
            # Page after page of plain lines: all but the last page is out of anybody's reach.
            position = len(text.rsplit("\n", MAX_OPEN_ROWS // 2)[0]) + 1
            self._write_lines(text[:position], time_us)
        for control in _CONTROL.finditer(text, position):
            self._put(text[position : control.start()], time_us)
            position = control.end()
            self._control(control, time_us)
        self._put(text[position:], time_us)
        if len(self._rows) > MAX_OPEN_ROWS:
            self._finish(max(0, min(self._cursor, len(self._rows) - MAX_OPEN_ROWS // 2)))

    def finished(self) -> list[Text]:
        """Return the lines that will not change any more, and forget them."""
        reach = max(self._reach, HIDDEN_REACH) if self._is_hidden else self._reach
        self._finish(max(0, self._cursor - reach))
        finished, self._finished = self._finished, []
        return finished

    def unfinished(self) -> list[Text]:
        """Return the state of the rows that may yet change, if it is another than the last time; ends an interval."""
        self._reach = 0
        text = "\n".join(row.text() for row in self._rows).rstrip()[-MAX_STATE:]
        if not text or text == self._shown:
            return []
        if self._shown and text.startswith(self._shown) and len(text) < 2 * len(self._shown):
            return []  # a line that only grows, as by dots: showing it each time would add up to its square
        self._shown = text
        return [Text(text, self._rows[0].time_us)]

    def close(self) -> list[Text]:
        """Return what is left as lines."""
        last = len(self._rows)
        while last > self._cursor and not self._rows[last - 1].text().strip():
            last -= 1  # where bars were, and nothing is left
        self._finish(last)
        finished, self._finished = self._finished, []
        return finished

    def _write_lines(self, text: str, time_us: int) -> None:
        """Apply whole lines, all of them finished at once."""
        first = text.index("\n") + 1
        self._put(text[: first - 1], time_us)
        self._rows = self._rows[: self._cursor + 1]
        self._finish(len(self._rows))
        self._add(text[first:], time_us)
        self._cursor = 0
        self._is_at_start = True

    def _put(self, text: str, time_us: int) -> None:
        """Write plain text, without newlines, at the cursor."""
        if not text:
            return
        row = self._rows[self._cursor]
        if self._is_at_start:
            row.clear()
            self._is_at_start = False
        if not row.size:
            row.time_us = time_us
        while row.size + len(text) > MAX_LINE:
            # A line without an end is broken, so that nothing here grows for ever.
            room = MAX_LINE - row.size
            row.pieces.append(text[:room])
            row.size += room
            text = text[room:]
            self._cursor += 1
            row = _Row(time_us)
            self._rows.insert(self._cursor, row)
            self._finish(self._cursor)
        row.pieces.append(text)
        row.size += len(text)

    def _control(self, control: re.Match[str], time_us: int) -> None:
        mark = control[0]
        row = self._rows[self._cursor]
        if mark == "\n":
            self._cursor += 1
            if self._cursor == len(self._rows):
                self._rows.append(_Row(time_us))
            if not row.time_us:
                row.time_us = time_us
            self._is_at_start = True
        elif mark == "\r":
            self._is_at_start = True
        elif mark[0] == "\x08":
            kept = row.text()[: -len(mark)]
            row.pieces, row.size = [kept], len(kept)
        elif control["move"]:
            count = int(control["count"] or 1)
            self._reach = max(self._reach, min(count, MAX_OPEN_ROWS // 2))
            self._cursor = max(0, self._cursor - count)
            self._is_at_start |= control["move"] == "F"
        elif mark.endswith("J"):
            del self._rows[self._cursor + 1 :]
            self._erase(row)
        elif mark.startswith("\x1b[?"):
            self._is_hidden = mark.endswith("l")
        elif mark == "\x1b[2K":
            row.clear()
        elif mark.endswith("K"):
            self._erase(row)

    def _erase(self, row: _Row) -> None:
        """Erase from the cursor to the end of its row."""
        if self._is_at_start:
            row.clear()

    def _finish(self, count: int) -> None:
        """Make the first ``count`` rows final."""
        for row in self._rows[:count]:
            self._add(row.text() + "\n", row.time_us)
        del self._rows[:count]
        self._cursor -= count
        if count:
            self._shown = ""
        if not self._rows:
            self._rows = [_Row(0)]

    def _add(self, text: str, time_us: int) -> None:
        """Keep finished lines, in texts of a moderate size."""
        while len(text) > MAX_TEXT:
            # A newline may stand just behind the longest line.
            stop = text.rfind("\n", 0, MAX_TEXT) + 1 or text.find("\n", 0, MAX_LINE + 1) + 1
            self._finished.append(Text(text[:stop] if stop else text[:MAX_LINE] + "\n", time_us))
            text = text[stop or MAX_LINE :]
        if not text:
            return
        if self._finished:
            before = self._finished[-1]
            if time_us - before.time_us < GROUP_US and len(before.text) + len(text) <= MAX_TEXT:
                self._finished[-1] = Text(before.text + text, before.time_us)
                return
        self._finished.append(Text(text, time_us))
