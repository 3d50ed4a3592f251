"""Marked rows, by key: they stay marked while filters, sorting and new rows move them about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mllab.tui.widgets.table_model import RowSource

# How many rows are looked at in one go (about 1 ms), and how many are asked for at once where they are not loaded.
_ROWS_AT_ONCE = 1000
_ROWS_WANTED = 250


class TableMarks:
    """The set of marked keys, and a range that is being marked while its rows load."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self._anchor: tuple[int, str] | None = None
        self._next = 0
        self._stop = 0

    @property
    def is_anchored(self) -> bool:
        """Whether it is known where the next range begins."""
        return self._anchor is not None

    @property
    def is_marking(self) -> bool:
        """Whether rows of the last range are still to be marked."""
        return self._next < self._stop

    def anchor(self, index: int, key: str | None) -> None:
        """Remember the row at which the next range begins."""
        self._anchor = (index, key) if key is not None else None

    def toggle(self, key: str) -> None:
        """Mark a key, or take its mark away."""
        self.keys ^= {key}

    def add(self, keys: Iterable[str]) -> bool:
        """Mark keys; return whether that changed anything."""
        before = len(self.keys)
        self.keys.update(keys)
        return len(self.keys) != before

    def clear(self) -> bool:
        """Take all marks away, and forget where a range would begin; return whether there were marks."""
        had = bool(self.keys)
        self.keys.clear()
        self._anchor = None
        self.stop_range()
        return had

    def begin_range(self, source: RowSource, index: int) -> None:
        """Begin to mark from the anchor, wherever its row is by now, to ``index``; the next range goes on from there.

        Without an anchor the range is one row.
        """
        begin = index if self._anchor is None else _place_of(source, *self._anchor, default=index)
        self._next, self._stop = min(begin, index), max(begin, index) + 1
        row = source.row(index)
        self.anchor(index, row.key if row else None)

    def stop_range(self) -> None:
        """Mark no more of the range: its indexes mean other rows."""
        self._next = self._stop = 0

    def advance(self, source: RowSource) -> tuple[int, int] | None:
        """Mark the next rows of the range; return which rows to ask for where some are not loaded."""
        limit = min(self._stop, self._next + _ROWS_AT_ONCE)
        while self._next < limit:
            row = source.row(self._next)
            if row is None:
                return self._next, min(self._stop, self._next + _ROWS_WANTED)
            self.keys.add(row.key)
            self._next += 1
        return None


def _place_of(source: RowSource, index: int, key: str, *, default: int) -> int:
    """Return where a row is that was at ``index``: there still, if it is not loaded, or nearby."""
    if not 0 <= index < len(source):
        return default
    row = source.row(index)
    if row is None or row.key == key:
        return index
    for place in range(max(0, index - _ROWS_AT_ONCE // 2), min(len(source), index + _ROWS_AT_ONCE // 2)):
        row = source.row(place)
        if row is not None and row.key == key:
            return place
    return default
