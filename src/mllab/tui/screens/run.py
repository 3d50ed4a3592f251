"""One run: overview, charts, logs, system samples, artifacts, code and environment, under one cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import VerticalScroll
from textual.widgets import ContentSwitcher, Static

from mllab.errors import MllabError, UsageError
from mllab.query.differences import PATCH
from mllab.query.run_detail import run_detail
from mllab.query.views import SYSTEM_PREFIX
from mllab.tui.acting import bindings, complain
from mllab.tui.place import Place
from mllab.tui.screens.charts_pane import ChartsPane
from mllab.tui.screens.code_pane import CodePane
from mllab.tui.screens.copying import CopyingScreen
from mllab.tui.screens.editing import EditingScreen
from mllab.tui.screens.files_pane import FilesPane
from mllab.tui.screens.logs_pane import LogsPane
from mllab.tui.screens.run_copies import copies_of_run
from mllab.tui.services.detail_text import detail_text
from mllab.tui.widgets.logview import LogView
from mllab.tui.widgets.tabbar import TabBar
from mllab.wording import STATUS_GLYPHS

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from mllab.query.run_detail import RunDetail
    from mllab.tui.screens.chooser import Choice

TABS = ("overview", "charts", "logs", "system", "artifacts", "code")


class RunScreen(EditingScreen, CopyingScreen):
    """Everything about one run."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]
    scopes = ("run",)
    name_of_screen = "run"
    edit_scope = "run"
    DEFAULT_CSS = """
    RunScreen #overview { padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id = ""
        self.detail: RunDetail | None = None
        self._version: object = None
        self._moment: int | None = None
        self._loaded: set[str] = set()

    def compose_body(self) -> ComposeResult:
        """Return the tabs."""
        yield TabBar()
        with ContentSwitcher(id="body", initial="overview"):
            with VerticalScroll(id="overview"):
                yield Static("", id="overview-text", markup=False)
            yield ChartsPane(without=SYSTEM_PREFIX, id="charts")
            yield LogsPane(id="logs")
            yield ChartsPane(prefix=SYSTEM_PREFIX, axis="wall", id="system")
            yield FilesPane(id="artifacts")
            yield CodePane(id="code")

    def on_mount(self) -> None:
        """Name the tabs."""
        self.query_one(TabBar).tabs = tuple(name.capitalize() for name in TABS)

    @property
    def tab(self) -> str:
        """The tab that is open."""
        return self.query_one(ContentSwitcher).current or TABS[0]

    @property
    def charts(self) -> ChartsPane:
        """The metrics' charts."""
        return self.query_one("#charts", ChartsPane)

    @property
    def system(self) -> ChartsPane:
        """The charts of system samples."""
        return self.query_one("#system", ChartsPane)

    # -- places ----------------------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the run, the tab, and how its charts look."""
        tab = self.tab
        state = {"tab": "" if tab == TABS[0] else tab}
        if tab in ("charts", "system"):
            state |= self.query_one(f"#{tab}", ChartsPane).state()
        elif self._moment is not None:
            state["time"] = str(self._moment)
        return Place("run", self.run_id, {key: value for key, value in state.items() if value})

    async def arrive(self, place: Place) -> None:
        """Show a run."""
        if place.subject != self.run_id:
            self.run_id, self.detail, self._version, self._moment = place.subject, None, None, None
            self._loaded.clear()
            for pane in (self.charts, self.system):
                pane.grid.cursor = None
        tab = place.state.get("tab", TABS[0])
        if tab in ("charts", "system"):
            self.query_one(f"#{tab}", ChartsPane).restore(place.state)
        await self.refresh_lab()
        await self._open(tab if tab in TABS else TABS[0])
        if place.state.get("time", "").isdecimal():
            self._go_to_time(int(place.state["time"]))

    def crumbs(self) -> tuple[str, ...]:
        """Return the run's name within the runs."""
        if self.detail is None:
            return ("Runs", self.run_id)
        run = self.detail.run
        return ("Runs", f"{STATUS_GLYPHS.get(run.status, '?')} {run.name}")

    def status(self) -> list[tuple[str, str]]:
        """Return the run's status."""
        if self.detail is None:
            return []
        run = self.detail.run
        return [(f"{run.status}", ""), (run.experiment, ""), (run.run_id, "")]

    async def refresh_lab(self) -> None:
        """Read the run again when something has happened in the lab."""
        engine = self.mllab.reader.lab.engine
        snapshot = await self.mllab.reader.call(engine.refresh)
        if snapshot.version == self._version or not self.run_id:
            return
        self._version = snapshot.version
        run_id = self.run_id
        live = {tail.state.run_id for tail in snapshot.tails}
        if self.detail is not None and run_id not in live and self.detail.run.status != "running":
            return  # something else in the lab changed
        try:
            detail = await self.mllab.reader.call(lambda: run_detail(engine, run_id, spark_cells=24, max_sparks=30))
        except MllabError as error:
            complain(self.app, error)
            return
        if run_id != self.run_id:
            return
        self.detail = detail
        self._loaded -= {self.tab}
        await self._load(self.tab)
        self.show_bars()

    async def _load(self, tab: str) -> None:
        """Fill a tab, unless it shows what there is."""
        detail = self.detail
        if detail is None or tab in self._loaded:
            return
        self._loaded.add(tab)
        engine = self.mllab.reader.lab.engine
        if tab == "overview":
            width = max(self.query_one("#overview").content_size.width, 40)
            self.query_one("#overview-text", Static).update(detail_text(detail, min(width, 120)))
        elif tab in ("charts", "system"):
            run = detail.run
            await self.query_one(f"#{tab}", ChartsPane).show_runs(engine, [(run.run_id, run.name, run.started)])
        elif tab == "logs":
            await self.query_one(LogsPane).show_run(self.mllab.reader, detail.run.run_id)
        elif tab == "artifacts":
            self.query_one(FilesPane).show(detail.artifacts)
        else:
            patch = next((each for each in detail.artifacts if each.path == PATCH), None)
            await self.query_one(CodePane).show(self.mllab.reader, detail, patch)

    # -- tabs ------------------------------------------------------------------------------------------------

    async def _open(self, tab: str) -> None:
        self.query_one(ContentSwitcher).current = tab
        self.query_one(TabBar).active = TABS.index(tab)
        await self._load(tab)
        if self._moment is not None:
            self._go_to_time(self._moment)
        pane = self.query_one(f"#{tab}")
        if isinstance(pane, (ChartsPane, LogsPane, FilesPane, CodePane)):
            pane.take_focus()
        else:
            self.set_focus(self.query_one("#overview"))
        self.show_bars()

    async def do_next_tab(self, _: str) -> None:
        """Open the next tab."""
        await self._open(TABS[(TABS.index(self.tab) + 1) % len(TABS)])

    async def do_previous_tab(self, _: str) -> None:
        """Open the tab before."""
        await self._open(TABS[(TABS.index(self.tab) - 1) % len(TABS)])

    async def do_tab(self, argument: str) -> None:
        """Open a tab by name."""
        if argument not in TABS:
            raise UsageError(f"There is no tab {argument[:40]!r}.", f"Tabs: {', '.join(TABS)}.")
        await self._open(argument)

    def complete_tab(self, argument: str) -> list[tuple[str, int, str]]:
        """Return the tabs."""
        return [(tab, 0, "") for tab in TABS if tab.startswith(argument)]

    @on(TabBar.Chosen)
    async def _tab_chosen(self, event: TabBar.Chosen) -> None:
        await self._open(TABS[event.index])

    # -- one cursor ------------------------------------------------------------------------------------------

    @on(ChartsPane.TimeMoved)
    def _chart_moved(self, event: ChartsPane.TimeMoved) -> None:
        event.stop()
        self._moment = event.time_us
        other = self.system if event.pane is self.charts else self.charts
        other.go_to_time(event.time_us)
        self.query_one(LogsPane).go_to_time(event.time_us)

    @on(LogView.CursorMoved)
    def _log_moved(self, event: LogView.CursorMoved) -> None:
        event.stop()
        view = self.query_one(LogView)
        if event.time_us and view.has_focus and not view.is_following:
            self._moment = event.time_us
            for pane in (self.charts, self.system):
                pane.go_to_time(event.time_us)

    def _go_to_time(self, time_us: int) -> None:
        self._moment = time_us
        for pane in (self.charts, self.system):
            pane.go_to_time(time_us)
        self.query_one(LogsPane).go_to_time(time_us)

    # -- actions ---------------------------------------------------------------------------------------------

    def targets(self) -> list[str]:
        """Return the run."""
        return [self.run_id] if self.run_id else []

    async def do_next_run(self, _: str) -> None:
        """Go to the next run of the list."""
        await self._walk(1)

    async def do_previous_run(self, _: str) -> None:
        """Go to the run before."""
        await self._walk(-1)

    async def _walk(self, places: int) -> None:
        run = await self.mllab.neighbour(self.run_id, places)
        if run is None:
            self.app.notify("The list ends here.")
            return
        await self.mllab.go(Place("run", run, self.place().state))

    def copies(self) -> list[Choice]:
        """Return what can be copied."""
        return [] if self.detail is None else copies_of_run(self.mllab.reader.lab, self.detail, self.place())
