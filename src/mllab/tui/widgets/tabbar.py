"""A line of tabs: one row, where Textual's own takes two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from mllab.security.terminal import width

if TYPE_CHECKING:
    from textual import events


class TabBar(Widget):
    """Names in a line; the active one stands out without colour too."""

    DEFAULT_CSS = """
    TabBar { height: 1; background: $surface; color: $foreground-muted; }
    """
    tabs: reactive[tuple[str, ...]] = reactive(())
    active: reactive[int] = reactive(0)

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def _placed(self) -> list[tuple[int, int]]:
        at, placed = 1, []
        for name in self.tabs:
            placed.append((at, at + width(name) + 2))
            at += width(name) + 3
        return placed

    def render(self) -> Text:
        """Draw the line."""
        text = Text(" ", no_wrap=True, end="")
        for index, name in enumerate(self.tabs):
            text.append(f"[{name}]" if index == self.active else f" {name} ", "bold" if index == self.active else "")
            text.append(" ")
        return text

    def on_click(self, event: events.Click) -> None:
        """Find the tab under the pointer."""
        for index, (start, end) in enumerate(self._placed()):
            if start <= event.x < end:
                self.post_message(self.Chosen(index))
