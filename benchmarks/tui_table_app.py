"""A table and nothing else: ``python -m benchmarks.tui_table_app WIDGET ROWS`` in a terminal.

All widgets get the same rows and columns of known widths, and show a row as the cursor. The peers get the whole
table, as they need it; ``mllab`` gets rows when it asks for them, from the same Arrow table.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from textual.app import App, ComposeResult
from textual.binding import Binding

from mllab.tui.widgets.runtable import RunTable, TableCell, TableColumn, TableRow

if TYPE_CHECKING:
    from textual.widget import Widget

TEXTS = ("name", "status", "host")
NUMBERS = tuple(f"metric/{letter}" for letter in "abcdefghi")
WIDTHS = {"name": 12, "status": 9, "host": 8}
NUMBER_WIDTH = 8


def made_up(rows: int) -> pa.Table:
    """Return a table of 12 columns: three of text and nine of numbers."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "name": [row_name(index) for index in range(rows)],
        "status": np.array(["finished", "finished", "failed", "running"])[random.integers(0, 4, rows)],
        "host": [f"node-{index % 50:02d}" for index in range(rows)],
    }
    columns |= {name: np.round(random.random(rows), 4) for name in NUMBERS}
    return pa.table(columns)


def row_name(index: int) -> str:
    """Return the text by which a row is told from the others."""
    return f"run-{index:07d}"


class ArrowRows:
    """A source that takes what is wanted out of an Arrow table, and keeps what is near."""

    KEPT = 1000

    def __init__(self, app: App[None], table: pa.Table) -> None:
        self._app = app
        self._table = table
        self._rows: dict[int, TableRow] = {}

    def __len__(self) -> int:
        return len(self._table)

    def row(self, index: int) -> TableRow | None:
        return self._rows.get(index)

    def want(self, start: int, stop: int) -> None:
        missing = [index for index in range(start, stop) if index not in self._rows]
        if missing:
            self._app.call_later(self._load, missing[0], missing[-1] + 1)

    def _load(self, start: int, stop: int) -> None:
        if len(self._rows) > self.KEPT:
            self._rows = {index: row for index, row in self._rows.items() if abs(index - start) < self.KEPT // 2}
        columns = [column.to_pylist() for column in self._table.slice(start, stop - start).columns]
        for index, values in enumerate(zip(*columns, strict=True), start):
            numbers = [TableCell(f"{value:.4f}") for value in values[len(TEXTS) :]]
            self._rows[index] = TableRow(values[0], (*map(_text_cell, values[: len(TEXTS)]), *numbers))
        self._app.query_one(RunTable).rows_arrived(start, stop)


def _text_cell(text: str) -> TableCell:
    return TableCell(text, "bad" if text == "failed" else "live" if text == "running" else "")


class TableApp(App[None]):
    """One widget over the whole screen."""

    BINDINGS: ClassVar = [
        Binding("down", "table('move', 1)"),
        Binding("up", "table('move', -1)"),
        Binding("pagedown", "table('page', 1)"),
        Binding("home", "table('home')"),
    ]

    def __init__(self, widget: str, rows: int) -> None:
        super().__init__()
        self._widget = widget
        self._table = made_up(rows)

    def compose(self) -> ComposeResult:
        yield {"mllab": self._run_table, "textual": self._stock, "fastdatatable": self._fast}[self._widget]()

    def on_mount(self) -> None:
        if self._widget == "mllab":
            columns = [TableColumn(name, name, WIDTHS[name]) for name in TEXTS]
            columns += [TableColumn(name, name, NUMBER_WIDTH, "right") for name in NUMBERS]
            self.query_one(RunTable).show(columns, ArrowRows(self, self._table))
        self.screen.focus_next()

    def action_table(self, name: str, *arguments: int) -> None:
        getattr(self.query_one(RunTable), name)(*arguments)

    def _run_table(self) -> Widget:
        return RunTable()

    def _stock(self) -> Widget:
        from textual.widgets import DataTable

        table: DataTable[Any] = DataTable(cursor_type="row")
        for name in self._table.column_names:
            table.add_column(name, width=WIDTHS.get(name, NUMBER_WIDTH))
        table.add_rows(zip(*(column.to_pylist() for column in self._table.columns), strict=True))
        return table

    def _fast(self) -> Widget:
        library = import_module("textual_fastdatatable")  # an extra, so not there when types are checked
        widths = [WIDTHS.get(name, NUMBER_WIDTH) for name in self._table.column_names]
        table: Widget = library.DataTable(
            backend=library.ArrowBackend(self._table), cursor_type="row", column_widths=widths
        )
        return table


if __name__ == "__main__":
    TableApp(sys.argv[1], int(sys.argv[2])).run()
