"""What needs attention: failures, NaN, divergence, stalled and lost runs, each until it was seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.widgets import Static

from mllab.query.inbox import Item, attention
from mllab.tui.acting import bindings
from mllab.tui.place import Place
from mllab.tui.screens.table_actions import TableActions
from mllab.tui.services.loaded_rows import LoadedRows
from mllab.tui.widgets.runtable import RunTable
from mllab.tui.widgets.table_model import TableCell, TableColumn, TableRow
from mllab.wording import ago, plural

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

SNOOZE_S = 86_400
REFRESH_S = 5.0
_GLYPHS = {"failed": ("✗", "bad"), "killed": ("■", "warn"), "lost": ("?", "warn"), "nan": ("!", "bad")}
_COLUMNS = (
    TableColumn("kind", "what", 10),
    TableColumn("when", "when", 9, "right"),
    TableColumn("name", "run", 26),
    TableColumn("text", "details", 90),
)


class InboxScreen(TableActions):
    """Items that nobody has seen yet."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("inbox", "table")]
    scopes = ("inbox", "table")
    name_of_screen = "inbox"
    DEFAULT_CSS = """
    InboxScreen RunTable { height: 1fr; }
    InboxScreen #inbox-note { height: 1; padding: 0 1; background: $surface; color: $foreground-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, Item] = {}
        self._shows_all = False
        self._version: object = None
        self._looked = 0.0

    def compose_body(self) -> ComposeResult:
        """Return a note above the table."""
        with Vertical(id="body"):
            yield Static("", id="inbox-note", markup=False)
            yield RunTable(empty_text="Nothing needs attention.")

    def place(self) -> Place:
        """Return whether seen items are shown."""
        return Place("inbox", "", {"all": "1"} if self._shows_all else {})

    async def arrive(self, place: Place) -> None:
        """Show the items."""
        self._shows_all = bool(place.state.get("all"))
        self.table.focus()
        await self._read()

    def crumbs(self) -> tuple[str, ...]:
        """Return how many items there are."""
        return (f"Inbox ({len(self._items):,})",)

    async def refresh_lab(self) -> None:
        """Look again when something has happened, not more often than every few seconds."""
        engine = self.mllab.reader.lab.engine
        snapshot = await self.mllab.reader.call(engine.refresh)
        if snapshot.version != self._version and time.monotonic() - self._looked > REFRESH_S:
            self._version = snapshot.version
            await self._read()

    async def _read(self) -> None:
        self._looked = time.monotonic()
        found = await self.mllab.reader.call(attention, self.mllab.reader.lab.engine)
        seen, now_s = self.mllab.state.seen, time.time()
        hidden = {each.id for each in found if each.id in seen and (seen[each.id] == 0 or seen[each.id] > now_s)}
        shown = [each for each in found if self._shows_all or each.id not in hidden]
        self._items = {each.id: each for each in shown}
        self.table.show(_COLUMNS, LoadedRows([_row(each, now_s, is_seen=each.id in hidden) for each in shown]))
        note = (
            f"{plural(len(shown), 'item')}. a: seen, s: until tomorrow, A: {'only new' if self._shows_all else 'all'}"
        )
        self.query_one("#inbox-note", Static).update(note)
        self.show_bars()

    def _chosen(self) -> list[Item]:
        row = self.table.cursor_row
        keys = self.table.marks or ({row.key} if row is not None else set())
        return [self._items[key] for key in keys if key in self._items]

    @on(RunTable.RowOpened)
    async def _opened(self, event: RunTable.RowOpened) -> None:
        item = self._items.get(event.key)
        if item is None:
            return
        state = {"tab": "charts", "metrics": item.key} if item.key else {"tab": "logs"}
        await self.mllab.go(Place("run", item.run_id, state))

    def do_show(self, _: str) -> None:
        """Open the run."""
        self.table.enter()

    async def do_acknowledge(self, _: str) -> None:
        """Take items out, or put them back."""
        seen = self.mllab.state.seen
        for item in self._chosen():
            if item.id in seen:
                del seen[item.id]
            else:
                seen[item.id] = 0
        await self._changed()

    async def do_snooze(self, _: str) -> None:
        """Hide items until tomorrow."""
        for item in self._chosen():
            self.mllab.state.seen[item.id] = time.time() + SNOOZE_S
        await self._changed()

    async def do_all(self, _: str) -> None:
        """Show seen items too, or hide them."""
        self._shows_all = not self._shows_all
        await self._read()

    async def _changed(self) -> None:
        self.table.clear_marks()
        self.mllab.remember()
        await self._read()

    def do_mark_all(self, _: str) -> None:
        """Mark every item."""
        self.table.mark_keys(self._items)


def _row(item: Item, now_s: float, *, is_seen: bool) -> TableRow:
    glyph, style = _GLYPHS.get(item.kind, ("!", "warn"))
    dim = "dim" if is_seen else ""
    cells = (
        TableCell(item.kind, dim or style),
        TableCell(ago(item.time_us, now_s), "dim"),
        TableCell(item.name, dim),
        TableCell(item.text, dim),
    )
    return TableRow(item.id, cells, glyph, dim or style)
