"""Six repainting widgets over a slow link: how late the event loop is, which is how late keys are.

Textual's own screen is measured beside, in the same terminal at the same rate.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import environment
from benchmarks.pty_session import PtySession
from benchmarks.report import Row, measured

if TYPE_CHECKING:
    from benchmarks.measure import Context

LABELS = {"paced": "mllab", "stock": "Textual's Screen"}


def links(context: Context) -> list[Row]:
    """Measure both screens on a fast and on two slow links."""
    rows = []
    seconds = context.scaled(10, 3)
    for kib_s in (None, 50.0, 20.0):
        rate = "no limit" if kib_s is None else f"{kib_s:g} KiB/s"
        for kind, label in LABELS.items():
            figures = on_link(context.path(f"link-{kind}.json"), context.work, kind, seconds, kib_s)
            bounds: dict[str, Any] = (
                {"floor": 0.025, "aim": 0.015, "judged": "p99"} if kind == "paced" and kib_s else {}
            )
            note = f"{figures['frames']} frames, at most {figures['most_waiting']} writes waited"
            what = f"6 widgets at 10 Hz, {rate}: lag of the event loop"
            rows.append(measured("link", what, label, "s", figures["lags_s"], note=note, **bounds))
    return rows


def on_link(path: str, work: str, kind: str, seconds: float, kib_s: float | None) -> dict[str, Any]:
    """Run the app on a link of a rate and return its figures."""
    argv = [sys.executable, "-m", "benchmarks.tui_link_app", kind, f"{seconds:g}", path]
    Path(path).unlink(missing_ok=True)
    with PtySession(argv, columns=120, rows=40, environ=environment(work), cwd=work, kib_s=kib_s) as session:
        session.process.wait(120)
    figures: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return figures
