"""`run.log` of five metrics from the main thread, call by call and in one go, beside the peers."""

from __future__ import annotations

import shutil
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import peers
from benchmarks.measure import why_absent, worker
from benchmarks.report import Row, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

METRICS = 5
PLAIN = "log 5 metrics"
# Enough calls for a p99, few enough that the slowest peer takes no more than a minute.
CALLS = {
    "mllab": (200_000, 10_000), "trackio": (100_000, 5_000), "wandb": (10_000, 1_000), "mlflow": (1_000, 50),
    "sqlite": (50_000, 5_000), "write": (200_000, 10_000),
}  # fmt: skip
REPEATS = 3
AGAINST_TRACKIO, AGAINST_MLFLOW = 8.0, 1000.0


def logging(context: Context) -> list[Row]:
    """Measure every peer, then mllab's throughput as a multiple of theirs."""
    found: dict[str, dict[str, Any]] = {}
    rows: list[Row] = []
    call = f"{PLAIN}: one call"
    for name in peers.NAMES:
        label = peers.LABELS.get(name, name)
        reason = why_absent(peers.load(name).MODULE)
        if reason:
            rows.append(missing("log", call, label, reason))
            continue
        calls = context.scaled(*CALLS[name])
        found[name] = _median_of(context, name, calls, 1 if context.quick or name == "mlflow" else REPEATS)
        rows += _rows(name, label, call, calls, found[name])
    ours = found["mllab"]
    for name, floor in (("trackio", AGAINST_TRACKIO), ("mlflow", AGAINST_MLFLOW)):
        if name in found:
            what = f"{PLAIN}: throughput as a multiple of {peers.LABELS[name]}"
            acknowledged = ours["calls_s"] / found[name]["calls_s"]
            stored = ours["stored_calls_s"] / found[name]["stored_calls_s"]
            rows.append(Row("log", f"{what}, until stored", "mllab", "x", stored, count=1, floor=floor))
            rows.append(Row("log", f"{what}, until calls return", "mllab", "x", acknowledged, count=1))
    return rows


def _median_of(context: Context, name: str, calls: int, repeats: int) -> dict[str, Any]:
    results = []
    for number in range(repeats):
        folder = context.scratch("log", f"{name}-{number}")
        results.append(worker(folder, "log", name, str(calls), folder))
        shutil.rmtree(folder)
    return {key: median(result[key] for result in results) for key in results[0]}


def _rows(name: str, label: str, call: str, calls: int, result: dict[str, Any]) -> list[Row]:
    ours = name == "mllab"
    best, slow = result["best"], result["p99"]
    bounds: dict[str, Any] = {"floor": 8e-6, "aim": 3e-6} if ours else {}
    rows = [Row("log", call, label, "s", result["median"], best, slow, calls, **bounds)]
    if ours:
        rows.append(Row("log", f"{call}, the slowest of a hundred", label, "s", slow, count=calls, floor=60e-6))
    # The floor on throughput is promise 3 of the project; the aim goes further.
    bounds = {"floor": 1e6, "aim": 1.5e6} if ours else {}
    acknowledged, stored = METRICS * result["calls_s"], METRICS * result["stored_calls_s"]
    rows.append(Row("log", f"{PLAIN}: until calls return", label, "points/s", acknowledged, count=calls, **bounds))
    rows.append(Row("log", f"{PLAIN}: until stored", label, "points/s", stored, count=calls))
    return rows
