"""Make a store of any size, written through the store's own part writer, in minutes and a few gigabytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks.synthetic.curves import SUMMARY_FIELDS, make_block, make_metrics
from benchmarks.synthetic.plan import Shape, make_plan
from benchmarks.synthetic.rows import make_tables
from mllab.errors import UsageError
from mllab.lab import Lab
from mllab.store.manifest import Fold, Manifest, Part, commit, load_newest
from mllab.store.parts import write_part
from mllab.store.schema import POINTS, TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.synthetic.curves import Block, Metric
    from benchmarks.synthetic.plan import Plan
    from mllab.store.blobs import Blobs
    from mllab.store.store import Store

PART_ROWS = 8_000_000
BLOCK_ROWS = 2_000_000


def generate(folder: str, shape: Shape, progress: Callable[[str], None] = lambda _text: None) -> Lab:
    """Make a lab in ``folder`` with a sealed store of ``shape``, as upkeep would have left it.

    The number of points is met to within a point for each metric and run that is rounded; memory stays below
    4 GiB at 100,000 runs and 100 M points.

    Raises:
        UsageError: there is a lab with runs in the folder.
    """
    lab = Lab.init(folder)
    store = lab.store
    if load_newest(store.layout).number:
        raise UsageError(f"The lab in {folder} has runs already.", "Name another folder, or remove this one.")
    began = time.perf_counter()
    plan = make_plan(shape)
    metrics = make_metrics(shape.metrics)
    blobs = _blobs(store.blobs)
    points = _PointParts(store)
    folds: list[Fold] = []
    edited: list[dict[str, Any]] = []
    for first, stop in plan.folds():
        summaries = _fold_points(plan, metrics, first, stop, points)
        folds.append(_write_fold(store, make_tables(plan, metrics, np.arange(first, stop), summaries, blobs)))
        inside = plan.edited[(plan.edited >= first) & (plan.edited < stop)] - first
        edited.append({name: column[:, inside] for name, column in summaries.items()})
        progress(f"{stop:,} of {shape.runs:,} runs, {points.rows:,} points, {time.perf_counter() - began:.0f} s")
    points.flush()
    if len(plan.edited):
        # Runs changed after they were sealed: their old rows are void, the newer ones are in a fold of their own.
        joined = {name: np.concatenate([piece[name] for piece in edited], axis=1) for name in SUMMARY_FIELDS}
        tables = make_tables(plan, metrics, plan.edited, joined, blobs, edited=True)
        folds = [_masked(fold, plan.edited + 1) for fold in folds] + [_write_fold(store, tables)]
    store.disk.sync_folder(store.layout.parts)
    manifest = Manifest(next_ref=shape.runs + 1, folds=tuple(folds), points=tuple(points.parts))
    if commit(store.layout, store.disk, manifest.following()) is None:
        raise UsageError(f"Another process writes to {folder}.", "Name another folder.")
    return lab


class _PointParts:
    """Gathers blocks of points and writes them as parts of at most :data:`PART_ROWS` rows or one block."""

    def __init__(self, store: Store) -> None:
        self.parts: list[Part] = []
        self.rows = 0
        self._store = store
        self._tables: list[pa.Table] = []
        self._waiting = 0

    def add(self, block: Block) -> None:
        """Take a block; its arrays must not change afterwards."""
        if self._waiting + len(block.ref) > PART_ROWS:
            self.flush()
        columns = block.points
        keys = pa.DictionaryArray.from_arrays(pa.array(columns.key), pa.array(columns.keys, pa.string()))
        time_column = pa.array(columns.time).cast(TIME)
        arrays = [block.ref, keys, columns.step, time_column, columns.value, columns.attempt, columns.seq]
        self._tables.append(pa.table(arrays, schema=POINTS))
        self._waiting += len(block.ref)
        self.rows += len(block.ref)

    def flush(self) -> None:
        """Write what was gathered."""
        if self._tables:
            store = self._store
            self.parts.append(write_part(store.layout, store.disk, "points", pa.concat_tables(self._tables)))
        self._tables, self._waiting = [], 0


def _fold_points(plan: Plan, metrics: list[Metric], first: int, stop: int, points: _PointParts) -> dict[str, Any]:
    """Make the points of a fold's runs and return their summaries, [metrics, runs]."""
    pieces = []
    for low, high in _blocks(plan, first, stop):
        block = make_block(plan, metrics, low, high)
        points.add(block)
        pieces.append(block.summaries)
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in SUMMARY_FIELDS}


def _blocks(plan: Plan, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield bounds of groups of runs of about :data:`BLOCK_ROWS` points."""
    ends = np.cumsum(plan.rows()[first:stop])
    low, done = 0, 0
    while low < len(ends):
        high = max(low + 1, int(np.searchsorted(ends, done + BLOCK_ROWS, side="right")))
        yield first + low, first + high
        low, done = high, int(ends[high - 1])


def _write_fold(store: Store, tables: dict[str, pa.Table]) -> Fold:
    parts = {name: write_part(store.layout, store.disk, name, table) for name, table in tables.items()}
    return Fold(parts, tables["runs"].num_rows)


def _masked(fold: Fold, refs: np.ndarray[Any, Any]) -> Fold:
    runs = fold.parts["runs"]
    inside = refs[(refs >= runs.first_ref) & (refs <= runs.last_ref)]
    return Fold(fold.parts, fold.runs, tuple(inside.tolist()))


def _blobs(blobs: Blobs) -> list[tuple[str, int]]:
    """Store a few small files for the runs to share."""
    found = []
    for number in range(4):
        content = f"numpy==2.{number}.0\npandas==3.{number}.0\n".encode()
        blob = blobs.put_bytes(content)
        found.append((blob.sha256, blob.size))
    return found
