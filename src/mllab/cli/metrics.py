"""`mllab metrics`: curves as a line each, or every point as a file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.output import binary_output
from mllab.cli.screen import note, print_json
from mllab.cli.table import Column, print_table
from mllab.exporting import format_of, guarded
from mllab.ids import short_id
from mllab.query.column_lists import split_columns
from mllab.wording import number, plural, sparkline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.query.engine import Engine
    from mllab.query.run_detail import MetricSummary
    from mllab.query.views import RunRow

FORMATS = ("table", "csv", "jsonl", "parquet")
NEWEST = 10
SPARK_CELLS = 24
# Read this many runs' points at a time: a lab's points need not fit into memory.
_BATCH = 64


@click.command("metrics", cls=LabCommand)
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=complete_run)
@click.option("--keys", "-k", metavar="A,B,...", help="Which metrics. Default: all but system/...")
@click.option("--filter", "filter_text", metavar="FILTER", help="The runs that a filter chooses, instead of RUN...")
@click.option("--max-points", type=click.IntRange(min=8), help="The most points of each curve; every extreme stays.")
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), help="Default: by the ending of FILE, else table.")
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(), help="The file to write, or to replace; else stdout."
)
@pass_invocation
def metrics(
    invocation: Invocation,
    runs: tuple[str, ...],
    *,
    keys: str | None,
    filter_text: str | None,
    max_points: int | None,
    kind: str | None,
    output: str | None,
) -> None:
    """Show metrics of runs as sparklines, or write their points.

    A table has a line for each run and metric. csv, jsonl and parquet have one for each point: run_id, key, step,
    time, value. Without RUN and --filter: the newest runs, in files all runs.
    """
    if runs and filter_text is not None:
        raise click.UsageError("Name runs or give a --filter, not both.")
    kind = kind or format_of(output, FORMATS) or ("csv" if output else "table")
    engine = invocation.engine
    wanted = split_columns(keys)
    with engine.steady():
        refs = _chosen(engine, runs, filter_text, limit=NEWEST if kind == "table" else None)
        if kind == "table":
            _print_curves(invocation, refs, wanted)
            return
        with binary_output(output, what="Parquet" if kind == "parquet" else "") as stream:
            count = _write_points(engine, refs, wanted, stream, max_points=max_points, kind=kind)
    if output not in (None, "-"):
        note(f"Wrote {plural(count, 'point')} to {output}")


def _chosen(engine: Engine, runs: tuple[str, ...], filter_text: str | None, *, limit: int | None) -> list[int]:
    """Return the runs by their number in the store; ``limit`` holds where neither runs nor a filter were given."""
    from mllab.query.select import select

    if runs:
        return list(dict.fromkeys(engine.find(run)[0] for run in runs))
    if filter_text is not None:
        return select(engine, filter_text).refs
    found = select(engine, None, limit=limit)
    if found.total > len(found.refs):
        note(f"The {len(found.refs)} newest of {plural(found.total, 'run')}; name runs or --filter others.")
    return found.refs


def _print_curves(invocation: Invocation, refs: list[int], keys: list[str] | None) -> None:
    from mllab.query.run_detail import run_metrics
    from mllab.query.views import SYSTEM_PREFIX, run_rows

    engine, screen = invocation.engine, invocation.screen
    rows = run_rows(engine, refs)
    found = run_metrics(engine, refs, keys, spark_cells=0 if invocation.as_json else SPARK_CELLS)
    lines: list[tuple[RunRow, MetricSummary]] = [
        (rows[ref], each)
        for ref in refs
        for each in found[ref]
        if keys is not None or not each.key.startswith(SYSTEM_PREFIX)
    ]
    if invocation.as_json:
        print_json({"metrics": [_as_json(run, each) for run, each in lines]})
        return
    if not lines:
        note("No metrics.")
        return
    columns = [
        Column("id"),
        Column("run", least=10, rank=3),
        Column("metric", least=10),
        Column("curve", right=True, rank=1),
        Column("last", right=True),
        Column("min", right=True, rank=2),
        Column("max", right=True, rank=2),
        Column("points", right=True, rank=4),
    ]
    glyphs = screen.glyphs
    cells = [
        [short_id(run.run_id), run.name, each.key, sparkline(each.spark, glyphs.bars, glyphs.gap).ljust(SPARK_CELLS),
         number(each.last), number(each.min), number(each.max), f"{each.count:,}"]
        for run, each in lines
    ]  # fmt: skip
    print_table(screen, columns, cells)


def _as_json(run: RunRow, summary: MetricSummary) -> dict[str, Any]:
    from dataclasses import asdict

    fields = asdict(summary)
    fields.pop("spark")
    return {"run_id": run.run_id, "name": run.name, **fields}


def _write_points(
    engine: Engine, refs: list[int], keys: list[str] | None, stream: IO[bytes], *, max_points: int | None, kind: str
) -> int:
    from mllab.query.views import SYSTEM_PREFIX, run_rows

    if keys is None:
        keys = [key for key in engine.keys("summaries") if not key.startswith(SYSTEM_PREFIX)]
    ids = {ref: row.run_id for ref, row in run_rows(engine, refs).items()}
    tables = _tables(engine, refs, ids, keys, max_points, guard=kind == "csv")
    if kind == "jsonl":
        return _write_lines(tables, stream)
    import pyarrow as pa

    writer: Any
    schema = _schema()
    if kind == "csv":
        import pyarrow.csv

        texts = pa.schema(
            [field.with_type(pa.string()) if field.name in ("run_id", "key") else field for field in schema]
        )
        writer = pyarrow.csv.CSVWriter(stream, texts)
        tables = (table.cast(texts) for table in tables)
    else:
        import pyarrow.parquet

        writer = pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd")
    count = 0
    with writer:
        for table in tables:
            writer.write_table(table)
            count += table.num_rows
    return count


def _schema() -> Any:
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("run_id", words),
            ("key", words),
            ("step", pa.int64()),
            ("time", pa.timestamp("us", "UTC")),
            ("value", pa.float64()),
        ]
    )


def _tables(
    engine: Engine, refs: list[int], ids: dict[int, str], keys: list[str], max_points: int | None, *, guard: bool
) -> Iterator[Any]:
    """Yield the points as Arrow tables, a few runs at a time."""
    import numpy as np
    import pyarrow as pa

    from mllab.query.curves import curves

    for start in range(0, len(refs), _BATCH):
        found = list(curves(engine, refs[start : start + _BATCH], keys, max_points=max_points))
        if not found:
            continue
        lengths = [len(curve.step) for curve in found]
        places = np.repeat(np.arange(len(found), dtype=np.int32), lengths)

        def words(texts: list[str], places: Any = places) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(texts, pa.string()))

        yield pa.table(
            [
                words([ids[curve.ref] for curve in found]),
                words([guarded(curve.key) if guard else curve.key for curve in found]),
                np.concatenate([curve.step for curve in found]),
                pa.array(np.concatenate([curve.time for curve in found])).cast(pa.timestamp("us", "UTC")),
                np.concatenate([curve.value for curve in found]),
            ],
            schema=_schema(),
        )


def _write_lines(tables: Iterator[Any], stream: IO[bytes]) -> int:
    import pyarrow as pa

    from mllab.json_text import json_text
    from mllab.wording import iso_time

    count = 0
    for table in tables:
        columns = [table.column(name).to_pylist() for name in ("run_id", "key", "step")]
        columns.append(table.column("time").cast(pa.int64()).to_pylist())
        columns.append(table.column("value").to_pylist())
        for run_id, key, step, moment, value in zip(*columns, strict=True):
            data = {"run_id": run_id, "key": key, "step": step, "time": iso_time(moment), "value": value}
            stream.write(json_text(data).encode() + b"\n")
            count += 1
    return count
