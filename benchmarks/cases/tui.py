"""The terminal UI of a lab of 100,000 runs under a terminal: from a key to what it changes on screen.

Everything is the real ``mllab`` in a terminal of 120 x 40. What is waited for is what a person would wait for: the name
of the run under the cursor, the count in the top bar, the dots of a curve.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from benchmarks import tui_live
from benchmarks.cases.stores import big_store
from benchmarks.tui_lab import longest_curve, longest_runs, metrics, newest_names, writable_copy
from benchmarks.tui_leet import leet
from benchmarks.tui_session import (
    SECONDS_TO_START,
    ask,
    count_shown,
    curve_shown,
    guarded,
    opened,
    row,
    row_shown,
)  # fmt: skip
from mllab.tui.place import Place

if TYPE_CHECKING:
    from benchmarks.measure import Context
    from benchmarks.pty_session import PtySession
    from benchmarks.report import Row
    from mllab.lab import Lab

SLOW_KIB_S = 20.0
# What comes before a frame puts the terminal into its modes, a few bytes at a time.
_FRAME_BYTES = 1000
_COMPARED = 10


def tui(context: Context) -> list[Row]:
    """Measure start, keys, filters, sorting and charts; then beside live runs; then memory, idling and leet."""
    # Keys archive and delete runs: they go to a copy.
    lab = writable_copy(big_store(context), context.path("tui-lab"))
    rows: list[Row] = []
    parts = (
        start, keys, filters, sorting, charts, slow_link,
        tui_live.busy_keys, tui_live.new_points, tui_live.live_charts, tui_live.idle, tui_live.memory,
    )  # fmt: skip
    for part in parts:
        rows += guarded(part.__name__, lambda part=part: part(context, lab))  # type: ignore[misc]
    shutil.rmtree(lab.root)
    return rows + guarded("leet", lambda: leet(context))


def start(context: Context, lab: Lab) -> list[Row]:
    """Time the first frame and the first run's name, from the start of the process."""
    name, runs = newest_names(lab)[0], _runs(lab)
    frames, names, memory = [], [], []
    for _ in range(context.scaled(11, 3) + 1):
        with opened(context, lab, rests=False) as session:
            names.append(session.wait_for(name, timeout_s=SECONDS_TO_START))
            frames.append(_first_frame(session))
            session.quiet(quiet_s=2.5)
            memory.append(session.rss_bytes / 1e6)
    note = f"load {os.getloadavg()[0]:.1f}"
    return [
        row("start to first frame", "s", frames[1:], 0.5, aim=0.45, note=note),
        row(f"start to first run of {runs:,}", "s", names[1:], 1.0, aim=0.8, note=note),
        row(f"memory after start, {runs:,} runs", "MB", memory[1:], 250, aim=200),
    ]


def _first_frame(session: PtySession) -> float:
    """Return when the first byte of the first burst came that has the size of a frame."""
    began, size = 0.0, 0
    for at, piece in session.pieces():
        if at - began > 0.02:
            began, size = at, 0
        size += len(piece)
        if size > _FRAME_BYTES:
            return began
    raise RuntimeError("there was no frame")


def keys(context: Context, lab: Lab) -> list[Row]:
    """Time moves by a row and by a page, with nothing else going on."""
    with opened(context, lab) as session:
        is_there = row_shown(newest_names(lab))
        moves = [session.press_until("down", is_there) for _ in range(context.scaled(200, 40))]
        pages = []
        for _ in range(context.scaled(100, 20)):
            pages.append(session.press_until("pagedown", is_there))
            time.sleep(0.05)
    note = f"load {os.getloadavg()[0]:.1f}"
    return [
        row("down, key to paint, idle", "s", [each.last_s for each in moves], 0.03, judged="p99", note=note),
        row("page down, key to paint, idle", "s", [each.last_s for each in pages], 0.075, judged="p99", note=note),
    ]


