"""`mllab runs export`: a table of runs as a file."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_filter
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.output import binary_output, guarded
from mllab.cli.runs_list import row_as_json, split_columns, table_columns
from mllab.cli.screen import UNICODE, Screen, json_lines, json_text, note
from mllab.errors import UsageError
from mllab.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Term

FORMATS = ("csv", "json", "jsonl", "parquet", "md")
_GROUPS = {"metric": "metrics", "param": "params", "tag": "tags"}
_ATTRIBUTES = {"id": "run_id", "parent": "parent_id"}


@click.command("export", cls=LabCommand)
@click.argument("filter_words", metavar="[FILTER]", nargs=-1, shell_complete=complete_filter)
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), help="Default: by the ending of FILE, else csv.")
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(), help="The file to write, or to replace; else stdout."
)
@click.option(
    "--columns", "-c", metavar="A,B,...", help="As for `runs ls`. Default: everything; for md, what `ls` shows."
)
@click.option("--all", "-a", "include_archived", is_flag=True, help="Archived runs too.")
@pass_invocation
def export(
    invocation: Invocation,
    filter_words: tuple[str, ...],
    kind: str | None,
    output: str | None,
    columns: str | None,
    *,
    include_archived: bool,
) -> None:
    """Write the runs that FILTER chooses to a file: csv, json, jsonl, parquet or md.

    Columns are named as in Python: params.lr, tags.team, metrics.loss. In csv a text that a spreadsheet would take for
    a formula (it begins with = + - or @) gets an apostrophe in front; the other formats hold texts as they are.
    """
    kind = kind or format_of(output, FORMATS) or ("json" if invocation.as_json else "csv")
    text = " ".join(filter_words)
    chosen = split_columns(columns)
    with binary_output(output, what="Parquet" if kind == "parquet" else "") as stream:
        if kind in ("csv", "parquet"):
            frame = runs_frame(invocation.engine, text, chosen, include_archived=include_archived)
            count = frame.height
            write_frame(frame, kind, stream)
        else:
            count = _write_rows(invocation.engine, text, chosen, kind, stream, include_archived=include_archived)
    if output not in (None, "-"):
        note(f"Wrote {plural(count, 'run')} to {output}")


def format_of(path: str | None, formats: Sequence[str]) -> str | None:
    """Return the format that a file's ending names."""
    ending = os.path.splitext(path or "")[1][1:].lower()
    return ending if ending in formats else None


def runs_frame(engine: Engine, text: str, columns: list[str] | None, *, include_archived: bool) -> pl.DataFrame:
    """Return the chosen runs as a frame, with a typed column for each param, tag and metric."""
    import polars as pl

    from mllab.query.select import EngineKeys, select
    from mllab.query.views import column, term_values
    from mllab.query.wide import wide_frame

    with engine.steady():
        refs = select(engine, text, include_archived=include_archived).refs
        if columns is None:
            return wide_frame(engine, refs, None)
        keys = EngineKeys(engine)
        terms = {_frame_name(term): term for term in (column(each, keys) for each in columns)}
        plain = [name for name, term in terms.items() if not term.function]
        frame = wide_frame(engine, refs, plain)
        taken = [term for term in terms.values() if term.function]
        found = term_values(engine, refs, "metric", taken)
    series = [pl.Series(_frame_name(term), [found[term].get(ref) for ref in refs], dtype=pl.Float64) for term in taken]
    return frame.with_columns(series).select(list(terms))


def _frame_name(term: Term) -> str:
    if term.kind == "run":
        if term.key == "number":
            raise UsageError("A run's number is no column of a file: it can change.", "Use id.")
        return _ATTRIBUTES.get(term.key, term.key)
    name = f"{_GROUPS[term.kind]}.{term.key}"
    return f"{term.function}({name})" if term.function else name


def write_frame(frame: pl.DataFrame, kind: str, stream: IO[bytes]) -> None:
    """Write a frame as csv, with texts guarded, or as parquet."""
    import polars as pl

    if kind == "parquet":
        buffer = io.BytesIO()  # polars seeks, which a pipe cannot
        frame.write_parquet(buffer)
        stream.write(buffer.getbuffer())
        return
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    frame = frame.with_columns(
        pl.Series(name, [v if v is None else guarded(v) for v in frame[name]], dtype=pl.String) for name in texts
    )
    frame = frame.rename({name: guarded(name) for name in frame.columns if guarded(name) != name})
    stream.write(frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ").encode())


def _write_rows(
    engine: Engine, text: str, columns: list[str] | None, kind: str, stream: IO[bytes], *, include_archived: bool
) -> int:
    from mllab.query.views import list_runs

    page = list_runs(
        engine,
        text,
        limit=None,
        columns=columns,
        which="archived too" if include_archived else "present",
        everything=kind != "md",
    )
    places = range(len(page.rows))
    if kind == "jsonl":
        for place in places:
            stream.write(json_text(row_as_json(page, place)).encode() + b"\n")
    elif kind == "json":
        stream.writelines(text.encode() for text in json_lines(row_as_json(page, place) for place in places))
    else:
        stream.write(_markdown(page).encode())
    return len(page.rows)


def _markdown(page: Any) -> str:
    import time

    from mllab.cli.runs_list import shown
    from mllab.cli.table import Cell
    from mllab.security.terminal import line

    screen = Screen(None, None, color=False, glyphs=UNICODE)
    now = time.time()
    columns = table_columns(page.columns, page)

    def row(texts: Sequence[str]) -> str:
        # Every character that Markdown or HTML in it reads as markup is escaped.
        return "| " + " | ".join(_escaped(line(text)) for text in texts) + " |\n"

    lines = [row([column.heading for column in columns])]
    lines.append("|" + "|".join(" ---: " if column.right else " --- " for column in columns) + "|\n")
    for run, cells in zip(page.rows, page.cells, strict=True):
        values = [
            _dated(term, value) or shown(screen, term, value, run, now)
            for term, value in zip(page.columns, cells, strict=True)
        ]
        lines.append(row([value.text if isinstance(value, Cell) else value for value in values]))
    return "".join(lines)


def _dated(term: Term, value: Any) -> str | None:
    """Return a time as a date: in a file `2h ago` soon says nothing."""
    from mllab.wording import local_time

    return local_time(value) if term.kind == "run" and term.key in ("started", "ended") else None


def _escaped(text: str) -> str:
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text
