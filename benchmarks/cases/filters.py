"""Filter, sort and first page over all runs of the big store: in a warm process, and in one that starts for it."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import mllab
from benchmarks.cases.stores import big_store
from benchmarks.measure import processes, repeated, why_absent, worker
from benchmarks.report import Row, measured, missing

if TYPE_CHECKING:
    from benchmarks.measure import Context

FILTER = "val.loss < 0.3 and lr < 0.01 and status = finished order by val.accuracy desc"
COLUMNS = ["name", "status", "started", "params.lr", "metrics.val.loss", "metrics.val.accuracy"]
PAGE = 50


def filters(context: Context) -> list[Row]:
    """Measure `mllab.runs` with a filter over metrics, params and status, and MLflow's search on fewer runs."""
    lab = big_store(context)
    runs = lab.engine.rows("SELECT count(*) FROM r_runs")[0][0]
    what = f"filter, sort, first {PAGE} of {runs:,} runs"
    times = repeated(lambda: mllab.runs(FILTER, columns=COLUMNS, limit=PAGE, lab=lab), context.scaled(40, 10), 3)
    rows = [measured("filter", f"{what}: warm", "mllab", "s", times, floor=0.1, aim=0.04)]
    times = repeated(lambda: mllab.runs(columns=COLUMNS, limit=PAGE, lab=lab), context.scaled(40, 10), 3)
    rows.append(measured("filter", f"newest {PAGE} of {runs:,} runs: warm", "mllab", "s", times))
    script = f"import mllab; mllab.runs({FILTER!r}, columns={COLUMNS!r}, limit={PAGE}, lab={lab.root!r})"
    times = processes([sys.executable, "-c", script], context.work, context.scaled(11, 3))
    rows.append(
        measured(
            "filter", f"{what}: cold process", "mllab", "s", times, floor=0.7, aim=0.4,
            note="start to end of the process, files in the page cache",
        )
    )  # fmt: skip
    return [*rows, *_mlflow(context, int(runs) // 10)]


def _mlflow(context: Context, runs: int) -> list[Row]:
    what = f"filter, sort, first {PAGE} of {runs:,} runs"
    reason = why_absent("mlflow")
    if reason:
        return [missing("filter", what, "MLflow (SQLite)", reason)]
    folder = context.scratch("mlflow-search")
    times = worker(folder, "mlflow_search", str(runs), str(context.scaled(50, 20)), folder)["times"]
    shutil.rmtree(folder)
    note = "a tenth of the runs, with the same number of params and metrics each"
    return [measured("filter", f"{what}: warm", "MLflow (SQLite)", "s", times, note=note)]
