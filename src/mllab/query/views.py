"""Lists of runs, a page at a time, for front ends. No click and no Textual here; DuckDB alone is loaded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mllab.errors import FilterError, NotFoundError, UsageError
from mllab.query.filter_ast import Term
from mllab.query.filter_parser import parse
from mllab.query.filter_terms import resolve
from mllab.query.resident import resident_column
from mllab.query.select import EngineKeys, select
from mllab.query.sources import SUMMARY, TABLES, over_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from mllab.query.engine import Engine

Which = Literal["present", "archived too", "deleted"]
# Columns of a list for people: the rest are in `runs show`.
LIST_COLUMNS = ("id", "name", "experiment", "status", "started", "duration")
AUTOMATIC_METRICS = AUTOMATIC_PARAMS = 3
# What a run samples of its machine is not what an experiment is about.
SYSTEM_PREFIX = "system/"
_FIELDS = (
    "run_id", "experiment", "name", "status", "started", "ended", "last_seen", "duration", "attempt", "parent_id",
    "forked_from", "forked_step", "user", "host", "note", "archived", "deleted", "damaged",
)  # fmt: skip
_TIMES = {"started", "ended", "last_seen", "deleted"}
_ATTRIBUTE_FIELDS = {"id": "run_id", "parent": "parent_id"}
_INLINE_REFS = 1000


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the store says of a run itself. Times are UTC microseconds, ``duration`` seconds."""

    run_id: str
    experiment: str
    name: str
    status: str
    started: int
    ended: int | None
    last_seen: int | None
    duration: float
    attempt: int
    parent_id: str | None
    forked_from: str | None
    forked_step: int | None
    user: str | None
    host: str | None
    note: str | None
    archived: bool
    deleted: int | None
    damaged: str | None


