"""Rows of a list of runs: taken from columns kept in memory when all are there, else read from Parquet.

At 100,000 runs, a page of those that were started one after the other takes 15 ms from Parquet, so that the first need
not wait for memory, which takes half a second to fill. In another order it takes 100 ms, because every fold has some
of them, and from memory 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mllab.query.resident import resident_column
from mllab.query.views import ParamValue, run_rows, term_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Term
    from mllab.query.resident import Column

_OWN = ("run_id", "status", "deleted")
_TIMES = ("started", "ended", "last_seen", "deleted")
_ATTRIBUTES = {"id": "run_id", "parent": "parent_id", "number": "ref"}
# The columns in memory that a cell is made of, where they are not all.
_FACES: dict[str, tuple[str, ...]] = {"param": ("type", "text"), "tag": ("text",)}
_KINDS = ("metric", "param", "tag")


@dataclass(frozen=True, slots=True)
class ListedRun:
    """What every row of a list has to know of its run; ``deleted`` is when, in UTC microseconds."""

    run_id: str
    status: str
    deleted: int | None


Row: TypeAlias = tuple[ListedRun, tuple[Any, ...]]


def memory_columns(terms: Iterable[Term]) -> list[Column]:
    """Return the columns that rows with these cells are taken from, when they are in memory.

    Those over points are left out: they take seconds to load, and are there once all runs were sorted by them.
    """
    columns: list[Column] = list(_OWN)
    columns += [
        resident_column(term) if term.kind != "run" else _attribute(term) for term in terms if not term.reads_points
    ]
    return list(dict.fromkeys(columns))


def read_rows(engine: Engine, refs: Sequence[int], terms: Sequence[Term]) -> list[Row]:
    """Return for each run itself and a cell for each column. Call it within a block of one state of the lab."""
    found: dict[int, Row] = {}
    rest = list(refs)
    if engine.resident.has(memory_columns(terms)):
        sealed, rest = engine.sealed_and_open(rest)
        found = _from_memory(engine, sealed, terms) if sealed else {}
    if rest:
        found |= _from_store(engine, rest, terms)
    return [found[ref] for ref in refs]


def _from_store(engine: Engine, refs: list[int], terms: Sequence[Term]) -> dict[int, Row]:
    rows = run_rows(engine, refs)
    values = _values(engine, refs, [term for term in terms if term.kind != "run"])

    def cell(term: Term, ref: int) -> Any:
        if term.kind != "run":
            return values[term].get(ref)
        return ref if term.key == "number" else getattr(rows[ref], _attribute(term))

    return {
        ref: (
            ListedRun(rows[ref].run_id, rows[ref].status, rows[ref].deleted),
            tuple(cell(term, ref) for term in terms),
        )
        for ref in refs
    }


def _from_memory(engine: Engine, refs: list[int], terms: Sequence[Term]) -> dict[int, Row]:
    columns = memory_columns(terms)
    base, tables = engine.resident_tables(columns)
    aliases = {table: f"m{place}" for place, table in enumerate(dict.fromkeys((base, *tables.values())))}
    picked: list[str] = []
    places: dict[Column, int] = {}
    for column in columns:
        names = [column] if isinstance(column, str) else _FACES.get(column.kind, tables[column].columns)
        places[column] = len(picked)
        for name in names:
            sql = f'{aliases[tables[column]]}."{name}"'
            picked.append(f"epoch_us({sql})" if name in _TIMES else sql)
    source = " POSITIONAL JOIN ".join(f"{table.name} {alias}" for table, alias in aliases.items())
    numbers = ", ".join(map(str, refs))
    rows = engine.rows(f"SELECT m0.ref, {', '.join(picked)} FROM {source} WHERE m0.ref IN ({numbers})")  # noqa: S608  # integers
    of_points = _values(engine, refs, [term for term in terms if term.reads_points])

    def cell(term: Term, ref: int, values: Sequence[Any]) -> Any:
        if term.reads_points:
            return of_points[term].get(ref)
        place = places[_attribute(term) if term.kind == "run" else resident_column(term)]
        if term.kind == "param":
            return None if values[place] is None else ParamValue(values[place], values[place + 1] or "")
        return values[place]

    return {
        int(ref): (ListedRun(*values[: len(_OWN)]), tuple(cell(term, int(ref), values) for term in terms))
        for ref, *values in rows
    }


def _values(engine: Engine, refs: list[int], terms: Sequence[Term]) -> dict[Term, dict[int, Any]]:
    """Return the values of keys by ref; of those over points from memory, where they are."""
    found: dict[Term, dict[int, Any]] = {}
    for kind in _KINDS:
        found |= term_values(engine, refs, kind, [term for term in terms if term.reads_points], keep=True)
        found |= term_values(engine, refs, kind, [term for term in terms if not term.reads_points])
    return found


def _attribute(term: Term) -> str:
    return _ATTRIBUTES.get(term.key, term.key)
