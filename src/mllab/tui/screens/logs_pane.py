"""The pane of a run's console output."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Vertical
from textual.widgets import Static

from mllab.tui.acting import Acting, bindings, find
from mllab.tui.services.run_logs import RunLogs
from mllab.tui.widgets.log_lines import LogLine
from mllab.tui.widgets.logview import LogView

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from mllab.tui.services.reader import Reader

LEVELS = ("all", "info", "warn", "error")
TIMES = ("off", "clock", "relative")


class LogsPane(Vertical, Acting):
    """What a run printed, as it prints it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("logs")]
    scopes = ("logs",)
    DEFAULT_CSS = """
    LogsPane { height: 1fr; }
    LogsPane #log-note { height: 1; padding: 0 1; color: $foreground-muted; background: $surface; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002  # Textual's word
        super().__init__(id=id)
        self._run_id = ""
        self._logs: RunLogs | None = None
        self._search = self._problem = ""

    def compose(self) -> ComposeResult:
        """Return the lines above a note."""
        yield LogView()
        yield Static("", id="log-note", markup=False)

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def take_focus(self) -> None:
        """Focus the lines."""
        self.screen.set_focus(self.view)

    async def show_run(self, reader: Reader, run_id: str) -> None:
        """Show a run's output, or what was added to it."""
        if run_id != self._run_id or self._logs is None:
            self._run_id, self._logs = run_id, RunLogs(reader.lab.engine, run_id)
            self.view.set_lines([])
        logs = self._logs
        more = await reader.call(logs.more)
        if logs is not self._logs:
            return
        if more.replaced:
            streams = ["stderr" if each else "stdout" for each in more.is_stderr]
            lines = [LogLine(*row) for row in zip(more.times_us, streams, more.texts, strict=True)]
            self.view.replace_last(more.replaced, lines)
        elif more.texts:
            self.view.append_columns(more.times_us, more.is_stderr, more.texts)
        self._say()

    @on(LogView.FollowChanged)
    def _changed(self) -> None:
        self._say()

    @on(LogView.SearchChanged)
    def _searched(self, event: LogView.SearchChanged) -> None:
        self._problem = event.problem or ""
        self._say()

    def _say(self) -> None:
        view = self.view
        parts = [f"{len(view):,} lines" if len(view) else "Nothing was printed."]
        if view.level != "all":
            parts.append(f"{view.shown_count:,} at {view.level} or above")
        if self._problem:
            parts.append(f"/{self._search}/: {self._problem}")
        elif self._search:
            parts.append(f"/{self._search}/ {view.match_count:,} matches")
        parts.append("following" if view.is_following else "G follows")
        self.query_one("#log-note", Static).update("  ·  ".join(parts))

    def go_to_time(self, time_us: int) -> None:
        """Show what was printed at a moment."""
        self.view.is_following = False
        self.view.go_to_time(time_us)

    def do_down(self, _: str) -> None:
        """Move down."""
        self.view.move(1)

    def do_up(self, _: str) -> None:
        """Move up."""
        self.view.move(-1)

    def do_page_down(self, _: str) -> None:
        """Move a page down."""
        self.view.page(1)

    def do_page_up(self, _: str) -> None:
        """Move a page up."""
        self.view.page(-1)

    def do_half_down(self, _: str) -> None:
        """Move half a page down."""
        self.view.move(max(self.view.size.height // 2, 1))

    def do_half_up(self, _: str) -> None:
        """Move half a page up."""
        self.view.move(-max(self.view.size.height // 2, 1))

    def do_top(self, _: str) -> None:
        """Move to the first line."""
        self.view.home()

    def do_bottom(self, _: str) -> None:
        """Move to the last line, and follow."""
        self.view.end()
        self.view.is_following = True

    def do_search(self, argument: str) -> None:
        """Search; an empty answer ends it."""
        from mllab.tui.screens.lab_screen import LabScreen

        if not argument:
            if isinstance(self.screen, LabScreen):
                action = find("search", ("logs",))
                self.screen.ask_argument(
                    action, "/", self._search, hint="a regular expression; nothing ends the search"
                )
            return
        self._search, self._problem = argument, ""
        self.view.search(argument)
        self._say()

    def clear_search(self) -> None:
        """End the search."""
        self._search = self._problem = ""
        self.view.clear_search()
        self._say()

    def do_next_match(self, _: str) -> None:
        """Go to the next match."""
        self.view.next_match()

    def do_previous_match(self, _: str) -> None:
        """Go to the match before."""
        self.view.previous_match()

    def do_wrap(self, _: str) -> None:
        """Wrap, or cut."""
        self.view.wrap = not self.view.wrap

    def do_time(self, _: str) -> None:
        """Show times in the next way."""
        self.view.show_time = TIMES[(TIMES.index(self.view.show_time) + 1) % len(TIMES)]

    def do_level(self, _: str) -> None:
        """Show the next level and above."""
        self.view.level = LEVELS[(LEVELS.index(self.view.level) + 1) % len(LEVELS)]
        self._say()

    def do_minute_back(self, _: str) -> None:
        """Go a minute back."""
        self.view.jump_minutes(-1)

    def do_minute_forward(self, _: str) -> None:
        """Go a minute on."""
        self.view.jump_minutes(1)

    def do_hour_back(self, _: str) -> None:
        """Go an hour back."""
        self.view.jump_minutes(-60)

    def do_hour_forward(self, _: str) -> None:
        """Go an hour on."""
        self.view.jump_minutes(60)
