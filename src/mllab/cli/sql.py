"""`mllab sql`: a query over the lab's views."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import click

from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.output import binary_output
from mllab.cli.screen import note
from mllab.cli.table import Column, print_table
from mllab.errors import UsageError
from mllab.exporting import format_of, guarded
from mllab.json_text import json_text
from mllab.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

FORMATS = ("table", "csv", "json", "parquet")
MAX_QUERY_BYTES = 4 << 20
MOST_ROWS = 1000
_BATCH_ROWS = 100_000
_MAX_TEXT = 200


@click.command("sql", cls=LabCommand)
@click.argument("query")
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), help="Default: table; json with --json.")
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(), help="The file to write, or to replace; else stdout."
)
@click.option("--timeout", metavar="S", type=click.FloatRange(min=0, min_open=True), help="Cancel after S seconds.")
@pass_invocation
def sql(invocation: Invocation, query: str, kind: str | None, output: str | None, timeout: float | None) -> None:
    """Run QUERY ("-" reads it from standard input) on the views runs, params, tags, metrics, metric_summaries, ...

    DuckDB's SQL, reading this lab and nothing else. docs/reference/sql.md lists the views and their columns.
    """
    from mllab.query.sandbox import Sandbox

    kind = kind or format_of(output, FORMATS) or ("json" if invocation.as_json else "table")
    if query == "-":
        query = _read_query()
    sandbox = Sandbox(invocation.lab.store)
    if kind == "table":
        if output:
            raise UsageError("A table is for the terminal.", "Add --format csv, json or parquet.")
        columns, rows = sandbox.run(query, _first_rows, timeout_s=timeout)
        _print(invocation, columns, rows)
        return
    writers: dict[str, Callable[[duckdb.DuckDBPyRelation, IO[bytes]], None]] = {
        "csv": _write_csv, "json": _write_json, "parquet": _write_parquet,
    }  # fmt: skip
    with binary_output(output, what="Parquet" if kind == "parquet" else "") as stream:
        # In the worker, so that a result is written as it comes and Ctrl-C and the timeout still reach it.
        failures = sandbox.run(query, lambda result: _attempt(writers[kind], result, stream), timeout_s=timeout)
        for failure in failures:
            raise failure


def _attempt(write: Callable[[Any, IO[bytes]], None], result: Any, stream: IO[bytes]) -> list[OSError]:
    """Write, and return what went wrong with the stream: it is no failure of the query."""
    try:
        write(result, stream)
    except OSError as error:
        return [error]
    return []


def _read_query() -> str:
    if sys.stdin is None:
        raise UsageError("Standard input is closed.", 'Give the query: mllab sql "SELECT * FROM runs"')
    return sys.stdin.read(MAX_QUERY_BYTES)


def unique(names: list[str]) -> list[str]:
    """Return names of columns, each once: SQL allows two columns of one name."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        found.append(candidate)
    return found


def _batches(result: duckdb.DuckDBPyRelation) -> Iterator[Any]:
    """Yield Arrow batches whose times carry no zone (they are UTC), and that need no zone data to be read."""
    import pyarrow as pa

    reader = result.to_arrow_reader(_BATCH_ROWS)
    names = unique(list(reader.schema.names))
    for batch in reader:
        columns = [
            column.cast(pa.timestamp(column.type.unit))
            if pa.types.is_timestamp(column.type) and column.type.tz
            else column
            for column in batch.columns
        ]
        yield pa.RecordBatch.from_arrays(columns, names)


def _zones(result: duckdb.DuckDBPyRelation) -> list[bool]:
    return [str(kind) == "TIMESTAMP WITH TIME ZONE" for kind in result.types]


def _first_rows(result: duckdb.DuckDBPyRelation) -> tuple[list[tuple[str, str, bool]], list[list[Any]]]:
    """Return (name, type, whether its times are UTC) of the columns, and one row more than are shown."""
    names = unique(list(result.columns))
    columns = list(zip(names, map(str, result.types), _zones(result), strict=True))
    rows: list[list[Any]] = []
    for batch in _batches(result.limit(MOST_ROWS + 1)):
        rows += [list(row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
    return columns, rows


def _print(invocation: Invocation, columns: list[tuple[str, str, bool]], rows: list[list[Any]]) -> None:
    numbers = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "HUGEINT", "REAL")
    table = [
        Column(
            name, right=any(word in kind for word in numbers) and "(" not in kind.removeprefix("DECIMAL("), rank=place
        )
        for place, (name, kind, _) in enumerate(columns)
    ]
    cells = [
        [_shown(value, utc=utc) for value, (_, _, utc) in zip(row, columns, strict=True)] for row in rows[:MOST_ROWS]
    ]
    if not columns:
        return
    hidden = print_table(invocation.screen, table, cells)
    remarks = [f"only the first {MOST_ROWS:,} rows: --format csv writes all"] if len(rows) > MOST_ROWS else []
    if hidden:
        remarks.append(f"{hidden} of {len(columns)} columns did not fit: a wider terminal, or --format csv")
    if remarks:
        note(". ".join(remarks))


def _shown(value: Any, *, utc: bool) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return number(value, 6)
    text = plain(value, utc=utc)
    return str(text).lower() if isinstance(text, bool) else str(text)[:_MAX_TEXT]


def plain(value: Any, *, utc: bool = False) -> Any:
    """Return a value as JSON has it: times in ISO 8601, bytes in hex, whatever else is no JSON as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):  # a sum of whole numbers is a HUGEINT, which Arrow carries as a decimal
        return int(value) if value == value.to_integral_value() else float(value)
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return isoformat() + ("Z" if utc else "")
    return str(value)


def _write_json(result: duckdb.DuckDBPyRelation, stream: IO[bytes]) -> None:
    names, zones = unique(list(result.columns)), _zones(result)
    before = b"[\n"
    for batch in _batches(result):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            data = {name: plain(value, utc=utc) for name, value, utc in zip(names, row, zones, strict=True)}
            stream.write(before + b"  " + json_text(data).encode())
            before = b",\n"
    stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _write_csv(result: duckdb.DuckDBPyRelation, stream: IO[bytes]) -> None:
    import csv
    import io

    names, zones = unique(list(result.columns)), _zones(result)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([guarded(name) for name in names])

    def cell(value: Any, *, utc: bool) -> Any:
        if isinstance(value, str):
            return guarded(value)
        if isinstance(value, (dict, list)):
            return json_text(plain(value))
        return plain(value, utc=utc)

    for batch in _batches(result):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([cell(value, utc=utc) for value, utc in zip(row, zones, strict=True)])
        stream.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
    stream.write(text.getvalue().encode())


def _write_parquet(result: duckdb.DuckDBPyRelation, stream: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = result.to_arrow_reader(_BATCH_ROWS)
    schema = pa.schema(
        [field.with_name(name) for field, name in zip(reader.schema, unique(reader.schema.names), strict=True)]
    )
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