@dataclass(frozen=True, slots=True)
class ParamValue:
    """A param: its type's name and its canonical text."""

    kind: str
    text: str

    @property
    def value(self) -> Any:
        """The param as it was logged; the text itself where Python refuses to read it."""
        try:
            if self.kind == "bool":
                return self.text == "true"
            if self.kind in ("int", "float"):
                return int(self.text) if self.kind == "int" else float(self.text)
            if self.kind == "json":
                return json.loads(self.text)
        except (ValueError, RecursionError):  # thousands of digits, or of brackets
            return self.text
        return None if self.kind == "null" else self.text


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of a list of runs.

    Attributes:
        columns: what was asked for, or what is worth showing.
        rows: the runs, in order.
        cells: for each row a value for each column: an attribute, a number, a ParamValue or a tag's text; None
            where the run has none.
        total: how many runs there are on all pages.
        offset: how many of them come before this page.
    """

    columns: tuple[Term, ...]
    rows: tuple[RunRow, ...]
    cells: tuple[tuple[Any, ...], ...]
    total: int
    offset: int = 0


def list_runs(
    engine: Engine,
    filter_text: str = "",
    *,
    limit: int | None = 30,
    offset: int = 0,
    columns: Sequence[str] | None = None,
    which: Which = "present",
    everything: bool = False,
    now: datetime | None = None,
) -> RunPage:
    """Return a page of the runs that a filter chooses, reading only what the page shows.

    Args:
        engine: the lab's query engine.
        filter_text: a filter; docs/reference/filters.md.
        limit: the most rows; None for all.
        offset: how many rows to leave out first.
        columns: attributes and keys as a filter names them, such as ``name``, ``loss``, ``min(loss)``, ``params.lr``;
            None for the usual attributes and a few metrics and params: those in the filter, then the commonest.
        which: runs neither archived nor deleted (a filter that mentions ``archived`` decides by itself), archived
            runs too, or the deleted ones instead.
        everything: without ``columns``: every param, tag and metric of these runs.
        now: the clock for times such as ``1d ago``.

    Raises:
        FilterError: the filter or a column is wrong.
    """
    with engine.steady():
        chosen = select(
            engine,
            filter_text,
            include_archived=which == "archived too",
            deleted=which == "deleted",
            limit=limit,
            offset=offset,
            now=now,
        )
        refs = chosen.refs
        if columns is not None:
            keys = EngineKeys(engine)
            terms = tuple(column(text, keys) for text in columns)
        else:
            mentioned = [term for term in chosen.columns if term.kind != "run" and _is_column(term)]
            terms = automatic_columns(engine, refs, mentioned, everything=everything)
        rows = run_rows(engine, refs)
        cells = _cells(engine, refs, rows, terms)
    return RunPage(terms, tuple(rows[ref] for ref in refs), cells, chosen.total, offset)


def column(text: str, keys: EngineKeys) -> Term:
    """Return the column that ``text`` names, as a filter would name it.

    Raises:
        UsageError: it names nothing that a run has, or is no single term.
    """
    try:
        query = parse(f"order by {text}")
        term = resolve(query.order[0].term, keys)
    except FilterError as error:
        raise UsageError(f"{text!r} is no column: {error.message}", error.hint) from error
    if len(query.order) != 1 or query.limit is not None or query.order[0].descending or not _is_column(term):
        raise UsageError(f"{text!r} is no column.", "Columns: name, loss, min(loss), params.lr, tags.team, ...")
    return replace(term, column=0)


def _is_column(term: Term) -> bool:
    return term.low is None and term.high is None


def automatic_columns(
    engine: Engine, refs: Sequence[int], mentioned: Iterable[Term] = (), *, everything: bool = False
) -> tuple[Term, ...]:
    """Return the usual attributes, what was mentioned, and the metrics and params that most of the runs have.

    What is the same in all of them comes last: it tells no run from another. Of equally common metrics those that
    were logged more than once come first: they are what a training run is watched by.
    """
    chosen = list(dict.fromkeys(mentioned))
    kinds: tuple[tuple[Literal["metric", "param", "tag"], str, str, str, int], ...] = (
        ("metric", "summaries", "last", "max(count) > 1", AUTOMATIC_METRICS),
        ("param", "params", "text", "FALSE", AUTOMATIC_PARAMS),
        ("tag", "tags", "value", "FALSE", 0),
    )
    # In a large lab, the runs of one part speak for all: looking through every part takes half a second.
    sample = refs if everything else engine.neighbours(refs)
    for kind, table, value, curve, most in kinds:
        if not refs or (not most and not everything):
            continue
        rows = engine.rows(
            f"""SELECT key, count(*), count(DISTINCT {value}), {curve}
            FROM ({engine.rows_sql(table, sample)}) GROUP BY key"""  # noqa: S608  # fixed names and integers
        )
        rows.sort(key=lambda row: (row[2] < 2, -row[1], not row[3], row[0]))
        # Beside min(loss) in a list for people, loss is left out; what is to have everything has both.
        have = {
            term.key
            for term in chosen
            if term.kind == kind and not (everything and (term.function or term.reads_points))
        }
        room = len(rows) if everything else max(most - len(have), 0)
        fitting = [
            row[0] for row in rows if row[0] not in have and (everything or not row[0].startswith(SYSTEM_PREFIX))
        ]
        chosen += [Term(kind, key) for key in fitting[:room]]
    order = {"run": 0, "metric": 1, "param": 2, "tag": 3}
    chosen.sort(key=lambda term: order[term.kind])
    return (*(Term("run", name) for name in LIST_COLUMNS), *chosen)


def in_refs(refs: Sequence[int], name: str = "ref") -> str:
    """Return SQL that is true for some runs: a list that parts can be skipped by while it is short."""
    numbers = ", ".join(map(str, refs))
    if not refs:
        return "FALSE"
    return (
        f"{name} IN ({numbers})" if len(refs) <= _INLINE_REFS else f"{name} IN (SELECT unnest([{numbers}]::BIGINT[]))"
    )


def page(
    engine: Engine, refs: Sequence[int] | NDArray[np.int64], columns: Sequence[str | Term]
) -> tuple[tuple[RunRow, ...], tuple[tuple[Any, ...], ...]]:
    """Return the rows of some runs and their cells, as a RunPage has them, from columns kept in memory.

    The first call loads what is not there yet, the second copies it, with numpy and pyarrow; a list that is paged
    through takes microseconds a row from then on.

    Args:
        engine: the lab's query engine.
        refs: runs, as :func:`mllab.query.select.select_refs` returned them in the same steady block.
        columns: as a filter names them, or terms that :func:`column` returned.

    Raises:
        UsageError: a column is none.
    """
    with engine.steady():
        keys = EngineKeys(engine)
        terms = [column(each, keys) if isinstance(each, str) else each for each in columns]
        wanted = [int(ref) for ref in refs]
        rows = run_rows(engine, wanted, keep=True)
        cells = _cells(engine, wanted, rows, terms, keep=True)
    return tuple(rows[ref] for ref in wanted), cells


def run_rows(engine: Engine, refs: Sequence[int], *, keep: bool = False) -> dict[int, RunRow]:
    """Return the runs' own rows by ref; with ``keep`` from columns in memory, loaded where they are not there."""
    # DuckDB's Python client needs pytz for timestamps with a zone; microseconds need nothing.
    found: dict[int, RunRow] = {}
    if keep or engine.resident.has(_FIELDS):
        sealed, refs = engine.sealed_and_open(refs)
        if sealed:
            taken = engine.values(_FIELDS, sealed)
            values = [taken[name][name] for name in _FIELDS]
            found = {ref: RunRow(*row) for ref, *row in zip(sealed, *values, strict=True)}
        if not refs:
            return found
    columns = ", ".join(f"epoch_us({name})" if name in _TIMES else f'"{name}"' for name in _FIELDS)
    rows = engine.rows(f"SELECT ref, {columns} FROM ({engine.rows_sql('runs', refs)})")  # noqa: S608  # fixed names
    return found | {int(ref): RunRow(*values) for ref, *values in rows}


def _cells(
    engine: Engine, refs: Sequence[int], rows: dict[int, RunRow], columns: Sequence[Term], *, keep: bool = False
) -> tuple[tuple[Any, ...], ...]:
    values: dict[Term, dict[int, Any]] = {}
    for kind in ("metric", "param", "tag"):
        values |= term_values(engine, refs, kind, columns, keep=keep)
    readers = [_attribute_reader(term, rows) if term.kind == "run" else values[term].get for term in columns]
    return tuple(tuple(read(ref) for read in readers) for ref in refs)


