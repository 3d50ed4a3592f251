"""An app that copies a text and says which way, for test_clipboard: ``python -m tests.tui.copying_app TEXT``."""

from __future__ import annotations

import sys

from textual.app import App, ComposeResult
from textual.widgets import Static

from mllab.tui.clipboard import copy


class Copying(App[None]):
    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def on_mount(self) -> None:
        self.query_one(Static).update(copy(self, sys.argv[1]))


if __name__ == "__main__":
    Copying().run()
