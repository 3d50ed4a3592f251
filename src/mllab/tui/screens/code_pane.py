"""The pane of a run's code and environment: what it ran, where, with which changes that no commit holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from mllab.security.terminal import fit, line, width
from mllab.tui.widgets.diffview import DiffView

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from mllab.query.run_detail import Artifact, RunDetail
    from mllab.tui.services.reader import Reader

MOST_PATCH = 2 << 20


class CodePane(Vertical):
    """Facts on top, the uncommitted changes below."""

    DEFAULT_CSS = """
    CodePane { height: 1fr; }
    CodePane #facts { height: 1fr; padding: 0 1; }
    CodePane DiffView { height: 1fr; border-top: solid $panel; display: none; }
    CodePane.-patched DiffView { display: block; }
    """

    def compose(self) -> ComposeResult:
        """Return facts above changes."""
        with VerticalScroll(id="facts"):
            yield Static("", id="facts-text", markup=False)
        yield DiffView()

    def take_focus(self) -> None:
        """Focus the changes, or the facts while there are none."""
        self.screen.set_focus(self.query_one(DiffView) if self.has_class("-patched") else self.query_one("#facts"))

    async def show(self, reader: Reader, detail: RunDetail, patch: Artifact | None) -> None:
        """Show a run's code."""
        room = max(self.app.size.width - 4, 30)
        self.query_one("#facts-text", Static).update(_facts(detail.info, room))
        text = ""
        if patch is not None and patch.size <= MOST_PATCH:
            data = await reader.call(reader.lab.store.blobs.read, patch.sha256)
            text = data.decode("utf-8", "replace")
        self.set_class(bool(text), "-patched")
        if text:
            self.query_one(DiffView).show_patch(text)


def _facts(info: dict[str, Any], room: int) -> Text:
    """Return everything that was captured, flat: section, name, value."""
    text = Text()
    if not info:
        return Text("Nothing was captured of code and environment.", "dim")
    for section, values in info.items():
        text.append(f"{'' if not text.plain else chr(10)}{line(str(section))}\n", "bold")
        pairs = _flat(values)
        indent = min(max((width(line(key)) for key, _ in pairs), default=0), 32)
        for key, value in pairs:
            name = fit(line(key), indent)
            text.append(f"  {name}{' ' * (indent - width(name) + 2)}", "dim")
            text.append(fit(line(value), max(room - indent - 4, 8)) + "\n")
    return text


def _flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(values, dict):
        found: list[tuple[str, str]] = []
        for key, value in values.items():
            found += _flat(value, f"{prefix}.{key}" if prefix else str(key))
        return found
    if isinstance(values, list):
        return [(prefix, json.dumps(values, default=str))]
    return [] if values is None else [(prefix or "value", str(values))]
