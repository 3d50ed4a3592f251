"""Columns and order of the list of runs: chosen, moved, resized, sorted by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on

from mllab.errors import UsageError
from mllab.query.column_lists import split_columns
from mllab.query.filter_ast import Term
from mllab.query.filter_parser import parse
from mllab.query.filter_terms import ATTRIBUTES
from mllab.tui.acting import in_background
from mllab.tui.screens.chooser import Choice, Chooser
from mllab.tui.screens.editing import EditingScreen
from mllab.tui.screens.table_actions import TableActions
from mllab.tui.widgets.runtable import RunTable

if TYPE_CHECKING:
    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Kind
    from mllab.tui.services.run_list import Listed, RunView

# Of these, less is better: the first press sorts the least first.
LESS_IS_BETTER = ("loss", "err", "perplexity", "rmse", "mae", "mse", "latency", "nll", "duration", "time")


class ColumnActions(EditingScreen, TableActions):
    """What can be done with columns."""

    view: RunView
    listed: Listed | None

    async def show_view(self, view: RunView, *, keep_columns: bool = False) -> bool:
        """Show a view."""
        raise AssertionError((view, keep_columns))

    def _columns(self) -> list[str]:
        return [str(term) for term in self.listed.terms] if self.listed is not None else []

    def _selected(self) -> Term | None:
        at = self.table.selected_column
        if self.listed is None or not 0 <= at < len(self.listed.terms):
            return None
        return self.listed.terms[at]

    # -- order -----------------------------------------------------------------------------------------------

    async def do_sort(self, argument: str) -> None:
        """Sort by what is named, or by the selected column; again turns it round."""
        if argument:
            parse(f"order by {argument}")
            await self._order_by(argument)
            return
        term = self._selected()
        if term is None:
            raise UsageError("No column is selected.", "Select one with h and l.")
        await self._sort_by(term)

    async def _sort_by(self, term: Term) -> None:
        before = self.listed.sorted_by if self.listed is not None else None
        if before is not None and before[0] == str(term):
            is_descending = not before[1]
        else:
            name = term.key.lower()
            is_text = term.kind in ("tag", "param") or (term.kind == "run" and ATTRIBUTES[term.key][0] == "text")
            is_descending = not (is_text or any(word in name for word in LESS_IS_BETTER))
        await self._order_by(f"{term}{' desc' if is_descending else ''}")

    async def _order_by(self, order: str) -> None:
        query = parse(self.view.filter)
        # An order within the filter gives way to the one that was asked for last.
        text = str(replace(query, order=())) if query.order else self.view.filter
        if await self.show_view(replace(self.view, filter=text, order=order)):
            self.table.home()

    def complete_sort(self, argument: str) -> list[tuple[str, int, str]]:
        """Return what one can sort by."""
        engine = self.mllab.reader.lab.engine
        names = [*((key, "metric") for key in sorted(engine.keys("summaries"))), *((key, "") for key in ATTRIBUTES)]
        return [(name, 0, kind) for name, kind in names if name.startswith(argument)][:40]

    @on(RunTable.HeaderClicked)
    async def _header_clicked(self, event: RunTable.HeaderClicked) -> None:
        for term in self.listed.terms if self.listed is not None else ():
            if str(term) == event.key:
                await self._sort_by(term)
                return

    # -- columns ---------------------------------------------------------------------------------------------

    async def do_columns(self, argument: str) -> None:
        """Choose the columns from all there are, or name them."""
        if argument:
            await self._show_columns(split_columns(argument))
            return
        engine = self.mllab.reader.lab.engine
        names = await self.mllab.reader.call(_all_columns, engine)
        self.mllab.hold_keys()
        in_background(self, "menu", self._choose_columns, names)

    async def _choose_columns(self, names: list[tuple[str, str]]) -> None:
        shown = self._columns()
        kinds = dict(names)
        ordered = [*shown, *(name for name, _ in names if name not in shown)]
        choices = [Choice(name, name, kinds.get(name, ""), name in shown) for name in ordered]
        chosen = await self.app.push_screen_wait(Chooser("Columns", choices, several=True))
        if chosen is not None:
            await self._show_columns(chosen)

    async def _show_columns(self, columns: list[str]) -> None:
        """Show columns; none are the usual ones. They are kept for the next session."""
        if await self.show_view(replace(self.view, columns=tuple(columns))):
            self.mllab.state.columns = columns
            self.mllab.remember()

    async def do_column_forward(self, _: str) -> None:
        """Move the column to the right."""
        await self._move_column(1)

    async def do_column_back(self, _: str) -> None:
        """Move the column to the left."""
        await self._move_column(-1)

    async def _move_column(self, places: int) -> None:
        columns, at = self._columns(), self.table.selected_column
        if 0 <= at < len(columns) and 0 <= at + places < len(columns):
            columns.insert(at + places, columns.pop(at))
            await self._show_columns(columns)
            self.table.selected_column = at + places

    async def do_column_hide(self, _: str) -> None:
        """Leave the column out."""
        columns, at = self._columns(), self.table.selected_column
        if 0 <= at < len(columns) and len(columns) > 1:
            name = columns.pop(at)
            await self._show_columns(columns)
            self.app.notify(f"{name} is hidden; C brings it back.", markup=False)

    def do_column_wider(self, _: str) -> None:
        """Make the column wider."""
        self.table.resize_column(2)

    def do_column_narrower(self, _: str) -> None:
        """Make the column narrower."""
        self.table.resize_column(-2)

    @on(RunTable.ColumnResized)
    def _resized(self, event: RunTable.ColumnResized) -> None:
        self.mllab.state.widths[event.key] = event.width


def _all_columns(engine: Engine) -> list[tuple[str, str]]:
    """Return every column there can be, as a filter names it, with its kind."""
    found = [(str(Term("run", name)), "attribute") for name in ATTRIBUTES if name != "number"]
    kinds: tuple[tuple[Kind, str], ...] = (("metric", "summaries"), ("param", "params"), ("tag", "tags"))
    with engine.steady():
        for kind, table in kinds:
            found += [(str(Term(kind, key)), kind) for key in sorted(engine.keys(table))]
    return found
