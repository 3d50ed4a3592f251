"""Logging whole arrays: `run.log_batch` of numpy steps and values."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from benchmarks.measure import why_absent, worker
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

POINT_BYTES = 16


def batches(context: Context) -> list[Row]:
    """Measure arrays of a million points, the same bytes written bare, and MLflow's batches of a thousand."""
    points, times = context.scaled(1_000_000, 100_000), 20
    folder = context.scratch("batch")
    what = f"log_batch of {points:,} points"
    result = worker(folder, "batch", str(points), str(times), folder)
    shutil.rmtree(folder)
    rows = [
        measured("batch", what, "mllab", "points/s", result["rates"], floor=5e6),
        Row("batch", f"{what}: until on the device", "mllab", "points/s", result["stored"], count=1),
    ]
    for is_synced, note in ((False, "steps and values, 16 bytes a point"), (True, "the same, with fsync")):
        rates = _bare(context, points, times, is_synced=is_synced)
        rows.append(measured("batch", what, "write(2) of 4 MiB pieces", "points/s", rates, note=note))
    reason = why_absent("mlflow")
    if reason:
        return [*rows, missing("batch", "log_batch", "MLflow (SQLite)", reason)]
    folder = context.scratch("batch-mlflow")
    rates = worker(folder, "mlflow_batch", str(context.scaled(20_000, 2_000)), folder)["rates"]
    shutil.rmtree(folder)
    note = "1,000 points a call, its limit"
    return [*rows, measured("batch", "log_batch of 1,000 points", "MLflow (SQLite)", "points/s", rates, note=note)]


def _bare(context: Context, points: int, times: int, *, is_synced: bool) -> list[float]:
    path = context.path("bare")
    data = memoryview(os.urandom(points * POINT_BYTES))
    rates = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(times):
            began = time.perf_counter()
            for at in range(0, len(data), 4 << 20):
                os.write(fd, data[at : at + (4 << 20)])
            if is_synced:
                os.fsync(fd)
            rates.append(points / (time.perf_counter() - began))
    finally:
        os.close(fd)
        os.unlink(path)
    return rates
