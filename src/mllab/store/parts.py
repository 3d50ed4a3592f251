"""Parts: immutable Parquet files named by their content. Written here, and read back whole for merging."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mllab.errors import StoreCorrupt
from mllab.store.coarse import write_coarse
from mllab.store.fs import SEALED_MODE, translate_os_errors
from mllab.store.manifest import Fold, Part
from mllab.store.schema import (
    LOGS,
    POINTS,
    RUN_TABLES,
    TIME,
    sort_run_table,
    states_from_tables,
    tables_from_states,
    write_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout
    from mllab.store.manifest import Manifest
    from mllab.store.points import PointColumns
    from mllab.store.run_state import RunState


KEYS = "mllab.keys"
MAX_KEYS_BYTES = 1 << 20
# Later versions of pyarrow end a page after 20,000 rows, where zstd loses sight of the times that metrics share.
_LIMITS_PAGES = "max_rows_per_page" in inspect.signature(pq.ParquetWriter).parameters


def write_part(layout: Layout, disk: Disk, name: str, table: pa.Table) -> Part:
    """Write a table as a part: synced, hashed and renamed into place. Writing equal rows gives the same part."""
    refs = pc.min_max(table["ref"]).as_py()
    temporary = os.path.join(layout.parts, f"{name}.{os.getpid()}.tmp")
    with translate_os_errors(f"a part of {name}"):
        try:
            # Parquet's bounds leave NaN out, and DuckDB takes them for a proof that there is none.
            bounded = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
            options = write_options(name) | {"write_statistics": bounded}
            row_group_size = options.pop("row_group_size")
            if _LIMITS_PAGES:
                options["max_rows_per_page"] = row_group_size
            with pq.ParquetWriter(temporary, table.schema, **options) as writer:
                writer.write_table(table, row_group_size)
                writer.add_key_value_metadata(_footer(name, table))
            digest, size = _hash_and_sync(temporary, disk)
            part = Part(f"{name}-{digest[:24]}.parquet", size, digest, table.num_rows, refs["min"], refs["max"])
            disk.point("before_part_rename")
            disk.rename(temporary, layout.part(part.name))
            disk.point("after_part_rename")
        except BaseException:
            with contextlib.suppress(OSError):
                disk.unlink(temporary)
            raise
    if name == "points":
        write_coarse(layout, part, table)
    return part


def _footer(name: str, table: pa.Table) -> dict[str, str]:
    """Return what a part's footer says: the keys in a run-level table, which take 50 ms to find in its rows."""
    if "key" not in table.column_names or name == "points":
        return {}
    text = json.dumps(sorted(pc.unique(table["key"]).to_pylist()), separators=(",", ":"))
    return {KEYS: text} if len(text) <= MAX_KEYS_BYTES else {}


def _hash_and_sync(path: str, disk: Disk) -> tuple[str, int]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        disk.fsync(file.fileno())
        os.fchmod(file.fileno(), SEALED_MODE)
        return digest, os.fstat(file.fileno()).st_size


def write_fold(layout: Layout, disk: Disk, states: list[RunState]) -> Fold:
    """Write the run-level rows of ``states``."""
    tables = tables_from_states(states)
    return Fold({name: write_part(layout, disk, name, table) for name, table in tables.items()}, len(states))


