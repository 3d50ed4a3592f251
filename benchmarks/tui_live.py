"""The terminal UI while runs are logged: keys, new points, live charts, memory; and doing nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import mllab
from benchmarks.tui_lab import metrics, newest_names, writers
from benchmarks.tui_session import REST_S, SECONDS_TO_START, ask, opened, row, row_shown
from mllab.tui.place import Place

if TYPE_CHECKING:
    from benchmarks.measure import Context
    from benchmarks.pty_session import Burst, PtySession
    from benchmarks.report import Row
    from mllab.lab import Lab

WRITERS, HERTZ = 4, 20.0
CHARTS, CHART_HERTZ = 6, 2.0
_MOVES = 20


def busy_keys(context: Context, lab: Lab) -> list[Row]:
    """Time moves while processes log to the lab and the engine reads the history of the longest curves.

    Each filter looks at other steps, so that nothing that was read before answers it; Esc takes back the keyboard, and
    the engine goes on.
    """
    downs: list[Burst] = []
    pages: list[Burst] = []
    ((key, points),) = lab.engine.rows(
        "SELECT key, sum(count) FROM r_summaries GROUP BY key ORDER BY sum(count) DESC, key LIMIT 1"
    )
    with writers(lab, context.work, WRITERS, HERTZ), opened(context, lab, rests=False) as session:
        _started(session)
        is_there = row_shown(newest_names(lab))
        for turn in range(context.scaled(12, 3)):
            ask(session, b"/", f"min({key}) after {turn + 1} < 0")
            session.press("escape", quiet_s=0.05)
            session.press("home", quiet_s=0.05)
            downs += [session.press_until("down", is_there) for _ in range(_MOVES)]
            pages += [session.press_until("pagedown", is_there) for _ in range(_MOVES // 2)]
            time.sleep(1.0)
    note = (
        f"{WRITERS} runs log at {HERTZ:g} Hz; a filter reads {points / 1e6:.0f} M points; load {os.getloadavg()[0]:.1f}"
    )
    return [
        row("down, key to paint, busy", "s", [each.last_s for each in downs], 0.05, judged="p99", note=note),
        row("page down, key to paint, busy", "s", [each.last_s for each in pages], 0.1, judged="p99", note=note),
    ]


def _started(session: PtySession) -> None:
    """Wait until all is loaded: beside live runs the screen changes every second, so quiet says nothing."""
    session.wait_for("following", timeout_s=SECONDS_TO_START)
    time.sleep(REST_S + 2)


def new_points(context: Context, lab: Lab) -> list[Row]:
    """Time from the return of ``log`` to the value on screen, in the list of all runs."""
    samples = []
    with mllab.start_run("live", "probe", lab=lab, capture=False) as run:
        run.log({"probe": 10_000.0}, step=0)
        link = Place("runs", "", {"columns": "name,probe"}).link
        with opened(context, lab, link) as session:
            for step in range(1, context.scaled(60, 10)):
                value = 10_000 + step
                run.log({"probe": float(value)}, step=step)
                logged = time.perf_counter()
                shown = session.started + session.wait_for(str(value), timeout_s=20)
                samples.append(shown - logged)
                time.sleep(0.37)  # so that the times do not fall into step with the looks at the lab
    samples.sort()
    worst = samples[min(len(samples) - 1, int(0.95 * len(samples)))]
    return [
        row("point on disk to screen, 95th percentile", "s", [worst], 1.0, note=f"of {len(samples)}"),
        row("point on disk to screen", "s", samples),
    ]


def live_charts(context: Context, lab: Lab) -> list[Row]:
    """Watch six charts that grow."""
    keys = tuple(f"live/{number}" for number in range(CHARTS))
    seconds = context.scaled(30, 10)
    with writers(lab, context.work, 1, CHART_HERTZ, keys) as ids:
        link = Place("run", ids[0], {"tab": "charts"}).link
        with opened(context, lab, link, rests=False) as session:
            session.wait_for(keys[-1], timeout_s=SECONDS_TO_START)
            time.sleep(3)
            cpu, size = session.cpu_s, len(session.output)
            time.sleep(seconds)
            cpu, size = session.cpu_s - cpu, len(session.output) - size
    what = f"{CHARTS} live charts at {CHART_HERTZ:g} Hz"
    return [
        row(f"{what}: CPU", "%", [100 * cpu / seconds], 10.0),
        row(f"{what}: on the wire", "KiB a second", [size / 1024 / seconds], 100.0),
    ]


def idle(context: Context, lab: Lab) -> list[Row]:
    """Do nothing in a lab in which nothing happens."""
    seconds = context.scaled(30, 10)
    with opened(context, lab) as session:
        cpu, size = session.cpu_s, len(session.output)
        time.sleep(seconds)
        cpu, size = session.cpu_s - cpu, len(session.output) - size
    return [row("doing nothing: CPU", "%", [100 * cpu / seconds], 1.0, note=f"{size} bytes in {seconds} s")]


def memory(context: Context, lab: Lab) -> list[Row]:
    """Use everything for minutes beside live runs, and watch what that holds."""
    minutes = context.scaled(10, 1)
    keys = [key for key, _ in metrics(lab, 12)]
    found: list[tuple[float, float]] = []
    with writers(lab, context.work, WRITERS, HERTZ) as ids, opened(context, lab, rests=False) as session:
        _started(session)
        began = time.monotonic()
        turn = 0
        while time.monotonic() - began < minutes * 60:
            _use(session, keys[turn % len(keys)], ids[turn % len(ids)])
            turn += 1
            found.append((time.monotonic() - began, session.rss_bytes / 1e6))
    half = [each for each in found if each[0] > minutes * 30]
    growth = (half[-1][1] - half[0][1]) / max((half[-1][0] - half[0][0]) / 60, 1e-9)
    note = (
        f"{turn} rounds of keys, filter, sort and charts in {minutes} min; in the second half {growth:+.1f} MB a minute"
    )
    return [
        row("memory after live use", "MB", [found[-1][1]], 250, aim=200, note=note),
        row("memory at most", "MB", [max(size for _, size in found)]),
    ]


def _use(session: PtySession, key: str, run_id: str) -> None:
    """Filter, sort, page, open a live run's charts, and come back."""
    # As a command, because that prompt is always empty: the filter's begins with the filter from before.
    ask(session, b":", f"filter {key} < 0.7")
    session.press(b"\r", quiet_s=0.2)
    ask(session, b":", f"sort {key} desc")
    session.press(b"\r", quiet_s=0.2)
    for press, rest in ((b"\x1b[6~" * 5, 0.5), (b"\x1b[B" * 20, 0.5)):
        session.send(press)
        time.sleep(rest)
    ask(session, b":", f"open {run_id}")
    session.press(b"\r", quiet_s=0.2)
    # The charts tab, the cursor, closer, everything again, the list.
    for press, rest in ((b"\t", 1.0), (b"\x1b[C" * 10, 0.5), (b"i", 0.5), (b"r", 0.5), (b"1", 0.5)):
        session.send(press)
        time.sleep(rest)
