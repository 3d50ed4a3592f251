"""A table of 100,000 runs under a terminal: from a key to what it changes on screen, and how many bytes that takes.

The processor time of a page tells more than the wall clock where other programs run beside the benchmark.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.measure import environment, why_absent
from benchmarks.pty_session import PtySession
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Context
    from benchmarks.pty_session import Burst

MODULES = {"mllab": "textual", "fastdatatable": "textual_fastdatatable", "textual": "textual"}
LABELS = {"mllab": "mllab", "fastdatatable": "textual-fastdatatable", "textual": "Textual's DataTable"}
COLUMNS, LINES = 120, 40
MOVES_A_PAGE = 30
KEYS_A_SECOND = 30


def tables(context: Context) -> list[Row]:
    """Measure each widget in a process and a terminal of its own."""
    rows: list[Row] = []
    for widget, module in MODULES.items():
        reason = why_absent(module)
        rows += [missing("table", "keys", LABELS[widget], reason)] if reason else _widget(context, widget)
    return rows


def _widget(context: Context, widget: str) -> list[Row]:
    from benchmarks.tui_table_app import row_name

    count = context.scaled(100_000, 5_000)
    size = f"{count:,} rows x 12"
    own = widget == "mllab"

    def row(what: str, unit: str, samples: list[float], floor: float, aim: float, *, judged: str = "p99") -> Row:
        bounds = {"floor": floor, "aim": aim, "judged": judged} if own else {}
        return measured("table", f"{size}: {what}", LABELS[widget], unit, samples, **bounds)

    argv = [sys.executable, "-m", "benchmarks.tui_table_app", widget, str(count)]
    with PtySession(argv, columns=COLUMNS, rows=LINES, environ=environment(context.work), cwd=context.work) as session:
        shown = session.wait_for(row_name(0), timeout_s=300)
        session.quiet(quiet_s=0.5, timeout_s=300)

        def press(key: str, expected: str) -> Burst:
            burst = session.press(key)
            if expected.encode() not in burst.output:
                raise RuntimeError(f"{widget} did not show {expected} after {key}")
            return burst

        moves = _moves(press, context.scaled(7, 2), row_name)
        cpu = session.cpu_s
        pages = [session.press("pagedown") for _ in range(context.scaled(100, 20))]
        cpu = (session.cpu_s - cpu) / len(pages)
        settled = _held(session, "pagedown", context.scaled(3, 1))
        memory_bytes = session.rss_bytes
    return [
        row("first rows", "s", [shown], 1.5, 0.8, judged="median"),
        row("down, key to paint", "s", [each.last_s for each in moves], 0.03, 0.02),
        row("down, on the wire", "B", [each.size_bytes for each in moves], 600, 500, judged="median"),
        row("page down, key to paint", "s", [each.last_s for each in pages], 0.075, 0.06),
        row("page down, CPU", "s", [cpu], 0.02, 0.01, judged="median"),
        row("page down, on the wire", "B", [each.size_bytes for each in pages], 20_000, 14_000, judged="median"),
        row("page down held, settled after the last", "s", [settled], 0.1, 0.05, judged="median"),
        row("memory", "MB", [memory_bytes / 1e6], 250, 200, judged="median"),
    ]


def _moves(press: Callable[[str, str], Burst], pages: int, row_name: Callable[[int], str]) -> list[Burst]:
    """Move down within a page, again and again from the top."""
    bursts = []
    for _ in range(pages):
        bursts += [press("down", row_name(index + 1)) for index in range(MOVES_A_PAGE)]
        for index in reversed(range(MOVES_A_PAGE)):
            press("up", row_name(index))
    return bursts


def _held(session: PtySession, key: str, seconds: float) -> float:
    """Repeat a key as a keyboard does; return how long after the last one the screen still changed."""
    began = time.perf_counter()
    repeats = int(seconds * KEYS_A_SECOND)
    for repeat in range(repeats):
        time.sleep(max(0.0, began + repeat / KEYS_A_SECOND - time.perf_counter()))
        if repeat < repeats - 1:
            session.send(key)
    return session.press(key, quiet_s=0.3).last_s
