"""The tables and views of one snapshot in DuckDB, each defined when a query first names it.

Defining a view makes DuckDB open every file behind it, and rows of open runs have to be turned into Arrow: a list
of runs should pay for neither points nor console lines.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from mllab.query import relations
from mllab.query.memory_tables import Pool
from mllab.query.resident import Resident

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from mllab.store.layout import Layout
    from mllab.store.manifest import Part
    from mllab.store.snapshot import Snapshot

MANY_REFS = 1000
_INTERNAL = (*(f"r_{name}" for name in relations.COLUMNS), "r_live", "r_newest")
_OPEN = tuple(f"t_{name}" for name in relations.COLUMNS)
_VIEWS = (*_INTERNAL, *relations.PUBLIC_VIEWS)
# Not in a path such as parts/runs-0123.parquet.
_NAMED = re.compile(rf"(?<![\w/])(?:{'|'.join((*_VIEWS, *_OPEN))})(?![\w/-])")


class Tables:
    """What the tables of one snapshot are. Safe to share between threads, each with a connection of its own.

    ``keys`` is for the engine to remember the keys in use, ``resident`` holds the sealed runs' columns in memory.
    """

    def __init__(self, layout: Layout, snapshot: Snapshot, before: Tables | None = None) -> None:
        self.snapshot = snapshot
        self.resident: Resident = (
            Resident(layout, snapshot.manifest, Pool())
            if before is None
            else before.resident.following(snapshot.manifest)
        )
        self.keys: dict[str, frozenset[str]] = {}
        self._layout = layout
        self._lock = threading.RLock()
        self._open_rows: dict[str, list[dict[str, Any]]] | None = None
        self._open_arrow: dict[str, Any] = {}
        self._resumed: frozenset[int] | None = None
        # Runs whose rows in folds are void, because records of theirs are not sealed yet.
        self._open_refs = {tail.state.ref for tail in snapshot.tails if tail.state.ref < snapshot.manifest.next_ref}

    def define(self, connection: duckdb.DuckDBPyConnection, sql: str, defined: set[str]) -> None:
        """Define what ``sql`` names and ``defined`` does not hold yet, and add it there."""
        for name in dict.fromkeys(_NAMED.findall(sql)):
            if name in defined:
                continue
            if name in _OPEN:
                self._define_open(connection, name[2:])
            else:
                source, needed = self._view(connection, name)
                self.define(connection, needed, defined)
                connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {source}")
            defined.add(name)

    def define_all(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Define every table and view, for SQL that is not ours."""
        self.define(connection, " ".join(_VIEWS), set())

    def void_refs(self) -> list[int]:
        """Return the runs whose rows in folds are void, ascending."""
        return sorted(self._open_refs)

    def resumed(self, connection: duckdb.DuckDBPyConnection) -> frozenset[int]:
        """Return the refs of runs with more than one attempt."""
        if self._resumed is None:
            sql = relations.run_table(self._layout, self.snapshot.manifest, "runs", self._open_refs, has_tail=False)
            rows = connection.execute(f"SELECT ref FROM ({sql}) WHERE attempt > 1").fetchall()  # noqa: S608
            open_refs = (tail.state.ref for tail in self.snapshot.tails if tail.state.attempt > 1)
            self._resumed = frozenset((*(int(row[0]) for row in rows), *open_refs))
        return self._resumed

    def points_of(self, refs: Sequence[int], parts: Sequence[Part] | None = None, *, tail: bool = True) -> str:
        """Return a SELECT of the points of some runs, ascending, from the parts alone that can hold them.

        With ``parts`` only from these, and without ``tail`` nothing that is not sealed.
        """
        among = self.snapshot.manifest.points if parts is None else parts
        parts = [part for part in among if relations.in_range(refs, part)]
        chosen = set(refs)
        has_tail = tail and any(tail.points and tail.state.ref in chosen for tail in self.snapshot.tails)
        source = relations.point_table(self._layout, parts, "points", has_tail=has_tail)
        return f"SELECT * FROM ({source}) WHERE ref IN ({', '.join(map(str, refs))})"  # noqa: S608  # integers

    def rows_of(self, table: str, refs: Sequence[int]) -> str:
        """Return a SELECT of a run-level table's rows of some runs, ascending, from the folds that can hold them."""
        manifest, has_tail = self.snapshot.manifest, bool(self._rows_of_open_runs().get(table))
        source = relations.run_table(self._layout, manifest, table, self._open_refs, has_tail=has_tail, refs=refs)
        chosen = ", ".join(map(str, refs))
        if len(refs) > MANY_REFS:  # planning a longer list takes longer than joining it
            return f"SELECT * FROM ({source}) WHERE ref IN (SELECT unnest([{chosen}]::BIGINT[]))"  # noqa: S608
        return f"SELECT * FROM ({source}) WHERE ref IN ({chosen})"  # noqa: S608  # integers

    def neighbours(self, refs: Sequence[int]) -> list[int]:
        """Return those of some runs, ascending, that lie in one fold, or that are open: the most there are."""
        manifest = self.snapshot.manifest
        groups = [[ref for ref in refs if ref >= manifest.next_ref or ref in self._open_refs]]
        for fold in manifest.folds:
            runs = fold.parts["runs"]
            if fold.runs * 2 > runs.last_ref - runs.first_ref:  # not one of a few runs from here and there
                groups.append([ref for ref in refs if runs.first_ref <= ref <= runs.last_ref])
        return max(groups, key=len)

    def _view(self, connection: duckdb.DuckDBPyConnection, name: str) -> tuple[str, str]:
        """Return a view's SELECT, and the names in it."""
        manifest, tails = self.snapshot.manifest, self.snapshot.tails
        if name == "r_live":
            return "SELECT ref, run_id FROM r_runs WHERE deleted IS NULL", "r_runs"
        if name == "r_newest":
            return relations.newest_points(sorted(self.resumed(connection))), "r_points"
        if name not in _INTERNAL:
            return relations.PUBLIC_VIEWS[name], relations.PUBLIC_VIEWS[name]
        table = name[2:]
        if table == "points":
            has_tail = any(tail.points for tail in tails)
            sql = relations.point_table(self._layout, manifest.points, table, has_tail=has_tail)
        elif table == "logs":
            has_tail = any(tail.logs for tail in tails)
            sql = relations.point_table(self._layout, manifest.logs, table, has_tail=has_tail)
        else:
            has_tail = bool(self._rows_of_open_runs().get(table))
            sql = relations.run_table(self._layout, manifest, table, self._open_refs, has_tail=has_tail)
        return sql, f"t_{table}" if has_tail else ""

    def _define_open(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        """Define ``t_<table>``, the rows of open runs."""
        if table in relations.RUN_TABLES:
            # By lists, not through Arrow: turning Python's objects into that imports pandas, where it is installed.
            rows, columns = self._rows_of_open_runs()[table], relations.COLUMNS[table]
            values = [_bindable(kind, [row.get(name) for row in rows]) for name, kind in columns.items()]
            connection.execute(f"CREATE OR REPLACE TEMP TABLE t_{table} AS SELECT {_unnested(columns)}", values)
            return
        with self._lock:
            if table not in self._open_arrow:
                make = _open_points if table == "points" else _open_logs
                self._open_arrow[table] = make(self.snapshot)
        connection.register(f"t_{table}", self._open_arrow[table])

    def _rows_of_open_runs(self) -> dict[str, list[dict[str, Any]]]:
        with self._lock:
            if self._open_rows is None:
                self._open_rows = {}
                if self.snapshot.tails:
                    from mllab.store.schema import rows_from_states

                    self._open_rows = rows_from_states([tail.state for tail in self.snapshot.tails])
            return self._open_rows


def _unnested(columns: dict[str, str]) -> str:
    """Return a SELECT list that makes columns of the lists $1, $2, ..., which are :func:`_bindable`."""
    selects = {
        "TIMESTAMPTZ": "make_timestamp(unnest(${}::BIGINT[]))",
        "DOUBLE": "unnest(${}::VARCHAR[])::DOUBLE",
    }
    return ", ".join(
        f'{selects.get(kind, f"unnest(${{}}::{kind}[])").format(place)} AS "{name}"'
        for place, (name, kind) in enumerate(columns.items(), 1)
    )


def _bindable(kind: str, values: list[Any]) -> list[Any]:
    """Return a column as a parameter, with times as microseconds.

    Floats are texts, since DuckDB 1.5 takes NaN in a list for NULL.
    """
    return [None if value is None else repr(float(value)) for value in values] if kind == "DOUBLE" else values


def _open_points(snapshot: Snapshot) -> Any:
    import pyarrow as pa

    from mllab.store.parts import points_table
    from mllab.store.points import concat

    tables = [points_table(tail.state.ref, concat(tail.points)) for tail in snapshot.tails if tail.points]
    return pa.concat_tables(tables).unify_dictionaries()


def _open_logs(snapshot: Snapshot) -> Any:
    from mllab.store.parts import logs_table

    return logs_table([{"ref": tail.state.ref, **row} for tail in snapshot.tails for row in tail.logs])
