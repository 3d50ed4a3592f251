"""The lines around every screen: where one is, how things stand, and the keys that work here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from mllab.security.terminal import fit, line, width

if TYPE_CHECKING:
    from textual import events

SEPARATOR = " \u203a "


class TopBar(Widget):
    """Where one is, from the lab inwards; what follows stands at the right."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; color: $foreground; }
    """
    crumbs: reactive[tuple[str, ...]] = reactive(())
    remark: reactive[str] = reactive("")

    def render(self) -> Text:
        """Draw the line; the last crumb is cut first."""
        room = self.size.width
        remark = fit(line(self.remark), max(room // 2, 8))
        crumbs = [line(crumb) for crumb in self.crumbs]
        left = fit(" " + SEPARATOR.join(crumbs), max(room - width(remark) - 2, 4))
        text = Text(left, no_wrap=True, end="")
        head, _, _ = left.rpartition(SEPARATOR)
        text.stylize("bold", width(head) + len(SEPARATOR) if head else 0)
        text.append(" " * max(room - width(left) - width(remark) - 1, 1) + remark + " ")
        return text


class StatusBar(Widget):
    """How things stand: parts from left to right, the most telling first; each a text and a style."""

    DEFAULT_CSS = """
    StatusBar { height: 1; background: $surface; color: $foreground-muted; }
    """
    parts: reactive[tuple[tuple[str, str], ...]] = reactive(())

    def render(self) -> Text:
        """Draw as many parts as fit."""
        text = Text(" ", no_wrap=True, end="")
        room = self.size.width - 1
        for number, (part, style) in enumerate(self.parts):
            shown = ("  ·  " if number else "") + line(part)
            if width(text.plain) + width(shown) > room:
                text.append(fit(shown, max(room - width(text.plain), 0)), style)
                break
            text.append(shown, style)
        return text


class KeyBar(Widget):
    """The keys that matter here: (key, label, scope, action). A click does what the key does."""

    DEFAULT_CSS = """
    KeyBar { height: 1; background: $panel; color: $foreground; }
    """
    keys: reactive[tuple[tuple[str, str, str, str], ...]] = reactive(())

    class Pressed(Message):
        """One of the keys was clicked."""

        def __init__(self, scope: str, name: str) -> None:
            super().__init__()
            self.scope = scope
            self.name = name

    def _placed(self) -> list[tuple[int, int, tuple[str, str, str, str]]]:
        """Return (start, end, key) of the keys that fit; the last, which leads to all others, always does."""
        room = self.size.width - (_cells(self.keys[-1]) + 2 if self.keys else 0)
        placed: list[tuple[int, int, tuple[str, str, str, str]]] = []
        at = 1
        for place, entry in enumerate(self.keys):
            if place < len(self.keys) - 1 and at + _cells(entry) > room:
                continue
            placed.append((at, at + _cells(entry), entry))
            at += _cells(entry) + 2
        return placed

    def render(self) -> Text:
        """Draw the keys that fit."""
        text = Text(" ", no_wrap=True, end="")
        for _, _, (key, label, _, _) in self._placed():
            text.append(key, "bold")
            text.append(f" {label}  ")
        return text

    def on_click(self, event: events.Click) -> None:
        """Find the key under the pointer."""
        for start, end, (_, _, scope, name) in self._placed():
            if start <= event.x < end:
                self.post_message(self.Pressed(scope, name))


def _cells(entry: tuple[str, str, str, str]) -> int:
    return width(entry[0]) + 1 + width(entry[1])
