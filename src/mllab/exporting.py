"""Runs as a file, in five formats: what every front end writes, byte for byte the same."""

from __future__ import annotations

import contextlib
import io
import os
import time
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from mllab.errors import UsageError, WriteError
from mllab.ids import new_id, short_id
from mllab.json_text import json_lines, json_text
from mllab.wording import STATUS_GLYPHS, ago, duration, iso_time, local_time, number, param

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import polars as pl

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Term
    from mllab.query.views import RunPage, RunRow, Which

FORMATS = ("csv", "json", "jsonl", "parquet", "md")
_GROUPS = {"metric": "metrics", "param": "params", "tag": "tags"}
_ATTRIBUTES = {"id": "run_id", "parent": "parent_id"}
# Runs read at once for JSON: few enough to begin soon, and so many that what a chunk costs by itself is nothing.
_CHUNK = 2000
_TIMES = ("started", "ended")
_NUMBERS = ("started", "ended", "duration", "attempt", "number")
_ROW_FIELDS = (
    "run_id", "name", "experiment", "status", "started", "ended", "last_seen", "duration", "attempt", "parent_id",
    "forked_from", "forked_step", "user", "host", "note", "archived", "deleted", "damaged",
)  # fmt: skip


def format_of(path: str | None, formats: Sequence[str]) -> str | None:
    """Return the format that a file's ending names."""
    ending = os.path.splitext(path or "")[1][1:].lower()
    return ending if ending in formats else None


def write_runs_file(
    engine: Engine, text: str, columns: Sequence[str] | None, path: str, *, which: Which = "present"
) -> int:
    """Write the runs that a filter chooses to a file, in the format that its ending names; return how many.

    The file appears whole, and replaces the one that was there, or nothing changes.

    Raises:
        FilterError: the filter is wrong.
        UsageError: the ending names no format, or a column is none.
        WriteError: the file cannot be written, or something that is no file has its name.
    """
    kind = format_of(path, FORMATS)
    if kind is None:
        endings = ", ".join(f".{each}" for each in FORMATS)
        raise UsageError(f"The ending of {path} names no format.", f"Let it end in one of {endings}.")
    with whole_file(path) as stream:
        return write_runs(engine, text, columns, kind, stream, which=which)


