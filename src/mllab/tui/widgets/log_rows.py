"""Which lines are on which rows: lines of a level, wrapped or not."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from array import array

    from numpy.typing import NDArray


class LogRows:
    """A place has three numbers: its line (of all), its position (among the lines that are shown) and its row.

    Without wrapping row and position are the same. With it, the rows that a line takes are an estimate from its length
    until `measure` is told better, which the view does for every line before it is on screen.
    """

    def __init__(self) -> None:
        self.kept: list[int] | None = None  # the lines that are shown; None: all
        self.total = 0
        self.width = 0  # cells of a row when wrapping; 0: no wrapping
        self._heights: NDArray[np.int64] = np.zeros(0, np.int64)
        self._tops: NDArray[np.int64] = np.zeros(1, np.int64)

    def __len__(self) -> int:
        """Return how many lines are shown."""
        return self.total if self.kept is None else len(self.kept)

    @property
    def height(self) -> int:
        """Rows of everything."""
        return int(self._tops[-1]) if self.width else len(self)

    def line(self, position: int) -> int:
        """Return the line at a position."""
        return position if self.kept is None else self.kept[position]

    def position(self, line: int) -> int:
        """Return the position of a line, or of the last shown line before it."""
        if self.kept is None:
            return max(0, min(line, self.total - 1))
        return max(0, bisect_right(self.kept, line) - 1)

    def top(self, position: int) -> int:
        """Return the first row of a position."""
        return int(self._tops[position]) if self.width else position

    def rows(self, position: int) -> int:
        """Return how many rows a position takes."""
        return int(self._heights[position]) if self.width else 1

    def at_row(self, row: int) -> tuple[int, int]:
        """Return the position that is on a row, and which of its rows it is."""
        if not self.width:
            return row, 0
        position = int(np.searchsorted(self._tops, row, "right")) - 1
        return position, row - int(self._tops[position])

    def rebuild(self, lengths: array[int], width: int, *, afresh: bool = True) -> None:
        """Estimate the rows of lines from their lengths; ``afresh`` is false when lines were only added."""
        afresh = afresh or width != self.width
        self.width = width
        if not width:
            return
        known = 0 if afresh else min(len(self._heights), len(self))
        added = np.array(lengths[known:] if self.kept is None else [lengths[line] for line in self.kept[known:]])
        estimate = np.maximum(1, -(-added.astype(np.int64) // width))
        self._heights = np.concatenate([self._heights[:known], estimate])
        self._add_up()

    def measure(self, heights: dict[int, int]) -> bool:
        """Correct the rows of positions; return whether any was wrong."""
        wrong = {position: rows for position, rows in heights.items() if self._heights[position] != rows}
        for position, rows in wrong.items():
            self._heights[position] = rows
        if wrong:
            self._add_up()
        return bool(wrong)

    def _add_up(self) -> None:
        self._tops = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._heights)])