def points_table(ref: int, points: PointColumns) -> pa.Table:
    """Return one run's points as a table in stored order."""
    ordered = points.sorted()
    key = pa.DictionaryArray.from_arrays(_numbers(ordered.key, pa.int32()), _texts(ordered.keys))
    columns = [
        _numbers(np.full(len(ordered), ref, np.int64), pa.int64()),
        key,
        _numbers(ordered.step, pa.int64()),
        _numbers(ordered.time, TIME),
        _numbers(ordered.value, pa.float64()),
        _numbers(ordered.attempt, pa.int32()),
        _numbers(ordered.seq, pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=POINTS)


# A reader comes here for each open run, and pa.array() would import pandas where that is installed: 0.15 s.
def _numbers(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _texts(words: Sequence[str]) -> pa.Array:
    encoded = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def logs_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return console lines as a table; rows come in order of run and time."""
    return pa.Table.from_pylist(rows, LOGS)


def read_part(layout: Layout, part: Part, **options: Any) -> pa.Table:
    """Read a part whole; raise StoreCorrupt, naming it, when it is not what its manifest says."""
    path = layout.part(part.name)
    name = part.name.partition("-")[0]
    try:
        if os.path.getsize(path) != part.size:
            raise StoreCorrupt(f"The part {part.name} is cut: {os.path.getsize(path):,} of {part.size:,} bytes.")
        table = pq.read_table(path, page_checksum_verification=True, **options)
        schema = POINTS if name == "points" else LOGS if name == "logs" else RUN_TABLES[name]
        return table.cast(schema)
    except FileNotFoundError:
        raise StoreCorrupt(f"The part {part.name} is missing.", "Run `mllab store verify`.") from None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise StoreCorrupt(f"The part {part.name} is not readable: {error}.", "Run `mllab store verify`.") from error


def load_states(layout: Layout, manifest: Manifest, run_ids: Sequence[str]) -> dict[str, RunState]:
    """Return the sealed states of the given runs; runs that no fold holds are left out."""
    found: dict[str, RunState] = {}
    wanted = pa.array(run_ids, pa.string())
    for fold in manifest.folds:
        runs = read_part(layout, fold.parts["runs"], filters=pc.field("run_id").isin(wanted))
        runs = runs.filter(pc.invert(pc.is_in(runs["ref"], pa.array(fold.masked, pa.int64()))))
        if not runs.num_rows:
            continue
        refs = runs["ref"].combine_chunks()
        tables = {
            name: read_part(layout, part, filters=pc.field("ref").isin(refs))
            for name, part in fold.parts.items()
            if name != "runs"
        }
        for state in states_from_tables({"runs": runs, **tables}).values():
            found[state.run_id] = state
    return found


def merge_folds(layout: Layout, disk: Disk, folds: Sequence[Fold]) -> Fold:
    """Write one fold with the rows of many that are not masked."""
    parts = {}
    count = 0
    for name in RUN_TABLES:
        tables = []
        for fold in folds:
            if name in fold.parts:
                table = read_part(layout, fold.parts[name])
                if fold.masked:
                    table = table.filter(pc.invert(pc.is_in(table["ref"], pa.array(fold.masked, pa.int64()))))
                tables.append(table)
        if tables and (merged := sort_run_table(name, pa.concat_tables(tables))).num_rows:
            parts[name] = write_part(layout, disk, name, merged)
            if name == "runs":
                count = merged.num_rows
    return Fold(parts, count)


def merge_tables(layout: Layout, disk: Disk, name: str, parts: Sequence[Part], without: Sequence[int]) -> Part | None:
    """Write one points or logs part with the rows of many, less those of the runs ``without``."""
    tables = []
    for part in parts:
        table = read_part(layout, part, **({"read_dictionary": ["key"]} if name == "points" else {}))
        if without:
            table = table.filter(pc.invert(pc.is_in(table["ref"], pa.array(without, pa.int64()))))
        tables.append(table)
    merged = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    if not merged.num_rows:
        return None
    columns = ("seq", "attempt", "step", "key", "ref") if name == "points" else ("seq", "attempt", "ref")
    order = np.lexsort([_sortable(merged[column]) for column in columns])
    return write_part(layout, disk, name, merged.take(pa.array(order)))


def _sortable(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return integers that sort like the column."""
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        words = chunk.dictionary.to_pylist()
        rank = np.empty(len(words), np.int32)
        rank[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words), dtype=np.int32)
        ranks: np.ndarray[Any, Any] = rank[chunk.indices.to_numpy()]
        return ranks
    result: np.ndarray[Any, Any] = chunk.to_numpy()
    return result
