"""Look at LogView: ``python -m tests.tui.demo_logview [lines]``.

f follow, w wrap, t time, l numbers, v level, n/N matches of "loss", / search for a bad pattern, a append, {} minutes.
"""

from __future__ import annotations

import random
import sys
from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Static

from mllab.tui.themes import ThemedApp
from mllab.tui.widgets.logview import LogLine, LogView

START_US = 1_790_000_000_000_000


def sample(count: int, seed: int = 1) -> list[LogLine]:
    """Return lines as a training writes them: progress, colours, warnings, a traceback, wide and hostile text."""
    chance = random.Random(seed)
    lines = []
    for step in range(count):
        text, stream = f"epoch {step // 100:>3}  step {step:>6,}  loss {1 / (1 + step / 50):.5f}  lr 3.0e-04", "stdout"
        kind = chance.random()
        if kind < 0.04:
            text, stream = f"2026-09-21 10:00:{step % 60:02} WARNING trainer: gradient norm is {step}.0", "stderr"
        elif kind < 0.06:
            text, stream = "2026-09-21 10:00:01 ERROR loader: shard 7 is unreadable, skipped", "stderr"
        elif kind < 0.09:
            text = f"\x1b[32m✓\x1b[0m \x1b[1mcheckpoint\x1b[0m \x1b[38;5;39mstep-{step}.pt\x1b[0m 学習 保存しました 💾"
        elif kind < 0.11:
            text, stream = f"  10%|█   | 1/10\r 100%|{'█' * 20}| 10/10 [00:01<00:00]", "stderr"
        elif kind < 0.115:
            text = "x" * 60  # what the bad pattern takes years for
        elif kind < 0.12:
            text = "config " + ", ".join(f"param_{number}={number / 7:.3f}" for number in range(60))
        lines.append(LogLine(START_US + step * 700_000, stream, text))
    at = START_US + count * 700_000
    lines += [
        LogLine(at, "stderr", text)
        for text in (
            "Traceback (most recent call last):",
            '  File "train.py", line 12, in <module>',
            "    loss.backward()",
            "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "evil \x1b]52;c;aGk=\x07 title \x1b[2J and \x1b[8mhidden\x1b[0m \u202e",
        )
    ]
    return lines


class Demo(ThemedApp[None]):
    """The view with a line below that tells its last message."""

    BINDINGS: ClassVar = [
        ("j,down", "view('move', 1)"), ("k,up", "view('move', -1)"), ("pagedown", "view('page', 1)"),
        ("pageup", "view('page', -1)"), ("g,home", "view('home')"), ("G,end", "view('end')"),
        ("n", "view('next_match')"), ("N", "view('previous_match')"), ("left_curly_bracket", "view('jump_minutes', -1)"),
        ("right_curly_bracket", "view('jump_minutes', 1)"), ("f", "turn('is_following')"), ("w", "turn('wrap')"),
        ("l", "turn('show_numbers')"), ("t", "cycle('show_time')"), ("v", "cycle('level')"), ("a", "add"),
        ("slash", "view('search', '(x+x+)+y')"), ("s", "view('search', 'loss 0.02')"), ("q", "quit"),
    ]  # fmt: skip
    CSS = "#said { dock: bottom; height: 1; width: 100%; }"

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines = lines

    def compose(self) -> ComposeResult:
        yield LogView()
        yield Static(id="said", markup=False)

    def on_mount(self) -> None:
        self.query_one(LogView).set_lines(sample(self.lines))

    def action_view(self, name: str, *arguments: object) -> None:
        getattr(self.query_one(LogView), name)(*arguments)

    def action_turn(self, name: str) -> None:
        view = self.query_one(LogView)
        setattr(view, name, not getattr(view, name))

    def action_cycle(self, name: str) -> None:
        view = self.query_one(LogView)
        values = ["off", "clock", "relative"] if name == "show_time" else ["all", "info", "warn", "error"]
        setattr(view, name, values[(values.index(getattr(view, name)) + 1) % len(values)])

    def action_add(self) -> None:
        self.query_one(LogView).append(sample(3, seed=len(self.query_one(LogView))))

    def on_log_view_search_changed(self, event: LogView.SearchChanged) -> None:
        self.query_one("#said", Static).update(
            f"{event.pattern!r}: {event.at} of {event.matches}{'' if event.is_complete else ' so far'} {event.problem}"
        )

    def on_log_view_cursor_moved(self, event: LogView.CursorMoved) -> None:
        self.query_one("#said", Static).update(f"at {event.time_us}")


if __name__ == "__main__":
    Demo(int(sys.argv[1]) if len(sys.argv) > 1 else 2000).run()
