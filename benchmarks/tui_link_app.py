"""Six widgets that repaint ten times a second: ``python -m benchmarks.tui_link_app paced|stock SECONDS FILE``.

Writes the lags of the event loop, how many writes waited for the terminal at most, and how many frames there were, to
FILE as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.containers import Grid
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from mllab.tui.compat import PacedScreen, backlog

WIDGETS = 6
HERTZ = 10
_BEAT_S = 0.005
_CHARACTERS = "".join(chr(33 + at * 13 % 90) for at in range(400))


class Repainting(Widget):
    """Other characters at each turn."""

    turn = 0

    def on_mount(self) -> None:
        self.set_interval(1 / HERTZ, self.change)

    def change(self) -> None:
        self.turn += 1
        self.refresh(Region(0, 0, *self.size))

    def render_line(self, y: int) -> Strip:
        start = (self.turn * 7 + y * 31) % 90
        return Strip([Segment(_CHARACTERS[start : start + self.size.width], self.rich_style)])


class Linked(App[None]):
    """The widgets, and a heart that notes how late it beats."""

    CSS = "Grid { grid-size: 3 2; }"

    def __init__(self, kind: str, seconds: float) -> None:
        super().__init__()
        self.kind = kind
        self.seconds = seconds
        self.lags: list[float] = []
        self.most_waiting = 0
        self.frames = 0

    def get_default_screen(self) -> Screen[None]:
        return PacedScreen(id="_default") if self.kind == "paced" else Screen(id="_default")

    def compose(self) -> ComposeResult:
        yield Grid(*(Repainting() for _ in range(WIDGETS)))

    def on_mount(self) -> None:
        self.run_worker(self.beat())

    def post_display_hook(self) -> None:
        """Look at the queue right after a frame was put there."""
        self.frames += 1
        self.most_waiting = max(self.most_waiting, backlog(self))

    async def beat(self) -> None:
        lags = []
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            due = time.perf_counter() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            lags.append(max(0.0, time.perf_counter() - due))
        self.lags = lags
        self.exit()


if __name__ == "__main__":
    app = Linked(sys.argv[1], float(sys.argv[2]))
    app.run()
    figures = {"lags_s": app.lags, "most_waiting": app.most_waiting, "frames": app.frames}
    Path(sys.argv[3]).write_text(json.dumps(figures), encoding="utf-8")
