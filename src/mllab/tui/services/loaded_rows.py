"""Rows that are all there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.tui.widgets.table_model import TableRow


class LoadedRows:
    """A table's source over a list."""

    def __init__(self, rows: Sequence[TableRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> TableRow | None:
        """Return a row."""
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def want(self, start: int, stop: int) -> None:
        """Everything is there."""
