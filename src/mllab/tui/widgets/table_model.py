"""What a table shows: columns, and rows that come when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column; ``width`` and ``min_width`` are in terminal cells."""

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"
    min_width: int = 4


class TableCell(NamedTuple):
    """One value as text from outside, shown as it is; ``style`` is the end of a component class (``ok``, ``dim``).

    Cells and rows are tuples because thousands are made for a page: a frozen dataclass takes four times as long.
    """

    text: str
    style: str = ""


class TableRow(NamedTuple):
    """One line; ``key`` tells what it is about (a run id), and marks and the cursor follow it.

    ``glyph`` takes one cell before the columns: running, failed, lost.
    """

    key: str
    cells: tuple[TableCell, ...]
    glyph: str = " "
    glyph_style: str = ""


class RowSource(Protocol):
    """Rows by index. Every call returns at once; what has to be fetched arrives later (``RunTable.rows_arrived``)."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    def row(self, index: int) -> TableRow | None:
        """Return a row, or None where it is not loaded."""

    def want(self, start: int, stop: int) -> None:
        """Say that rows from ``start`` up to ``stop`` are on screen or will be soon. A later call replaces it."""


@dataclass(frozen=True, slots=True)
class TableGlyphs:
    """The signs of a table, one cell each."""

    cursor: str = "▌"
    mark: str = "●"
    ellipsis: str = "…"
    ascending: str = "▲"
    descending: str = "▼"
    border: str = "│"


ASCII_GLYPHS = TableGlyphs(cursor=">", mark="*", ellipsis="~", ascending="^", descending="v", border="|")


class NoRows:
    """A source without rows."""

    def __len__(self) -> int:
        """Return 0."""
        return 0

    def row(self, index: int) -> TableRow | None:  # noqa: ARG002 - the protocol's argument
        """Return None."""
        return None

    def want(self, start: int, stop: int) -> None:
        """Do nothing."""
