"""Bytes a point on disk once sealed, of runs of many lengths with five metrics, beside other ways to store them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import duckdb

from benchmarks.cases.stores import big_store
from benchmarks.measure import worker
from benchmarks.report import Row
from mllab.lab import Lab
from mllab.store.coarse import coarse_path
from mllab.store.layout import regular_file_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Context
    from mllab.store.store import Store


def sizes(context: Context) -> list[Row]:
    """Log realistic curves, seal them, and store the same points in other ways."""
    folder = context.scratch("size")
    worker(folder, "size", str(context.scaled(1, 10)), folder)
    lab = Lab.find(os.path.join(folder, "lab"))
    size, points = _sealed(lab.store)
    what = "sealed points"
    rows = [Row("size", f"{what}: 5 metrics", "mllab", "B", size / points, count=points, floor=6.0, aim=4.0)]
    rows += [
        Row("size", f"{what}: 5 metrics", who, "B", size / points, count=points) for who, size in _others(lab, folder)
    ]
    shutil.rmtree(folder)
    size, points = _sealed(big_store(context).store)
    return [
        *rows,
        Row("size", f"{what}: the generated store", "mllab", "B", size / points, count=points, floor=6.0, aim=4.0),
    ]


def _sealed(store: Store) -> tuple[int, int]:
    """Return the bytes of the points' parts with their coarse copies, and the rows."""
    parts = store.snapshot().manifest.points
    copies = [regular_file_size(coarse_path(store.layout, part.name)) or 0 for part in parts]
    return sum(part.size for part in parts) + sum(copies), sum(part.rows for part in parts)


def _others(lab: Lab, folder: str) -> Iterator[tuple[str, int]]:
    """Yield what else could hold the same points, and the bytes it takes."""
    parts = [lab.store.layout.part(part.name) for part in lab.store.snapshot().manifest.points]
    path = os.path.join(folder, "plain.parquet")
    columns = "ref, key, step, epoch_us(time) AS time, value"
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT {columns} FROM read_parquet({parts})) TO '{path}' (COMPRESSION zstd)")
    yield "DuckDB's Parquet, zstd", os.path.getsize(path)
    path = os.path.join(folder, "points.db")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE points (ref INTEGER, key TEXT, step INTEGER, time INTEGER, value REAL)")
        rows = connection.execute(f"SELECT {columns} FROM read_parquet({parts})")
        while batch := rows.fetchmany(100_000):
            database.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", batch)
    yield "SQLite, no index", os.path.getsize(path)