@contextlib.contextmanager
def whole_file(path: str, *, hint: str = "Name another file.") -> Iterator[IO[bytes]]:
    """Give a stream for bytes that become the file ``path``, all at once, when the block ends without an error.

    The bytes have reached the disk before the file that was there is replaced. Every call writes to a name of its
    own in the same folder, so that two that write one file at once leave one of both whole.

    Raises:
        WriteError: the file cannot be written, or ``path`` is a folder, a device or a pipe.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        what = "it is a folder" if os.path.isdir(path) else "it is no file that could be replaced"
        raise WriteError(f"Could not write {path}: {what}.", hint, code="USE-005")
    path = os.path.realpath(path)  # a link stays one
    temporary = os.path.join(os.path.dirname(path), f".mllab-{new_id()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"Could not write {path}: {error.strerror or error}.", hint, code="USE-005") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def write_runs(
    engine: Engine,
    text: str,
    columns: Sequence[str] | None,
    kind: str,
    stream: IO[bytes],
    *,
    which: Which = "present",
    on_row: Callable[[int], None] | None = None,
) -> int:
    """Write the runs that a filter chooses to a stream; return how many.

    Args:
        engine: the lab's query engine.
        text: a filter; docs/reference/filters.md.
        columns: as :func:`mllab.query.views.list_runs` takes them; None for everything, in md for what a list shows.
        kind: one of FORMATS.
        stream: it need not be able to seek.
        which: runs neither archived nor deleted, archived ones too, or the deleted ones instead.
        on_row: told how many runs are written, after each; after all in csv and parquet, which are written at once.
            What it raises ends the writing.
    """
    if kind in ("csv", "parquet"):
        frame = runs_frame(engine, text, columns, which=which)
        write_frame(frame, kind, stream)
        if on_row is not None:
            on_row(frame.height)
        return frame.height
    if kind == "md":
        from mllab.query.views import list_runs

        page = list_runs(engine, text, limit=None, columns=columns, which=which)
        return _write_each(_markdown(page), 2, len(page.rows), stream, on_row)
    with json_rows(engine, text, columns, which=which) as chosen:
        if kind == "json":
            return _write_each(json_lines(chosen.rows), 1, chosen.count, stream, on_row)
        return _write_each((json_text(row) + "\n" for row in chosen.rows), 0, chosen.count, stream, on_row)


def _write_each(
    pieces: Iterable[str], heads: int, count: int, stream: IO[bytes], on_row: Callable[[int], None] | None
) -> int:
    """Write ``count`` runs, a piece each, after the pieces of a heading; return ``count``."""
    for written, piece in enumerate(pieces, 1 - heads):
        stream.write(piece.encode())
        if on_row is not None and 0 < written <= count:
            on_row(written)
    return count


def runs_frame(engine: Engine, text: str, columns: Sequence[str] | None, *, which: Which = "present") -> pl.DataFrame:
    """Return the chosen runs as a frame, with a typed column for each param, tag and metric."""
    import polars as pl

    from mllab.query.select import EngineKeys, select
    from mllab.query.views import column, term_values
    from mllab.query.wide import wide_frame

    with engine.steady():
        refs = select(engine, text, include_archived=which == "archived too", deleted=which == "deleted").refs
        if columns is None:
            return wide_frame(engine, refs, None)
        keys = EngineKeys(engine)
        terms = {_frame_name(term): term for term in (column(each, keys) for each in columns)}
        plain = [name for name, term in terms.items() if not (term.function or term.reads_points)]
        # The ids hold the place of the rows where no column but functions of metrics is asked for.
        frame = wide_frame(engine, refs, list(dict.fromkeys([*plain, "run_id"])))
        taken = [term for term in terms.values() if term.function or term.reads_points]
        found = term_values(engine, refs, "metric", taken)
    series = [pl.Series(_frame_name(term), [found[term].get(ref) for ref in refs], dtype=pl.Float64) for term in taken]
    return frame.with_columns(series).select(list(terms))


def _frame_name(term: Term) -> str:
    if term.kind == "run":
        if term.key == "number":
            raise UsageError("A run's number is no column of a file: it can change.", "Use id.")
        return _ATTRIBUTES.get(term.key, term.key)
    if term.reads_points:
        return str(term)
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


def guarded(text: str) -> str:
    """Return a text for a CSV cell that no spreadsheet takes for a formula.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an apostrophe in front, which
    spreadsheets hide; plain numbers stay as they are. Source: OWASP, CSV Injection.

    >>> guarded("=cmd|' /C calc'!A0"), guarded("-0.5"), guarded("adam")
    ("'=cmd|' /C calc'!A0", '-0.5', 'adam')
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")) or _is_number(text):
        return text
    return f"'{text}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # float() also takes spaces and underscores, which a spreadsheet reads differently.
    return not set(text) - set("+-.0123456789eE")


