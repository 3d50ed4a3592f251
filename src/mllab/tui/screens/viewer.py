"""A file over the whole screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widget import Widget

from mllab.tui.compat import PacedModalScreen
from mllab.tui.widgets.bars import TopBar
from mllab.tui.widgets.diffview import DiffView
from mllab.tui.widgets.log_lines import LogLine
from mllab.tui.widgets.logview import LogView

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult


class Viewer(PacedModalScreen[None]):
    """A text, or the changes of a diff; Esc and q close it."""

    DEFAULT_CSS = """
    Viewer { layout: vertical; background: $background; }
    Viewer LogView, Viewer DiffView { height: 1fr; }
    """

    def __init__(self, title: str, text: str, *, is_diff: bool = False) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._is_diff = is_diff

    def compose(self) -> ComposeResult:
        """Return a title above the text."""
        yield TopBar()
        yield DiffView() if self._is_diff else LogView()

    def on_mount(self) -> None:
        """Show the text."""
        bar = self.query_one(TopBar)
        bar.crumbs = (self._title,)
        bar.remark = "Esc closes"
        if self._is_diff:
            self.query_one(DiffView).show_patch(self._text)
        else:
            view = self.query_one(LogView)
            view.is_following = False
            view.set_lines([LogLine(0, "stdout", each) for each in self._text.split("\n")])
            view.home()
        self.query_one("LogView, DiffView", Widget).focus()

    def on_key(self, event: events.Key) -> None:
        """Move, or close."""
        view = self.query_one("LogView, DiffView")
        assert isinstance(view, (LogView, DiffView))
        moves = {
            "j": lambda: view.move(1), "down": lambda: view.move(1), "k": lambda: view.move(-1),
            "up": lambda: view.move(-1), "pagedown": lambda: view.page(1), "space": lambda: view.page(1),
            "pageup": lambda: view.page(-1), "g": view.home, "G": view.end, "home": view.home, "end": view.end,
        }  # fmt: skip
        if event.key in ("escape", "q"):
            self.close(None)
        elif event.key in moves:
            moves[event.key]()
        else:
            return
        event.stop()
        event.prevent_default()
