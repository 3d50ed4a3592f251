"""The query engine: DuckDB in memory over one snapshot of a store, rebuilt when the store has changed."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import duckdb

from mllab.errors import AmbiguousError, NotFoundError, QueryError, StoreCorrupt
from mllab.ids import is_run_id
from mllab.query import relations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mllab.store.snapshot import Snapshot
    from mllab.store.store import Store

# No extension is ever fetched or loaded: the wheel has what is needed, and a lab works offline.
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "TimeZone": "'UTC'",
}


class Engine:
    """Queries over one store. Safe to use from many threads: each has its own cursor and tables."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._connection = connect()
        self._local = threading.local()
        self._snapshot: Snapshot | None = None
        self._tables: dict[str, Any] = {}
        self._keys: dict[str, frozenset[str]] = {}

    @contextlib.contextmanager
    def steady(self) -> Iterator[Snapshot]:
        """Keep this thread's view of the store still, so that several queries see one state.

        The refs of runs with unsealed records are numbered anew by every snapshot: whoever takes refs from one
        query to the next needs this. Blocks may nest.
        """
        before = getattr(self._local, "held", None)
        snapshot = self._local.held = self.refresh()
        try:
            yield snapshot
        finally:
            self._local.held = before

    def refresh(self) -> Snapshot:
        """Take a new snapshot; this thread's tables show it from here on, or from the end of a steady block."""
        held: Snapshot | None = getattr(self._local, "held", None)
        if held is not None:
            return held
        with self._lock:
            snapshot = self.store.snapshot()
            if self._snapshot is None or snapshot.version != self._snapshot.version:
                self._tables = tail_tables(snapshot)
                self._snapshot, self._keys = snapshot, {}
            snapshot, tables = self._snapshot, self._tables
        local = self._local
        if getattr(local, "version", None) != snapshot.version:
            local.cursor = self._connection.cursor()
            local.resumed = define_tables(local.cursor, self.store, snapshot, tables)
            local.version = snapshot.version
        return snapshot

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run internal SQL over a fresh snapshot and return its rows."""
        self.refresh()
        try:
            found: list[tuple[Any, ...]] = self._relation(sql, params).fetchall()
        except duckdb.Error as error:
            raise translate(error) from error
        return found

    def arrow(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run internal SQL over a fresh snapshot and return a pyarrow Table."""
        self.refresh()
        try:
            return self._relation(sql, params).to_arrow_table()
        except duckdb.Error as error:
            raise translate(error) from error

    def _relation(self, sql: str, params: Sequence[Any]) -> duckdb.DuckDBPyRelation:
        relation: duckdb.DuckDBPyRelation = self._local.cursor.sql(sql, params=list(params) or None)
        return relation

    def points_sql(self, refs: Sequence[int], *, newest: bool = True) -> str:
        """Return a SELECT of the points of some runs that opens only the parts that can hold them."""
        snapshot = self.refresh()
        if not refs:
            return "SELECT * FROM r_points WHERE FALSE"
        wanted = sorted(refs)
        parts = [
            part
            for part in snapshot.manifest.points
            if any(part.first_ref <= ref <= part.last_ref for ref in _within(wanted, part.first_ref, part.last_ref))
        ]
        open_refs = {tail.state.ref for tail in snapshot.tails}
        has_tail = bool(open_refs & set(wanted))
        inner = relations.point_table(self.store.layout, parts, "points", has_tail=has_tail)
        chosen = ", ".join(map(str, wanted))
        sql = f"SELECT * FROM ({inner}) WHERE ref IN ({chosen})"  # noqa: S608  # integers and checked names
        resumed = [ref for ref in self._local.resumed if ref in set(wanted)]
        return relations.newest_points(resumed, f"({sql})") if newest else sql

    def keys(self, table: str) -> frozenset[str]:
        """Return the keys in use in ``summaries``, ``params`` or ``tags``."""
        self.refresh()
        if table not in self._keys:
            rows = self.rows(f"SELECT DISTINCT key FROM r_{table}")  # noqa: S608
            self._keys[table] = frozenset(row[0] for row in rows)
        return self._keys[table]

    def resolve(self, text: str) -> str:
        """Return the id of the run that ``text`` means: an id, the start or end of one, or a name.

        Raises:
            NotFoundError: no run fits.
            AmbiguousError: several do.
        """
        return self.find(text)[1]

    def find(self, text: str, *, deleted: bool = False) -> tuple[int, str]:
        """Return (ref, id) of the run that ``text`` means."""
        which = "" if deleted else "AND deleted IS NULL"
        lowered = text.strip().lower()
        if is_run_id(lowered):
            rows = self.rows(f"SELECT ref, run_id, name FROM r_runs WHERE run_id = ? {which}", [lowered])  # noqa: S608
        else:
            rows = self.rows(
                f"""SELECT ref, run_id, name FROM r_runs
                WHERE (name = ? OR (length(?) >= 4 AND (starts_with(run_id, ?) OR ends_with(run_id, ?)))) {which}
                ORDER BY name = ? DESC, started DESC LIMIT 6""",  # noqa: S608
                [text, lowered, lowered, lowered, text],
            )
        if not rows:
            raise NotFoundError(f"There is no run {text!r} in this lab.", "`mllab runs ls` lists them.")
        if len(rows) > 1:
            shown = ", ".join(f"{name} ({run_id})" for _, run_id, name in rows[:5])
            more = " and more" if len(rows) > 5 else ""
            raise AmbiguousError(f"{text!r} fits several runs: {shown}{more}.", "Use more of the id.")
        return int(rows[0][0]), str(rows[0][1])