def _attribute_reader(term: Term, rows: dict[int, RunRow]) -> Callable[[int], Any]:
    name = _ATTRIBUTE_FIELDS.get(term.key, term.key)
    return (lambda ref: ref) if name == "number" else (lambda ref: getattr(rows[ref], name))


def term_values(
    engine: Engine, refs: Sequence[int], kind: str, columns: Sequence[Term], *, keep: bool = False
) -> dict[Term, dict[int, Any]]:
    """Return the values of the columns of one kind (metric, param or tag), by column and ref.

    With ``keep`` they are from columns in memory, loaded where they are not there.
    """
    found: dict[Term, dict[int, Any]] = {term: {} for term in columns if term.kind == kind}
    if not found or not refs:
        return found
    pending = dict.fromkeys(found, refs)
    if keep:
        # Points of a page are read for the page, unless all runs were sorted by what they say.
        kept = [term for term in found if not term.reads_points or engine.resident.has([resident_column(term)])]
        sealed, opened = engine.sealed_and_open(refs)
        taken = engine.values([resident_column(term) for term in kept], sealed)
        for term in kept:
            pairs = zip(sealed, _taken_values(kind, taken[resident_column(term)]), strict=True)
            found[term].update((ref, value) for ref, value in pairs if value is not None)
            pending[term] = opened
    for term, wanted in pending.items():
        if term.reads_points and wanted:
            found[term].update(engine.rows(*_over_points(engine, wanted, term)))
    stored = [term for term, wanted in pending.items() if wanted and not term.reads_points]
    if not stored:
        return found
    by_key: dict[str, list[tuple[int, dict[int, Any]]]] = {}
    functions = list(dict.fromkeys(term.function or "last" for term in stored))
    for term in stored:
        by_key.setdefault(term.key, []).append((functions.index(term.function or "last"), found[term]))
    refs = pending[stored[0]]
    picks = {"metric": ", ".join(SUMMARY[each] for each in functions), "param": "type, text", "tag": "value"}
    rows = engine.rows(
        f"""SELECT ref, key, {picks[kind]} FROM ({engine.rows_sql(TABLES[kind], refs)})
        WHERE key IN ({", ".join("?" * len(by_key))})""",  # noqa: S608  # fixed names and integers
        list(by_key),
    )
    for ref, key, *picked in rows:
        for place, values in by_key[key]:
            values[ref] = ParamValue(*picked) if kind == "param" else picked[place]
    return found


def _over_points(engine: Engine, refs: Sequence[int], term: Term) -> tuple[str, list[Any]]:
    """Return SQL for (ref, value) of a term that looks at points, and its parameters."""
    params: list[Any] = []

    def bind(value: Any) -> str:
        params.append(value)
        return f"${len(params)}"

    points = engine.points_sql(refs, newest=term.reads_newest)
    return over_points(term, bind, f"({points})", f"({engine.rows_sql('runs', refs)})"), params


def _taken_values(kind: str, values: dict[str, list[Any]]) -> list[Any]:
    if kind != "param":
        return values["text"] if kind == "tag" else next(iter(values.values()))
    pairs = zip(values["type"], values["text"], strict=True)
    return [None if name is None else ParamValue(name, text or "") for name, text in pairs]


def find_run(engine: Engine, text: str) -> tuple[int, str]:
    """Return (ref, id) of the run that ``text`` means; of a deleted one when no other fits."""
    try:
        return engine.find(text)
    except NotFoundError:
        return engine.find(text, deleted=True)


@dataclass(frozen=True, slots=True)
class LabCounts:
    """How much a lab holds: runs by status, archived and deleted ones, and the newest run."""

    by_status: dict[str, int]
    archived: int
    deleted: int
    damaged: int
    experiments: int
    newest: RunRow | None

    @property
    def runs(self) -> int:
        """Runs that are neither archived nor deleted."""
        return sum(self.by_status.values())


def lab_counts(engine: Engine) -> LabCounts:
    """Return how many runs a lab has, by status."""
    with engine.steady():
        rows = engine.rows(
            """SELECT status, archived, deleted IS NOT NULL, count(*), count(damaged)
            FROM r_runs GROUP BY ALL"""
        )
        experiments = engine.rows("SELECT count(DISTINCT experiment) FROM r_runs WHERE deleted IS NULL")[0][0]
        newest = [
            int(row[0])
            for row in engine.rows(
                "SELECT ref FROM r_runs WHERE deleted IS NULL AND NOT archived ORDER BY started DESC, ref DESC LIMIT 1"
            )
        ]
        row = next(iter(run_rows(engine, newest).values()), None)
    present: Counter[str] = Counter()
    archived = deleted = damaged = 0
    for status, is_archived, is_deleted, count, hurt in rows:
        damaged += 0 if is_deleted else hurt
        if is_deleted:
            deleted += count
        elif is_archived:
            archived += count
        else:
            present[status] += count
    return LabCounts(dict(present), archived, deleted, damaged, experiments, row)