def run_as_json(row: RunRow) -> dict[str, Any]:
    """Return a run's own fields for JSON: times in ISO 8601, the duration in seconds."""
    fields = {name: getattr(row, name) for name in _ROW_FIELDS}
    for name in ("started", "ended", "last_seen", "deleted"):
        fields[name] = iso_time(fields[name])
    fields["duration_s"] = fields.pop("duration")
    return fields


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Chosen runs for JSON: ``count`` of ``total``; the rows are read as they are taken, and can be once."""

    rows: Iterator[dict[str, Any]]
    count: int
    total: int


@contextlib.contextmanager
def json_rows(
    engine: Engine,
    text: str,
    columns: Sequence[str] | None,
    *,
    which: Which = "present",
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[JsonRows]:
    """Give the rows of the runs that a filter chooses, all from one state of the store, which the block holds.

    Without ``columns`` they have every param, tag and metric. A list of all runs of a large lab begins at once and is
    never in memory whole.

    Raises:
        FilterError: the filter or a column is wrong.
    """
    from mllab.query.select import EngineKeys, select
    from mllab.query.views import automatic_columns, column

    with engine.steady():
        chosen = select(
            engine,
            text,
            include_archived=which == "archived too",
            deleted=which == "deleted",
            limit=limit,
            offset=offset,
        )
        keys = EngineKeys(engine)
        if columns is not None:
            terms = tuple(column(each, keys) for each in columns)
        else:
            mentioned = []
            for term in chosen.columns:
                with contextlib.suppress(UsageError):  # a filter may ask for what is no column
                    mentioned += [column(str(term), keys)] if term.kind != "run" else []
            terms = automatic_columns(engine, chosen.refs, mentioned, everything=True)
        yield JsonRows(_rows(engine, chosen.refs, terms), len(chosen.refs), chosen.total)


def _rows(engine: Engine, refs: Sequence[int], terms: Sequence[Term]) -> Iterator[dict[str, Any]]:
    from mllab.query.views import run_rows, term_values

    for chunk in _chunks(refs):
        runs = run_rows(engine, chunk)
        groups: dict[int, dict[str, dict[str, Any]]] = {ref: {"params": {}, "tags": {}, "metrics": {}} for ref in chunk}
        for kind, group in _GROUPS.items():
            for term, found in term_values(engine, chunk, kind, terms).items():
                name = _bare_name(term)
                for ref, value in found.items():
                    if value is not None:
                        groups[ref][group][name] = value.value if kind == "param" else value
        for ref in chunk:
            yield run_as_json(runs[ref]) | groups[ref]


def _chunks(refs: Sequence[int]) -> list[Sequence[int]]:
    """Return the refs in pieces that each lie together in the store; in one where the order scatters them."""
    chunks = [refs[start : start + _CHUNK] for start in range(0, len(refs), _CHUNK)]
    # Each chunk looks through the parts between its ends: at most three times the whole in all.
    if sum(max(chunk) - min(chunk) for chunk in chunks) <= 3 * (max(refs, default=0) - min(refs, default=0)):
        return chunks
    return [refs]


def _bare_name(term: Term) -> str:
    """Return a column's name without what kind it is."""
    if term.reads_points:
        return str(replace(term, kind=""))
    return f"{term.function}({term.key})" if term.function else term.key


def headings(terms: Sequence[Term]) -> list[str]:
    """Return the headings of a table for people: without a prefix where that is clear."""
    bare = [_bare_name(term) for term in terms]
    return [
        name if bare.count(name) == 1 or term.kind == "run" else str(term)
        for name, term in zip(bare, terms, strict=True)
    ]


def is_right(page: RunPage, place: int) -> bool:
    """Whether a column of a page holds numbers or times, which are aligned right."""
    term = page.columns[place]
    if term.kind == "metric" or (term.kind == "run" and term.key in _NUMBERS):
        return True
    if term.kind != "param":
        return False
    values = [cells[place] for cells in page.cells if cells[place] is not None]
    return bool(values) and all(value.kind in ("int", "float") for value in values)


def cell_text(term: Term, value: Any, now_s: float) -> str:
    """Return a value as a table for people shows it, as it came from outside: not safe to print."""
    if value is None:
        return ""
    if term.kind == "metric":
        return number(float(value))
    if term.kind == "param":
        return param(value.kind, value.text)
    if term.kind == "tag":
        return str(value)
    if term.key == "id":
        return short_id(value)
    if term.key in _TIMES:
        return ago(value, now_s)
    if term.key == "duration":
        return duration(value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _markdown(page: RunPage) -> Iterator[str]:
    """Yield the lines of a table: two of heading, then a run each."""
    from mllab.security.terminal import line

    now = time.time()

    def row(texts: Iterable[str]) -> str:
        return "| " + " | ".join(_escaped(line(text)) for text in texts) + " |\n"

    def shown(term: Term, value: Any, run: RunRow) -> str:
        if term.kind == "run" and term.key in _TIMES:
            return local_time(value)  # in a file `2h ago` soon says nothing
        if term.kind == "run" and term.key == "status":
            return f"{STATUS_GLYPHS.get(value, '?')} {value}{' (damaged)' if run.damaged else ''}"
        return cell_text(term, value, now)

    yield row(headings(page.columns))
    rules = (" ---: " if is_right(page, place) else " --- " for place in range(len(page.columns)))
    yield f"|{'|'.join(rules)}|\n"
    for run, cells in zip(page.rows, page.cells, strict=True):
        yield row(shown(term, value, run) for term, value in zip(page.columns, cells, strict=True))


def _escaped(text: str) -> str:
    """Escape every character that Markdown, or HTML in it, reads as markup."""
    for mark in "\\`*_[]<>|#&~":
        text = text.replace(mark, f"\\{mark}")
    return text