def filters(context: Context, lab: Lab) -> list[Row]:
    """Type a filter on and on: each key makes another number of runs."""
    (key, median), *_ = metrics(lab, 1)
    samples = []
    with opened(context, lab) as session:
        ask(session, b"/", f"{key} < {abs(median):.1f}")
        time.sleep(1.0)
        for digit in "123456789"[: context.scaled(9, 3)]:
            for press in (digit, b"\x7f"):
                samples.append(session.press_until(press, count_shown, timeout_s=5.0).last_s)
                time.sleep(0.2)  # the prompt's cursor blinks, so that there is no moment of quiet
        session.press(b"\x1b")
    note = f"load {os.getloadavg()[0]:.1f}"
    return [
        row(f"filter keystroke to rows, {_runs(lab):,} runs", "s", samples, 0.06, note=note),
        row("filter keystroke to rows, the slowest of a hundred", "s", samples, 0.15, judged="p99", note=note),
    ]


def sorting(context: Context, lab: Lab) -> list[Row]:
    """Sort by one metric after the other, each for the first time."""
    samples = []
    with opened(context, lab) as session:
        for key, _ in metrics(lab, context.scaled(20, 5)):
            ask(session, b":", f"sort {key} desc")
            wanted = f"by metrics.{key}".encode()
            samples.append(session.press_until(b"\r", lambda output, wanted=wanted: wanted in output).last_s)  # type: ignore[misc]
            session.quiet(quiet_s=0.3)
    what = f"sort {_runs(lab):,} runs by another metric"
    return [row(what, "s", samples, 0.2, note=f"load {os.getloadavg()[0]:.1f}")]


def charts(context: Context, lab: Lab) -> list[Row]:
    """Look at the longest curve of the lab, then at the longest runs together."""
    longest = longest_runs(lab, _COMPARED)
    run_id = longest[0][0]
    key, points = longest_curve(lab, run_id)
    one = Place("run", run_id, {"tab": "charts", "metrics": key}).link
    rows = _chart(context, lab, one, f"{points:,} points", 0.06)
    everything = sum(points for _, points in longest)
    many = Place("compare", "", {"runs": ",".join(run for run, _ in longest), "tab": "charts"}).link
    return rows + _chart(context, lab, many, f"{len(longest)} runs of {everything:,} points", 0.2)


def _chart(context: Context, lab: Lab, link: str, what: str, floor: float) -> list[Row]:
    cursor, zoom, finer = [], [], []
    with opened(context, lab, link, rests=False) as session:
        session.wait_until(curve_shown, timeout_s=SECONDS_TO_START)
        opening = session.quiet(quiet_s=1.0) - session.started
        for _ in range(context.scaled(30, 8)):
            cursor.append(session.press_until("left", curve_shown).last_s)
            session.quiet()
        session.press(b"\x7f")
        for _ in range(context.scaled(10, 2)):
            for press in (b"i", b"i", b"I"):
                zoom.append(session.press_until(press, curve_shown).last_s)
                finer.append(session.quiet(quiet_s=0.5) - session.pressed)
            session.press(b"r", quiet_s=0.5)
    note = f"load {os.getloadavg()[0]:.1f}"
    return [
        row(f"chart of {what}: cursor, key to paint", "s", cursor, floor, note=note),
        row(f"chart of {what}: zoom, key to paint", "s", zoom, floor, note=note),
        row(
            f"chart of {what}: zoom, until as fine as can be", "s", finer, note="0.15 s of it is waiting for more keys"
        ),
        row(f"chart of {what}: open it, from the start of the process", "s", [opening]),
    ]


def slow_link(context: Context, lab: Lab) -> list[Row]:
    """Move on a slow link that is free: how late the first byte of what changes is."""
    with opened(context, lab, kib_s=SLOW_KIB_S) as session:
        samples = [session.press("down", quiet_s=0.2).first_s for _ in range(context.scaled(100, 20))]
    return [row(f"down on {SLOW_KIB_S:g} KiB/s, key to first byte", "s", samples, 0.025, judged="p99")]


def _runs(lab: Lab) -> int:
    ((runs,),) = lab.engine.rows("SELECT count(*) FROM r_runs")
    return int(runs)
