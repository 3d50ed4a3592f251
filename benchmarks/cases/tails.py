"""A million points that were written but not sealed, opened by a process that starts for it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import command, processes, worker
from benchmarks.report import Row, measured

if TYPE_CHECKING:
    from benchmarks.measure import Context

METRICS = 5


def tails(context: Context) -> list[Row]:
    """Leave a run unsealed, then read a curve of it, and list it, in new processes."""
    calls = context.scaled(200_000, 20_000)
    folder = context.scratch("tail")
    run_id = worker(folder, "tail", str(calls), folder)["run"]
    lab = os.path.join(folder, "lab")
    script = f"import mllab; assert len(mllab.metrics({run_id!r}, 'loss', max_points=1000, lab={lab!r}))"
    times = processes([sys.executable, "-c", script], folder, context.scaled(11, 3))
    points = calls * METRICS
    what = f"{points:,} unsealed points: a curve, cold process"
    rows = [measured("tail", what, "mllab", "s", times, floor=1.0, aim=0.3, note="start to end of the process")]
    times = processes([*command("mllab"), "--lab", lab, "runs", "ls"], folder, context.scaled(11, 3))
    rows.append(measured("tail", f"{points:,} unsealed points: runs ls, cold process", "mllab", "s", times))
    shutil.rmtree(folder)
    return rows
