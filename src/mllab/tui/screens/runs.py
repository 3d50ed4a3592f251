"""The list of runs: filter, sort, columns, marks, and what is known of the run under the cursor beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from mllab.errors import FilterError, MllabError
from mllab.query.column_lists import split_columns
from mllab.query.filter_complete import complete
from mllab.query.filter_parser import parse
from mllab.query.run_detail import run_detail
from mllab.query.select import EngineKeys
from mllab.tui.acting import bindings, complain, in_background
from mllab.tui.place import Place
from mllab.tui.screens.runs_columns import ColumnActions
from mllab.tui.screens.runs_share import SharingActions
from mllab.tui.services.run_list import WHICH, Listed, RunList, RunView, answer, find_index, run_ids
from mllab.tui.state import MOST_FILTERS
from mllab.tui.widgets.prompt import Completed
from mllab.tui.widgets.runtable import RunTable
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.timer import Timer

DETAIL_DELAY_S = 0.08
MARK_ALL = 100_000
_WHICH_SAID = {
    "present": "Archived and deleted runs are hidden.",
    "archived too": "Archived runs are shown too.",
    "deleted": "Deleted runs: D restores.",
}


class RunsScreen(ColumnActions, SharingActions):
    """The runs of the lab."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("runs", "table")]
    scopes = ("runs", "table")
    name_of_screen = "runs"
    edit_scope = "runs"
    DEFAULT_CSS = """
    RunsScreen #filter { height: 1; background: $surface; padding: 0 1; }
    RunsScreen RunTable { width: 1fr; }
    RunsScreen #detail { width: 46; border-left: solid $panel; padding: 0 1; display: none; }
    RunsScreen.-wide.-detail #detail, RunsScreen.-very-wide.-detail #detail { display: block; }
    RunsScreen.-very-wide #detail { width: 64; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = RunView()
        self.listed: Listed | None = None
        self.source: RunList | None = None
        self._before_typing = RunView()
        self._version: Any = None
        self._detail_timer: Timer | None = None
        self._wanted_run = ""

    def compose_body(self) -> ComposeResult:
        """Return filter, table and detail."""
        yield Static("", id="filter", markup=False)
        with Horizontal(id="body"):
            yield RunTable()
            with VerticalScroll(id="detail", can_focus=False):
                yield Static("", id="detail-text", markup=False)

    def on_mount(self) -> None:
        """Take the keyboard to the table."""
        self.set_class(self.mllab.state.shows_detail, "-detail")
        self.table.fixed_columns = 1
        self.table.focus()

    # -- places ----------------------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the view, and the run under the cursor."""
        row = self.table.cursor_row
        view = self.view
        state = {
            "filter": view.filter,
            "order": view.order,
            "columns": ",".join(view.columns),
            "which": "" if view.which == "present" else view.which,
            "at": row.key if row is not None else self._wanted_run,
        }
        return Place("runs", "", {key: value for key, value in state.items() if value})

    async def arrive(self, place: Place) -> None:
        """Show a view."""
        state = place.state
        which = state.get("which", "present")
        columns = state.get("columns", "")
        view = RunView(
            state.get("filter", ""),
            state.get("order", ""),
            tuple(split_columns(columns) if columns else self.mllab.state.columns),
            next((each for each in WHICH if each == which), "present"),
        )
        self._wanted_run = state.get("at", "")
        self.table.focus()
        if view != self.view or self.listed is None:
            await self.show_view(view)
        else:
            await self.refresh_lab()
        await self._go_to_wanted()

    async def _go_to_wanted(self) -> None:
        if not self._wanted_run or self.listed is None or self.source is None:
            return
        index = self.source.index_of(self._wanted_run)
        if index is None:
            index = await self.mllab.reader.call(
                find_index, self.mllab.reader.lab.engine, self.listed, self._wanted_run
            )
        if index is not None:
            self.table.go_to(index)
        self._wanted_run = ""

    def crumbs(self) -> tuple[str, ...]:
        """Return the screen and how many runs it shows."""
        if self.listed is None:
            return ("Runs",)
        shown, present = len(self.listed.refs), self.listed.present
        count = f"{shown:,}" if shown == present or not self.view.filter else f"{shown:,} of {present:,}"
        which = {"archived too": ", archived too", "deleted": ", deleted"}.get(self.view.which, "")
        return (f"Runs ({count}{which})",)

    def status(self) -> list[tuple[str, str]]:
        """Return marks and order."""
        parts = []
        if self.table.marks:
            parts.append((f"{len(self.table.marks):,} marked", "bold"))
        if self.listed is not None and self.listed.sorted_by is not None:
            key, is_descending = self.listed.sorted_by
            parts.append((f"by {key}{' descending' if is_descending else ''}", ""))
        if self.listed is not None and len(self.listed.refs):
            parts.append((f"row {self.table.cursor + 1:,} of {len(self.listed.refs):,}", ""))
        return parts

    # -- showing ---------------------------------------------------------------------------------------------

    async def show_view(self, view: RunView, *, keep_columns: bool = False) -> bool:
        """Show a view; return whether it could be. What is wrong with it is said, and what was shown stays."""
        engine = self.mllab.reader.lab.engine
        state = self.mllab.state
        terms = self.listed.terms if keep_columns and self.listed is not None else None
        try:
            listed = await self.mllab.reader.call(answer, engine, view, tuple(state.pins), dict(state.widths), terms)
        except MllabError as error:
            self._say_wrong(error)
            if self.listed is None and view != RunView():
                await self.show_view(RunView())
            return False
        self.prompt.show_problem("")
        self._take(view, listed)
        return True

    def _take(self, view: RunView, listed: Listed) -> None:
        """Put an answer into the table; the cursor stays on its run where that is still in sight."""
        before = self.source
        self.view = view
        self.listed = self.mllab.listed = listed
        self.source = source = RunList(
            self.mllab.reader, listed, self.mllab.state.pins, lambda start, stop: self._arrived(source, start, stop)
        )
        self._version = listed.state.snapshot.version
        table = self.table
        table.show(listed.columns, source, keep_cursor=before is not None)
        table.sort = listed.sorted_by
        self._show_filter()
        self.show_bars()
        self._detail_soon()

    def _arrived(self, source: RunList, start: int, stop: int) -> None:
        if source is self.source:
            self.table.rows_arrived(start, stop)
            if start <= self.table.cursor < stop:
                self._detail_soon()

    def _show_filter(self) -> None:
        from rich.text import Text

        from mllab.security.terminal import line

        text = Text("/ ", "bold")
        if self.view.filter:
            text.append(line(self.view.filter))
        else:
            text.append("all runs: press / to filter, such as loss < 0.1 and lr > 1e-3", "dim")
        if self.listed is not None and not len(self.listed.refs):
            text = Text("No run fits: ", "bold") + Text(line(self.view.filter)) if self.view.filter else Text(
                "No runs yet. `mllab demo` makes some; mllab.start_run(...) in Python makes yours."
            )  # fmt: skip
        self.query_one("#filter", Static).update(text)

    def _say_wrong(self, error: MllabError) -> None:
        if self.prompt.is_open:
            where = f" (column {error.column + 1})" if isinstance(error, FilterError) and error.text else ""
            hint = f" {error.hint}" if error.hint else ""
            self.prompt.show_problem(f"{error.message}{where}{hint}")
        else:
            complain(self.app, error)

    async def refresh_lab(self) -> None:
        """Answer the view again when something has happened in the lab."""
        if self.prompt.is_open and self.prompt.purpose == "filter":
            return
        engine = self.mllab.reader.lab.engine
        snapshot = await self.mllab.reader.call(engine.refresh)
        if snapshot.version != self._version:
            await self.show_view(self.view, keep_columns=bool(self.listed and len(self.listed.refs)))

    async def close_something(self) -> bool:
        """Close the prompt, or take marks, then the filter away."""
        if await super().close_something():
            return True
        if self.table.marks:
            self.table.clear_marks()
            return True
        if self.view.filter:
            await self.show_view(replace(self.view, filter=""))
            return True
        return False

    # -- the filter ------------------------------------------------------------------------------------------

    async def do_filter(self, argument: str) -> None:
        """Filter as one types."""
        if argument:
            if await self.show_view(replace(self.view, filter=argument, order=self._order_beside(argument))):
                self._remember_filter(argument)
            return
        self._before_typing = self.view
        self.prompt.ask(
            "filter", "/", self.view.filter, completer=self._complete, past=self.mllab.state.filters,
            hint="loss < 0.1 and lr > 1e-3 order by acc desc",
        )  # fmt: skip

    def _complete(self, text: str, cursor: int) -> Sequence[Completed]:
        keys = EngineKeys(self.mllab.reader.lab.engine)
        return [Completed(each.text, each.start, each.kind) for each in complete(text, cursor, keys)[:40]]

    def complete_filter(self, argument: str) -> list[tuple[str, int, str]]:
        """Return what can follow, for the command line."""
        return [(each.text, each.start, each.kind) for each in self._complete(argument, len(argument))]

    async def typing(self, purpose: str, value: str) -> None:
        """Answer the filter as it stands."""
        if purpose == "filter":
            in_background(self, "filter", self._typed, value)

    async def _typed(self, value: str) -> None:
        await self.show_view(replace(self.view, filter=value, order=self._order_beside(value)), keep_columns=True)

    def _order_beside(self, text: str) -> str:
        """Return the order that is kept: none when the filter brings its own."""
        try:
            return "" if parse(text).order else self.view.order
        except FilterError:
            return self.view.order

    async def answered(self, purpose: str, value: str) -> None:
        """Keep the filter."""
        if purpose == "filter":
            self.workers.cancel_group(self, "filter")
            view = replace(self.view, filter=value, order=self._order_beside(value))
            if await self.show_view(view):
                self._remember_filter(value)
            else:
                await self.show_view(self._before_typing)

    async def gave_up(self, purpose: str, before: str) -> None:  # noqa: ARG002  # the view before says more
        """Go back to the filter from before."""
        if purpose == "filter":
            # Beside the keys that follow: the engine may still be busy with what was given up.
            in_background(self, "filter", self._go_back)

    async def _go_back(self) -> None:
        await self.show_view(self._before_typing)

    def _remember_filter(self, text: str) -> None:
        state = self.mllab.state
        if text:
            state.filters = [text, *(each for each in state.filters if each != text)][:MOST_FILTERS]

    # -- the run under the cursor ----------------------------------------------------------------------------

    @on(RunTable.CursorMoved)
    def _moved(self) -> None:
        self.show_bars()
        self._detail_soon()

    @on(RunTable.MarksChanged)
    def _marks_changed(self) -> None:
        self.show_bars()

    @on(RunTable.RowOpened)
    async def _opened(self, event: RunTable.RowOpened) -> None:
        await self.mllab.go(Place("run", event.key))

    def _detail_soon(self) -> None:
        """Show the run beside the list once the cursor rests."""
        if self._detail_timer is not None:
            self._detail_timer.stop()
        self._detail_timer = self.set_timer(DETAIL_DELAY_S, self._start_detail)

    def _start_detail(self) -> None:
        if self.query_one("#detail").display:
            in_background(self, "detail", self._show_detail)

    async def _show_detail(self) -> None:
        from mllab.tui.services.detail_text import detail_text  # numpy, which the first frame does not wait for

        row = self.table.cursor_row
        static = self.query_one("#detail-text", Static)
        if row is None:
            static.update("")
            return
        # A cell less than there is: with a scrollbar lines would wrap.
        width = (self.query_one("#detail").content_size.width or 40) - 1
        engine = self.mllab.reader.lab.engine
        try:
            detail = await self.mllab.reader.call(lambda: run_detail(engine, row.key, spark_cells=16, max_sparks=12))
        except MllabError as error:
            static.update(error.message)
            return
        static.update(detail_text(detail, width))

    def target(self) -> str | None:
        """Return the run under the cursor."""
        row = self.table.cursor_row
        return row.key if row is not None else None

    def targets(self) -> list[str]:
        """Return the marked runs in no order, or the one under the cursor."""
        row = self.table.cursor_row
        return sorted(self.table.marks) or ([row.key] if row is not None else [])

    # -- moving and marking ----------------------------------------------------------------------------------

    async def do_mark_all(self, _: str) -> None:
        """Mark all that the filter chooses."""
        if self.listed is not None:
            reading = self.mllab.reader.call(run_ids, self.mllab.reader.lab.engine, self.listed, MARK_ALL)
            await self.read_beside("mark", "the runs to mark", reading, self._mark)

    async def _mark(self, ids: list[str]) -> None:
        self.table.mark_keys(ids)
        self.app.notify(f"Marked {plural(len(ids), 'run')}.")

    def do_show(self, _: str) -> None:
        """Open the run under the cursor."""
        self.table.enter()

    async def do_which(self, _: str) -> None:
        """Show archived runs too, then deleted ones, then neither."""
        which = WHICH[(WHICH.index(self.view.which) + 1) % len(WHICH)]
        await self.show_view(replace(self.view, which=which))
        self.app.notify(_WHICH_SAID[which])

    def do_detail(self, _: str) -> None:
        """Show or hide the detail."""
        self.mllab.state.shows_detail = not self.mllab.state.shows_detail
        self.set_class(self.mllab.state.shows_detail, "-detail")
        if self.has_class("-narrow"):
            self.app.notify("The detail needs a terminal of 110 columns or more; Enter opens the run.")
        self._detail_soon()
