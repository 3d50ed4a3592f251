"""An app that test_compat ends in every way: ``python -m tests.tui.guarded_app [MODE]``."""

from __future__ import annotations

import os
import sys
import threading
import time

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from mllab.tui.compat import PacedScreen, backlog, install_exit_guards, suspended


class Repainting(Static):
    """Changes all it shows ten times a second."""

    def on_mount(self) -> None:
        self.turn = 0
        self.styles.width = "1fr"
        self.styles.height = "1fr"
        self.set_interval(0.1, self.change)

    def change(self) -> None:
        self.turn += 1
        if backlog(self.app) > 20:
            os.write(1, b"stuck")
        self.update("".join(chr(33 + (self.turn * 7 + at * 13) % 90) for at in range(self.size.area)))


class Guarded(App[None]):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def get_default_screen(self) -> Screen[None]:
        return Screen(id="_default") if "stock" in self.mode else PacedScreen(id="_default")

    def compose(self) -> ComposeResult:
        yield Static("ready to end")
        if "flood" in self.mode:
            yield Repainting()

    def on_key(self, event) -> None:
        if event.key == "c":
            raise RuntimeError("crashed on purpose")
        if event.key == "x":
            raise SystemExit(5)
        if event.key == "q":
            self.exit()
        if event.key == "b":
            os.write(1, b"\x1b]0;blocked\x07")
            time.sleep(60)
        if event.key == "s":
            with suspended(self):
                # Repaint as often as the queue of writes has places, and more.
                for turn in range(100):
                    self.query_one(Static).update(f"turn {turn}")
                    self.screen._on_timer_update()
                print("outside", threading.active_count(), flush=True)
            self.query_one(Static).update("back again")


if __name__ == "__main__":
    app = Guarded(sys.argv[1] if len(sys.argv) > 1 else "")
    install_exit_guards(app, grace_s=0.5)
    app.run()
    sys.exit(app.return_code)
