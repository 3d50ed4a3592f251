"""Where the columns of a table stand: some are frozen, the others scroll sideways, a column at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.tui.widgets.table_model import TableColumn

# The cursor's bar, the mark, the row's glyph, a space.
GUTTER = 4
_GAP = 1


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column on screen: its index among all, its first cell, its cells, and whether its right end is cut off."""

    index: int
    x: int
    width: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Columns in ``width`` cells; ``first`` is the leftmost that scrolls, ``before`` and ``after`` tell of hidden ones.

    Between columns stands one cell; the one after a column is its border.
    """

    width: int
    first: int
    placed: tuple[PlacedColumn, ...]
    before: bool
    after: bool
    frozen: int

    def column_at(self, x: int) -> int | None:
        """Return the index of the column that covers a cell."""
        return next((each.index for each in self.placed if each.x <= x < each.x + each.width), None)

    def border_at(self, x: int) -> int | None:
        """Return the index of the column whose right border is a cell."""
        return next((each.index for each in self.placed if each.x + each.width == x and not each.cut), None)


def lay_out(columns: Sequence[TableColumn], width: int, fixed: int, first: int) -> TableLayout:
    """Place columns in ``width`` cells: ``fixed`` frozen ones, then others from index ``first`` on.

    Where not all fit, the frozen ones get at most half of the width, so that the others can be reached in a narrow
    terminal; ``first`` goes no further than the last column needs.
    """
    widths = [max(1, each.width) for each in columns]
    frozen = min(fixed, len(columns))
    if GUTTER + sum(widths) + _GAP * len(widths) > width:
        frozen = _shrink(columns, widths, frozen, max(width // 2, 1) - GUTTER)
    x = GUTTER
    placed = []
    for index in range(frozen):
        placed.append(PlacedColumn(index, x, widths[index]))
        x += widths[index] + _GAP
    last = len(columns)
    first = max(frozen, min(first, _last_first(widths, frozen, width - x)))
    after = False
    for index in range(first, last):
        room = width - x
        cut = widths[index] > room
        if cut and ((room < min(columns[index].min_width, widths[index]) and index > first) or room < 1):
            after = True
            break
        placed.append(PlacedColumn(index, x, min(widths[index], room), cut))
        x += widths[index] + _GAP
        after = cut
        if cut:
            break
    return TableLayout(width, first, tuple(placed), first > frozen, after, frozen)


def revealing(columns: Sequence[TableColumn], width: int, fixed: int, first: int, index: int) -> int:
    """Return the ``first`` nearest to the present one with which a column is shown whole, if one can."""
    layout = lay_out(columns, width, fixed, first)
    if index < layout.frozen or any(each.index == index and not each.cut for each in layout.placed):
        return layout.first
    if index < layout.first:
        return index
    return next(
        (
            start
            for start in range(layout.first + 1, index)
            if any(each.index == index and not each.cut for each in lay_out(columns, width, fixed, start).placed)
        ),
        index,
    )


def _shrink(columns: Sequence[TableColumn], widths: list[int], frozen: int, room: int) -> int:
    """Narrow frozen columns, the last first, until they fit; return how many can stay frozen."""
    for index in reversed(range(frozen)):
        excess = sum(widths[:frozen]) + _GAP * frozen - room
        if excess > 0:
            widths[index] = max(min(columns[index].min_width, widths[index]), widths[index] - excess)
    while frozen and sum(widths[:frozen]) + _GAP * frozen > room:
        frozen -= 1
    return frozen


def _last_first(widths: Sequence[int], frozen: int, room: int) -> int:
    """Return the smallest first column from which on all fit."""
    index = len(widths)
    used = -_GAP
    while index > frozen and used + widths[index - 1] + _GAP <= room:
        index -= 1
        used += widths[index] + _GAP
    return min(index, max(len(widths) - 1, 0))
