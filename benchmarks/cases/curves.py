"""Reading curves of the big store, down-sampled for a chart, beside DuckDB on a plain Parquet of the same points."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import duckdb

import mllab
from benchmarks.cases.stores import big_store
from benchmarks.measure import repeated
from benchmarks.report import Row, measured
from benchmarks.synthetic.plan import LONG_SHARES

if TYPE_CHECKING:
    from benchmarks.measure import Context
    from mllab.lab import Lab

KEY = "train.loss"
MAX_POINTS = 1000
OVERLAID = 50


def curves(context: Context) -> list[Row]:
    """Measure one long curve, and charts of 50 runs of two lengths."""
    lab = big_store(context)
    points = lab.engine.rows("SELECT sum(count) FROM r_summaries")[0][0]
    plain = _plain_copy(context, lab)
    lengths = _runs_by_length(lab)
    longest = max(lengths)
    tenth, hundredth = (longest // divisor for divisor, _ in LONG_SHARES[1:])
    charts: list[tuple[int, int, dict[str, float]]] = [
        (1, longest, {"floor": 0.1, "aim": 0.03}),
        (OVERLAID, hundredth, {"floor": 0.3, "aim": 0.15}),
        (OVERLAID, tenth, {"floor": 0.3, "aim": 0.15}),
    ]
    rows = []
    for count, length, bounds in charts:
        runs = lengths.get(length, [])[:count]
        if runs:
            what = f"of {points:,} points: {len(runs)} x {length:,}"
            rows += [_ours(context, lab, runs, what, bounds), _duckdb(context, plain, runs, what)]
    return rows


def _ours(context: Context, lab: Lab, runs: list[tuple[int, str]], what: str, bounds: dict[str, float]) -> Row:
    ids = [run_id for _, run_id in runs]
    times = repeated(lambda: mllab.metrics(ids, KEY, max_points=MAX_POINTS, lab=lab), context.scaled(20, 5), 2)
    return measured("curves", what, "mllab", "s", times, note=f"max_points={MAX_POINTS}", **bounds)


def _duckdb(context: Context, plain: str, runs: list[tuple[int, str]], what: str) -> Row:
    connection = duckdb.connect()
    refs = ", ".join(str(ref) for ref, _ in runs)
    sql = f"SELECT ref, step, value FROM read_parquet('{plain}') WHERE key = '{KEY}' AND ref IN ({refs})"
    times = repeated(lambda: connection.execute(sql).fetchnumpy(), context.scaled(10, 3))
    return measured("curves", what, "DuckDB, plain Parquet", "s", times, note="all points, not down-sampled")


def _runs_by_length(lab: Lab) -> dict[int, list[tuple[int, str]]]:
    """Return (ref, id) of finished runs by the length of the curve."""
    rows = lab.engine.rows(
        f"""SELECT count, ref, run_id FROM r_summaries JOIN r_runs USING (ref)
        WHERE key = '{KEY}' AND deleted IS NULL ORDER BY count DESC, ref LIMIT 2000"""
    )
    found: dict[int, list[tuple[int, str]]] = {}
    for count, ref, run_id in rows:
        found.setdefault(int(count), []).append((int(ref), str(run_id)))
    return found


def _plain_copy(context: Context, lab: Lab) -> str:
    """Return a Parquet file with all points as DuckDB writes it by default; made once and kept."""
    path = context.path("plain-" + os.path.basename(lab.root) + ".parquet")
    if not os.path.exists(path):
        parts = [lab.store.layout.part(part.name) for part in lab.store.snapshot().manifest.points]
        connection = duckdb.connect()
        connection.execute("SET memory_limit = '2GB'")
        columns = "ref, key, step, epoch_us(time) AS time, value"
        connection.execute(f"COPY (SELECT {columns} FROM read_parquet({parts})) TO '{path}.new' (FORMAT parquet)")
        os.rename(path + ".new", path)
    return path
