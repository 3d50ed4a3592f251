"""The tables of sealed parts: columns, order and encodings, and run states to and from rows. Needs pyarrow."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mllab.store.points import Summary
from mllab.store.run_state import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

TIME = pa.timestamp("us", tz="UTC")
_TEXT, _I64, _I32, _F64, _BOOL = pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


# Run-level tables: a fold holds one part of each that has rows.
RUN_TABLES: dict[str, pa.Schema] = {
    "runs": _schema(
        ref=_I64, run_id=_TEXT, experiment=_TEXT, name=_TEXT, status=_TEXT, started=TIME, ended=TIME, last_seen=TIME,
        duration=_F64, attempt=_I32, parent_id=_TEXT, forked_from=_TEXT, forked_step=_I64, user=_TEXT, host=_TEXT,
        note=_TEXT, archived=_BOOL, deleted=TIME, damaged=_TEXT, error=_TEXT, info=_TEXT,
    ),
    "params": _schema(key=_TEXT, ref=_I64, type=_TEXT, number=_F64, text=_TEXT),
    "tags": _schema(key=_TEXT, ref=_I64, value=_TEXT),
    "summaries": _schema(
        key=_TEXT, ref=_I64, last=_F64, last_step=_I64, last_time=TIME, attempt=_I32, min=_F64, min_step=_I64,
        max=_F64, max_step=_I64, sum=_F64, count=_I64, nans=_I64, first_step=_I64,
    ),
    "artifacts": _schema(ref=_I64, path=_TEXT, sha256=_TEXT, size=_I64, media=_TEXT, kind=_TEXT, time=TIME),
    "datasets": _schema(
        ref=_I64, name=_TEXT, digest=_TEXT, context=_TEXT, source=_TEXT, schema=_TEXT, rows=_I64, profile=_TEXT,
        time=TIME,
    ),
}  # fmt: skip
POINTS = _schema(ref=_I64, key=pa.dictionary(_I32, _TEXT), step=_I64, time=TIME, value=_F64, attempt=_I32, seq=_I64)
LOGS = _schema(ref=_I64, attempt=_I32, seq=_I64, time=TIME, stream=_TEXT, text=_TEXT)

_SUMMARY_FIELDS = [field.name for field in fields(Summary)]
_JSON_FIELDS = ("error", "info")


def duration_s(run: RunState) -> float:
    """Return seconds from start to end, or to the last sign of life while there is none."""
    return max(0, (run.ended or run.last_seen) - run.started) / 1e6


def tables_from_states(states: list[RunState]) -> dict[str, pa.Table]:
    """Return the run-level tables of ``states``, sorted as stored; empty ones are left out."""
    return {
        name: sort_run_table(name, pa.Table.from_pylist(values, RUN_TABLES[name]))
        for name, values in rows_from_states(states).items()
        if values
    }


def rows_from_states(states: list[RunState]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the run-level tables of ``states``, times as UTC microseconds; fields may be missing."""
    return {
        "runs": [_run_row(run) for run in states],
        "params": [{"key": k, "ref": run.ref, **param_row(v)} for run in states for k, v in run.params.items()],
        "tags": [{"key": k, "ref": run.ref, "value": v} for run in states for k, v in run.tags.items()],
        "summaries": [
            {"key": key, "ref": run.ref, **{name: getattr(summary, name) for name in _SUMMARY_FIELDS}}
            for run in states
            for key, summary in run.summaries.items()
        ],
        "artifacts": [{"ref": run.ref, "path": k, **v} for run in states for k, v in run.artifacts.items()],
        "datasets": [{"ref": run.ref, **v} for run in states for v in run.datasets.values()],
    }


def sort_run_table(name: str, table: pa.Table) -> pa.Table:
    """Sort by key first where there is one, so that a key's rows lie together."""
    if "key" in RUN_TABLES[name].names:
        return table.sort_by([("key", "ascending"), ("ref", "ascending")])
    return table.sort_by("ref")


def _run_row(run: RunState) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in RUN_TABLES["runs"].names if name != "duration"}
    for name in _JSON_FIELDS:
        row[name] = json.dumps(row[name], separators=(",", ":"), default=str) if row[name] else None
    return row | {"duration": duration_s(run)}


def param_row(value: Any) -> dict[str, Any]:
    """Return a param's type, its number where it has one, and its canonical text."""
    if isinstance(value, bool):
        return {"type": "bool", "number": float(value), "text": "true" if value else "false"}
    if isinstance(value, (int, float)):
        return {"type": type(value).__name__, "number": float(value), "text": repr(value)}
    if isinstance(value, str):
        return {"type": "str", "number": None, "text": value}
    if value is None:
        return {"type": "null", "number": None, "text": ""}
    return {"type": "json", "number": None, "text": json.dumps(value, separators=(",", ":"))}


def param_value(kind: str, text: str) -> Any:
    """Return the value that :func:`param_row` described."""
    if kind == "bool":
        return text == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "json":
        return json.loads(text)
    return None if kind == "null" else text


def states_from_tables(tables: dict[str, pa.Table]) -> dict[int, RunState]:
    """Return run states by ref from run-level tables."""
    states = {}
    for row in _rows(tables, "runs"):
        row.pop("duration")
        for name in _JSON_FIELDS:
            row[name] = json.loads(row[name]) if row[name] else None
        row["info"] = row["info"] or {}
        states[row["ref"]] = RunState(**row)
    for row in _rows(tables, "params"):
        states[row["ref"]].params[row["key"]] = param_value(row["type"], row["text"])
    for row in _rows(tables, "tags"):
        states[row["ref"]].tags[row["key"]] = row["value"]
    for row in _rows(tables, "summaries"):
        states[row["ref"]].summaries[row["key"]] = Summary(**{name: row[name] for name in _SUMMARY_FIELDS})
    for row in _rows(tables, "artifacts"):
        states[row.pop("ref")].artifacts[row.pop("path")] = row
    for row in _rows(tables, "datasets"):
        states[row.pop("ref")].datasets[(row["name"], row["digest"], row["context"] or "")] = row
    return states


def _rows(tables: dict[str, pa.Table], name: str) -> Iterable[dict[str, Any]]:
    """Yield rows as dicts, times as UTC microseconds."""
    table = tables.get(name)
    if table is None:
        return
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(_I64))
    yield from table.to_pylist()


def write_options(name: str) -> dict[str, Any]:
    """Return pyarrow's writer options for a table.

    Values are split into byte streams, so that zstd finds the bytes that do not change. Times are plain, so that
    it finds those that metrics of one call share: split or delta-coded they take 0.15 bytes a point less on some
    curves and 0.3 more on others, and split integers are more than DuckDB 1.5 can read.
    """
    options: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 3,
        "row_group_size": 122_880,
        "write_page_checksum": True,
        "store_schema": False,
    }
    if name == "points":
        return options | {
            "data_page_size": 4 << 20,
            "use_dictionary": ["key"],
            "column_encoding": {
                "ref": "DELTA_BINARY_PACKED",
                "step": "DELTA_BINARY_PACKED",
                "seq": "DELTA_BINARY_PACKED",
                "attempt": "DELTA_BINARY_PACKED",
                "time": "PLAIN",
                "value": "BYTE_STREAM_SPLIT",
            },
        }
    text = [column.name for column in (RUN_TABLES.get(name) or LOGS) if column.type == _TEXT and column.name != "text"]
    # Runs share most values of a param: a dictionary takes a third off the table, and off reading one key of it.
    few = ["number", "text"] if name == "params" else []
    return options | {"use_dictionary": text + few, "column_encoding": {"ref": "DELTA_BINARY_PACKED"}}
