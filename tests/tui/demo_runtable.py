"""``python -m tests.tui.demo_runtable [ROWS]``: the table with made-up runs that take a moment to load."""

from __future__ import annotations

import random
import sys
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from mllab.tui.widgets.runtable import RunTable, TableCell, TableColumn, TableRow

COLUMNS = (
    TableColumn("name", "name", 22, min_width=8),
    TableColumn("status", "status", 9),
    TableColumn("started", "started", 12),
    TableColumn("duration", "duration", 9, "right"),
    TableColumn("loss", "val/loss", 10, "right"),
    TableColumn("accuracy", "val/accuracy", 12, "right"),
    TableColumn("lr", "lr", 8, "right"),
    TableColumn("batch", "batch", 6, "right"),
    TableColumn("optimizer", "optimizer", 9),
    TableColumn("seed", "seed", 5, "right"),
    TableColumn("host", "host", 10),
    TableColumn("tags", "tags", 24),
)
GLYPHS = {"running": ("▶", "live"), "finished": ("✓", "ok"), "failed": ("✗", "bad"), "lost": ("?", "warn")}
TAGS = ("baseline", "日本語のタグ", "🚀 launch", "évaluation", "a\x1b[31mred\x1b[0m", "")


def made_up_row(index: int) -> TableRow:
    """Return the row at an index: always the same one."""
    chance = random.Random(index)
    status = chance.choices(list(GLYPHS), (2, 80, 10, 3))[0]
    loss = chance.lognormvariate(-1, 1)
    texts = (
        f"run-{index:07d}", status, f"{index % 28 + 1:02d} Nov {index % 24:02d}:{index % 60:02d}",
        f"{chance.randrange(1, 60)}m {chance.randrange(60):02d}s", f"{loss:.4f}", f"{chance.random():.4f}",
        f"{10 ** chance.uniform(-5, -1):.0e}", str(2 ** chance.randrange(4, 11)), chance.choice(("adam", "sgd", "lion")),
        str(chance.randrange(10)), f"node-{chance.randrange(40):02d}", chance.choice(TAGS),
    )  # fmt: skip
    glyph, style = GLYPHS[status]
    styles = {1: style if status != "finished" else "", 2: "dim", 4: "best" if loss < 0.05 else ""}
    cells = tuple(TableCell(text, styles.get(place, "")) for place, text in enumerate(texts))
    return TableRow(f"id-{index}", cells, glyph, style)


class MadeUpRows:
    """A source that loads what is wanted after a delay, and keeps only that."""

    def __init__(self, app: App[None], rows: int, delay_s: float) -> None:
        self._app = app
        self._rows = rows
        self._delay_s = delay_s
        self._loaded: dict[int, TableRow] = {}

    def __len__(self) -> int:
        return self._rows

    def row(self, index: int) -> TableRow | None:
        return self._loaded.get(index)

    def want(self, start: int, stop: int) -> None:
        if not all(index in self._loaded for index in range(start, stop)):
            self._app.set_timer(self._delay_s, lambda: self._load(start, stop))

    def _load(self, start: int, stop: int) -> None:
        kept = {index: row for index, row in self._loaded.items() if start - 1000 <= index < stop + 1000}
        self._loaded = kept | {index: kept.get(index) or made_up_row(index) for index in range(start, stop)}
        self._app.query_one(RunTable).rows_arrived(start, stop)


class TableDemo(App[None]):
    """Keys: arrows, page keys, g G, space v u, [ ] columns, s sort, < > width, t theme, q quit."""

    CSS = "#said { height: 1; background: $panel; }"
    BINDINGS: ClassVar = [
        Binding("j,down", "table('move', 1)"), Binding("k,up", "table('move', -1)"),
        Binding("pagedown,ctrl+f", "table('page', 1)"), Binding("pageup,ctrl+b", "table('page', -1)"),
        Binding("ctrl+d", "table('half_page', 1)"), Binding("ctrl+u", "table('half_page', -1)"),
        Binding("g,home", "table('home')"), Binding("G,end", "table('end')"), Binding("enter", "table('enter')"),
        Binding("space", "table('toggle_mark')"), Binding("v", "table('mark_range')"),
        Binding("u", "table('clear_marks')"), Binding("h,left", "column(-1)"), Binding("l,right", "column(1)"),
        Binding("left_square_bracket", "table('scroll_columns', -1)"),
        Binding("right_square_bracket", "table('scroll_columns', 1)"), Binding("s", "sort"),
        Binding("less_than_sign", "table('resize_column', -1)"), Binding("q", "quit"),
        Binding("greater_than_sign", "table('resize_column', 1)"), Binding("t", "theme"),
    ]  # fmt: skip

    def __init__(self, rows: int = 100_000, delay_s: float = 0.05) -> None:
        super().__init__()
        self._rows = rows
        self._delay_s = delay_s

    def compose(self) -> ComposeResult:
        yield RunTable(empty_text="No runs.")
        yield Static(id="said", markup=False)

    def on_mount(self) -> None:
        self.query_one(RunTable).show(COLUMNS, MadeUpRows(self, self._rows, self._delay_s))

    def action_table(self, name: str, *arguments: int) -> None:
        getattr(self.query_one(RunTable), name)(*arguments)

    def action_column(self, columns: int) -> None:
        self.query_one(RunTable).selected_column += columns

    def action_sort(self) -> None:
        table = self.query_one(RunTable)
        key = table.columns[table.selected_column].key
        table.sort = (key, not table.sort[1]) if table.sort and table.sort[0] == key else (key, False)

    def action_theme(self) -> None:
        themes = ("textual-dark", "textual-light", "ansi-dark", "nord")
        self.theme = themes[(themes.index(self.theme) + 1) % len(themes)]

    def on_run_table_cursor_moved(self, event: RunTable.CursorMoved) -> None:
        self.query_one("#said", Static).update(f"{event.index:,} {event.key}")

    def on_run_table_header_clicked(self, event: RunTable.HeaderClicked) -> None:
        self.query_one("#said", Static).update(f"header {event.key}")

    def on_run_table_column_resized(self, event: RunTable.ColumnResized) -> None:
        self.query_one("#said", Static).update(f"width of {event.key}: {event.width}")

    def on_run_table_row_opened(self, event: RunTable.RowOpened) -> None:
        self.query_one("#said", Static).update(f"opened {event.key}")


if __name__ == "__main__":
    TableDemo(int(sys.argv[1]) if sys.argv[1:] else 100_000).run()
