"""The tables and views of one snapshot in DuckDB, each defined when a query first names it.

Defining a view makes DuckDB open every file behind it, and rows of open runs have to be turned into Arrow: a list
of runs should pay for neither points nor console lines.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from mllab.query import relations

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from mllab.store.layout import Layout
    from mllab.store.snapshot import Snapshot

_INTERNAL = (*(f"r_{name}" for name in relations.COLUMNS), "r_live", "r_newest")
_OPEN = tuple(f"t_{name}" for name in relations.COLUMNS)
_VIEWS = (*_INTERNAL, *relations.PUBLIC_VIEWS)
# Not in a path such as parts/runs-0123.parquet.
_NAMED = re.compile(rf"(?<![\w/])(?:{'|'.join((*_VIEWS, *_OPEN))})(?![\w/-])")


class Tables:
    """What the tables of one snapshot are. Safe to share between threads, each with a connection of its own.

    ``keys`` is for the engine to remember the keys in use.
    """

    def __init__(self, layout: Layout, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.keys: dict[str, frozenset[str]] = {}
        self._layout = layout
        self._lock = threading.RLock()
        self._open_rows: dict[str, Any] = {}
        self._resumed: frozenset[int] | None = None
        # Runs whose rows in folds are void, because records of theirs are not sealed yet.
        self._open_refs = {tail.state.ref for tail in snapshot.tails if tail.state.ref < snapshot.manifest.next_ref}

    def define(self, connection: duckdb.DuckDBPyConnection, sql: str, defined: set[str]) -> None:
        """Define what ``sql`` names and ``defined`` does not hold yet, and add it there."""
        for name in dict.fromkeys(_NAMED.findall(sql)):
            if name in defined:
                continue
            if name in _OPEN:
                connection.register(name, self._open_table(name[2:]))
            else:
                source, needed = self._view(connection, name)
                self.define(connection, needed, defined)
                connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {source}")
            defined.add(name)

    def define_all(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Define every table and view, for SQL that is not ours."""
        self.define(connection, " ".join(_VIEWS), set())

    def resumed(self, connection: duckdb.DuckDBPyConnection) -> frozenset[int]:
        """Return the refs of runs with more than one attempt."""
        if self._resumed is None:
            sql = relations.run_table(self._layout, self.snapshot.manifest, "runs", self._open_refs, has_tail=False)
            rows = connection.execute(f"SELECT ref FROM ({sql}) WHERE attempt > 1").fetchall()  # noqa: S608
            open_refs = (tail.state.ref for tail in self.snapshot.tails if tail.state.attempt > 1)
            self._resumed = frozenset((*(int(row[0]) for row in rows), *open_refs))
        return self._resumed

    def points_of(self, refs: Sequence[int]) -> str:
        """Return a SELECT of the points of some runs, ascending, from the parts alone that can hold them."""
        parts = [part for part in self.snapshot.manifest.points if _holds_any(refs, part.first_ref, part.last_ref)]
        chosen = set(refs)
        has_tail = any(tail.points and tail.state.ref in chosen for tail in self.snapshot.tails)
        source = relations.point_table(self._layout, parts, "points", has_tail=has_tail)
        return f"SELECT * FROM ({source}) WHERE ref IN ({', '.join(map(str, refs))})"  # noqa: S608  # integers

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
            has_tail = bool(tails) and self._open_table(table) is not None
            sql = relations.run_table(self._layout, manifest, table, self._open_refs, has_tail=has_tail)
        return sql, f"t_{table}" if has_tail else ""

    def _open_table(self, name: str) -> Any:
        """Return the rows of open runs as an Arrow table, or None when there are none."""
        with self._lock:
            if name not in self._open_rows:
                if name == "points":
                    self._open_rows[name] = _open_points(self.snapshot)
                elif name == "logs":
                    self._open_rows[name] = _open_logs(self.snapshot)
                else:
                    from mllab.store.schema import tables_from_states

                    tables = tables_from_states([tail.state for tail in self.snapshot.tails])
                    self._open_rows |= {table: tables.get(table) for table in relations.RUN_TABLES}
            return self._open_rows[name]


def _open_points(snapshot: Snapshot) -> Any:
    import pyarrow as pa

    from mllab.store.parts import points_table
    from mllab.store.points import concat

    tables = [points_table(tail.state.ref, concat(tail.points)) for tail in snapshot.tails if tail.points]
    return pa.concat_tables(tables).unify_dictionaries()


def _open_logs(snapshot: Snapshot) -> Any:
    from mllab.store.parts import logs_table

    return logs_table([{"ref": tail.state.ref, **row} for tail in snapshot.tails for row in tail.logs])


def _holds_any(refs: Sequence[int], first: int, last: int) -> bool:
    at = bisect_left(refs, first)
    return at < len(refs) and refs[at] <= last