def _within(refs: list[int], first: int, last: int) -> list[int]:
    from bisect import bisect_left, bisect_right

    return refs[bisect_left(refs, first) : bisect_right(refs, last)]


def connect() -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection that loads nothing from outside."""
    connection = duckdb.connect(":memory:")
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def define_tables(
    connection: duckdb.DuckDBPyConnection, store: Store, snapshot: Snapshot, tables: dict[str, Any]
) -> list[int]:
    """Define the internal tables and the public views of a snapshot; return the refs of resumed runs."""
    manifest = snapshot.manifest
    for name, table in tables.items():
        connection.register(f"t_{name}", table)
    open_refs = {tail.state.ref for tail in snapshot.tails if tail.state.ref < manifest.next_ref}
    for name in relations.RUN_TABLES:
        sql = relations.run_table(store.layout, manifest, name, open_refs, has_tail=name in tables)
        _view(connection, f"r_{name}", sql)
    for name, parts in (("points", manifest.points), ("logs", manifest.logs)):
        sql = relations.point_table(store.layout, parts, name, has_tail=name in tables)
        _view(connection, f"r_{name}", sql)
    _view(connection, "r_live", "SELECT ref, run_id FROM r_runs WHERE deleted IS NULL")
    resumed = connection.execute("SELECT ref FROM r_runs WHERE attempt > 1 ORDER BY ref").fetchall()
    refs = [int(row[0]) for row in resumed]
    _view(connection, "r_newest", relations.newest_points(refs))
    for name, sql in relations.PUBLIC_VIEWS.items():
        _view(connection, name, sql)
    return refs


def _view(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> None:
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")
    except duckdb.Error as error:
        raise translate(error) from error


def tail_tables(snapshot: Snapshot) -> dict[str, Any]:
    """Return the rows of open runs as Arrow tables, by table name."""
    if not snapshot.tails:
        return {}
    import pyarrow as pa

    from mllab.store.parts import logs_table, points_table
    from mllab.store.points import concat
    from mllab.store.schema import tables_from_states

    tables = tables_from_states([tail.state for tail in snapshot.tails])
    points = [points_table(tail.state.ref, concat(tail.points)) for tail in snapshot.tails if tail.points]
    if points:
        tables["points"] = pa.concat_tables(points).unify_dictionaries()
    logs = [{"ref": tail.state.ref, **row} for tail in snapshot.tails for row in tail.logs]
    if logs:
        tables["logs"] = logs_table(logs)
    return tables


def translate(error: duckdb.Error) -> QueryError | StoreCorrupt:
    """Turn DuckDB's error into one of ours."""
    text = str(error).strip()
    if isinstance(error, duckdb.InterruptException):
        return QueryError("The query was cancelled.", code="QUERY-002")
    if isinstance(error, duckdb.PermissionException):
        return QueryError(
            f"The query was denied: {text}", "User SQL reads the lab's views and nothing else.", code="QUERY-003"
        )
    if ".parquet" in text and isinstance(error, (duckdb.IOException, duckdb.InvalidInputException)):
        return StoreCorrupt(f"A part of the store is not readable: {text}", "Run `mllab store verify`.")
    return QueryError(text, "docs/reference/sql.md lists the views and their columns.")
