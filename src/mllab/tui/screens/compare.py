"""Runs beside each other: params that differ, metrics with their distance to the first run, charts, code."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.widgets import ContentSwitcher

from mllab.errors import MllabError, UsageError
from mllab.query.comparison import compare
from mllab.query.views import SYSTEM_PREFIX
from mllab.tui.acting import bindings, complain
from mllab.tui.place import Place
from mllab.tui.screens.charts_pane import ChartsPane
from mllab.tui.screens.chooser import Choice
from mllab.tui.screens.copying import CopyingScreen
from mllab.tui.screens.table_actions import TableActions
from mllab.tui.services.comparing import (
    Folded,
    code_differences,
    compared_rows,
    fold,
    folded_rows,
    folded_series,
)
from mllab.tui.services.loaded_rows import LoadedRows
from mllab.tui.widgets.diffview import DiffView
from mllab.tui.widgets.runtable import RunTable
from mllab.tui.widgets.tabbar import TabBar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from mllab.query.comparison import Comparison

TABS = ("table", "charts", "code")


class CompareScreen(TableActions, CopyingScreen):
    """Two runs or more."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare", "table")]
    scopes = ("compare", "table")
    name_of_screen = "compare"

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[str] = []
        self._only_differing = True
        self._is_folded = False
        self._comparison: Comparison | None = None
        self._folded: Folded | None = None
        self._version: object = None
        self._loaded: set[str] = set()

    def compose_body(self) -> ComposeResult:
        """Return the tabs."""
        yield TabBar()
        with ContentSwitcher(id="body", initial="table"):
            yield RunTable(id="table", empty_text="Mark runs with Space in the list of runs, then press c.")
            yield ChartsPane(without=SYSTEM_PREFIX, id="charts")
            yield DiffView(id="code")

    def on_mount(self) -> None:
        """Name the tabs; the names of what is compared stay while columns scroll."""
        self.query_one(TabBar).tabs = ("Table", "Charts", "Code and environment")
        self.table.fixed_columns = 1

    @property
    def tab(self) -> str:
        """The tab that is open."""
        return self.query_one(ContentSwitcher).current or TABS[0]

    @property
    def charts(self) -> ChartsPane:
        """The overlaid charts."""
        return self.query_one(ChartsPane)

    # -- places ----------------------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the runs, the tab and how it looks."""
        state = {
            "runs": ",".join(self._runs),
            "tab": "" if self.tab == TABS[0] else self.tab,
            "all": "" if self._only_differing else "1",
            "fold": "1" if self._is_folded else "",
        }
        if self.tab == "charts":
            state |= self.charts.state()
        return Place("compare", "", {key: value for key, value in state.items() if value})

    async def arrive(self, place: Place) -> None:
        """Compare the runs of a place."""
        state = place.state
        self._runs = [run for run in state.get("runs", "").split(",") if run]
        self._only_differing = not state.get("all")
        self._is_folded = bool(state.get("fold"))
        tab = state.get("tab", TABS[0])
        if tab == "charts":
            self.charts.restore(state)
        await self._read()
        await self._open(tab if tab in TABS else TABS[0])

    def crumbs(self) -> tuple[str, ...]:
        """Return how many runs there are."""
        if self._folded is not None:
            return (f"Compare ({len(self._folded.groups)} groups of {len(self._runs)} runs)",)
        return (f"Compare ({len(self._runs)})" if self._comparison is not None else "Compare",)

    def status(self) -> list[tuple[str, str]]:
        """Return what is shown of the rows."""
        parts = [("what differs" if self._only_differing else "everything", "")]
        if self._comparison is not None:
            parts.append((f"against {self._comparison.runs[0].name}", ""))
        return parts

    async def refresh_lab(self) -> None:
        """Compare again when something has happened in the lab."""
        engine = self.mllab.reader.lab.engine
        snapshot = await self.mllab.reader.call(engine.refresh)
        if snapshot.version == self._version or not self._runs:
            return
        self._version = snapshot.version
        if self._comparison is not None and any(run.status == "running" for run in self._comparison.runs):
            await self._read()
            await self._load(self.tab)

    async def _read(self) -> None:
        self._comparison = self._folded = None
        self._loaded.clear()
        engine = self.mllab.reader.lab.engine
        try:
            if self._is_folded and self._runs:
                self._folded = await self.mllab.reader.call(fold, engine, self._runs)
            elif len(self._runs) > 1:
                self._comparison = await self.mllab.reader.call(compare, engine, self._runs)
                self._runs = [run.run_id for run in self._comparison.runs]
        except MllabError as error:
            complain(self.app, error)

    async def _load(self, tab: str) -> None:
        if tab in self._loaded:
            return
        self._loaded.add(tab)
        engine = self.mllab.reader.lab.engine
        comparison, folded = self._comparison, self._folded
        if tab == "table":
            if folded is not None:
                columns, rows = folded_rows(folded, only_differing=self._only_differing)
            elif comparison is not None:
                columns, rows = compared_rows(comparison, only_differing=self._only_differing)
            else:
                columns, rows = [], []
            self.table.show(columns, LoadedRows(rows))
        elif tab == "charts":
            if folded is not None:
                series, note = await self.mllab.reader.call(folded_series, engine, folded)
                self.charts.show_series(series, note)
            elif comparison is not None:
                await self.charts.show_runs(engine, [(run.run_id, run.name, run.started) for run in comparison.runs])
        elif comparison is None:
            self.query_one(DiffView).show_diff("", "", ("", ""))
        else:
            left, right, names = await self.mllab.reader.call(code_differences, engine, self._pair())
            self.query_one(DiffView).show_diff(left, right, names)

    def _pair(self) -> tuple[str, str]:
        """Return the baseline and the run whose column is selected."""
        at = max(self.table.selected_column, 2)
        return self._runs[0], self._runs[min(at - 1, len(self._runs) - 1)]

    async def _open(self, tab: str) -> None:
        self.query_one(ContentSwitcher).current = tab
        self.query_one(TabBar).active = TABS.index(tab)
        if tab == "code":
            self._loaded.discard("code")  # of the column that is selected by now
        await self._load(tab)
        if tab == "charts":
            self.charts.take_focus()
        else:
            self.set_focus(self.query_one(f"#{tab}"))
        self.show_bars()

    async def do_next_tab(self, _: str) -> None:
        """Open the next tab."""
        await self._open(TABS[(TABS.index(self.tab) + 1) % len(TABS)])

    async def do_previous_tab(self, _: str) -> None:
        """Open the tab before."""
        await self._open(TABS[(TABS.index(self.tab) - 1) % len(TABS)])

    @on(TabBar.Chosen)
    async def _tab_chosen(self, event: TabBar.Chosen) -> None:
        await self._open(TABS[event.index])

    # -- actions ---------------------------------------------------------------------------------------------

    async def do_differing(self, _: str) -> None:
        """Show what differs, or everything."""
        self._only_differing = not self._only_differing
        self._loaded.discard("table")
        await self._load(self.tab)
        self.show_bars()

    async def do_fold(self, _: str) -> None:
        """Compare groups of runs that are equal but for the seed, or runs."""
        self._is_folded = not self._is_folded
        await self._read()
        if self.tab == "code":
            await self._open(TABS[0])
        await self._load(self.tab)
        self.show_bars()

    async def do_baseline(self, _: str) -> None:
        """Compare with the run whose column is selected."""
        at = self.table.selected_column - 1
        if self._is_folded or not 0 < at < len(self._runs):
            raise UsageError("Select the column of a run first.", "h and l move between columns.")
        self._runs.insert(0, self._runs.pop(at))
        await self._read()
        await self._load(self.tab)
        self.show_bars()

    def copies(self) -> list[Choice]:
        """Return what can be copied."""
        import shlex

        lab = self.mllab.reader.lab.root
        command = f"mllab runs compare --lab {shlex.quote(lab)} {' '.join(self._runs)}"
        python = f"mllab.metrics({self._runs!r}, max_points=1000, lab={lab!r})"
        return [
            Choice(self.place().link, "l  a link to this view", "link"),
            Choice(command, "c  the command line", "command"),
            Choice(python, "p  the Python that gives the curves", "python"),
        ]

    def do_mark_all(self, _: str) -> None:
        """Rows are no runs here."""
        self.app.notify("Rows are compared here, not marked.")
