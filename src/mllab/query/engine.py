"""The query engine: DuckDB in memory over one snapshot of a store, rebuilt when the store has changed."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from mllab.errors import AmbiguousError, NotFoundError, QueryError, StoreCorrupt
from mllab.ids import is_run_id
from mllab.query import relations
from mllab.query.tables import Tables
from mllab.store.fs import FOLDER_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from mllab.query.memory_tables import Base, MemoryTable
    from mllab.query.resident import Column, Resident
    from mllab.store.manifest import Part
    from mllab.store.snapshot import Snapshot
    from mllab.store.store import Store

T = TypeVar("T")
SPILL = "spill"

# No extension is ever fetched or loaded: the wheel has what is needed, and a lab works offline.
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    # It would be drawn into the standard output of the user's script.
    "enable_progress_bar": "false",
    # Parts never change under their name, so their footers are parsed once.
    "parquet_metadata_cache": "true",
    "TimeZone": "'UTC'",
}
# It hands an Arrow table that is joined a Bloom filter, which that cannot apply: "Pushdown Filter Type BLOOM_FILTER is
# not currently supported in PyArrow Scans". The points and console lines of open runs are such tables.
_SETTINGS_OF_1 = {"disabled_optimizers": "'join_filter_pushdown'"}


class Engine:
    """Queries over one store. Safe to use from many threads: each has its own cursor and tables."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._connection = connect(store.layout.cache)
        self._local = threading.local()
        self._tables: Tables | None = None
        self._part_keys: dict[str, frozenset[str]] = {}

    @contextlib.contextmanager
    def steady(self) -> Iterator[Snapshot]:
        """Keep this thread's view of the store still, so that several queries see one state.

        The refs of runs with unsealed records are numbered anew by every snapshot: whoever takes refs from one
        query to the next needs this. Blocks may nest.
        """
        with self.at(self._refreshed()) as snapshot:
            yield snapshot

    def pinned(self) -> Tables:
        """Return the present state of the store, to be read again later with :meth:`at`, in any thread.

        Parts that it names may be swept a minute or more after they were replaced: StoreCorrupt says so.
        """
        return self._refreshed()

    @contextlib.contextmanager
    def at(self, tables: Tables) -> Iterator[Snapshot]:
        """Read a state that :meth:`pinned` returned, in this thread; like a steady block, and may nest with those."""
        local = self._local
        before = getattr(local, "held", None)
        local.held = tables
        self._use(tables)
        try:
            yield tables.snapshot
        finally:
            local.held = before
            if before is not None:
                self._use(before)

    def consistently(self, work: Callable[[], T]) -> T:
        """Return what ``work`` finds in one state of the store, or in a newer one if its parts are swept meanwhile.

        Like a steady block; inside one, the block's own state holds.

        Raises:
            StoreCorrupt: a part of the newest state is damaged or missing.
        """
        if getattr(self._local, "held", None) is not None:
            return work()
        while True:
            with self.steady() as snapshot:
                try:
                    return work()
                except StoreCorrupt:
                    with self._lock:
                        if self.store.snapshot().manifest.number == snapshot.manifest.number:
                            raise

    def refresh(self) -> Snapshot:
        """Take a new snapshot; this thread's tables show it from here on, or from the end of a steady block."""
        return self._refreshed().snapshot

    def _refreshed(self) -> Tables:
        local = self._local
        held: Tables | None = getattr(local, "held", None)
        if held is not None:
            return held
        with self._lock:
            snapshot = self.store.snapshot()
            if self._tables is None or snapshot.version != self._tables.snapshot.version:
                self._tables = Tables(self.store.layout, snapshot, self._tables)
            tables = self._tables
        self._use(tables)
        return tables

    def _use(self, tables: Tables) -> None:
        """Give this thread a cursor of its own on a state of the store, unless it has it."""
        local = self._local
        if getattr(local, "tables", None) is not tables:
            local.cursor = self._connection.cursor()
            local.tables, local.defined = tables, set()

    @property
    def resident(self) -> Resident:
        """What this thread's view of the store keeps in memory."""
        return self._refreshed().resident

    def resident_tables(self, columns: Collection[Column]) -> tuple[Base, dict[Column, MemoryTable]]:
        """Return tables in memory with these columns of the sealed runs; rows of :meth:`void_refs` do not count.

        Within a steady block; the caller holds them while SQL that names them runs.
        """
        tables = self._refreshed()
        with translated():
            return tables.resident.tables(self._local.cursor, columns)

    def taken(self, columns: Collection[Column], refs: Sequence[int]) -> dict[Column, dict[str, Any]]:
        """Return pyarrow Arrays from memory, a value for each of some sealed runs; it loads what is not there."""
        tables = self._refreshed()
        with translated():
            return tables.resident.take(self._local.cursor, columns, refs)

    def values(self, columns: Collection[Column], refs: Sequence[int]) -> dict[Column, dict[str, list[Any]]]:
        """Return the same as Python objects, times as UTC microseconds: for a page."""
        tables = self._refreshed()
        with translated():
            return tables.resident.values(self._local.cursor, columns, refs)

    def void_refs(self) -> list[int]:
        """Return the runs whose sealed rows do not count, because they have records that are not sealed."""
        return self._refreshed().void_refs()

    def open_refs(self) -> list[int]:
        """Return the runs with records that are not sealed."""
        return [tail.state.ref for tail in self._refreshed().snapshot.tails]

    def sealed_and_open(self, refs: Collection[int]) -> tuple[list[int], list[int]]:
        """Return those of ``refs`` that memory has all of, and those with records that are not sealed."""
        opened = set(self.open_refs())
        sealed = [ref for ref in refs if ref not in opened]
        return sealed, [ref for ref in refs if ref in opened] if opened else []

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run internal SQL over a fresh snapshot and return its rows."""

        def fetch() -> list[tuple[Any, ...]]:
            with translated():
                found: list[tuple[Any, ...]] = self._executed(sql, params).fetchall()
            return found

        return self.consistently(fetch)

    def arrow(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run internal SQL over a fresh snapshot and return a pyarrow Table."""

        def fetch() -> Any:
            with translated():
                return self._relation(sql, params).to_arrow_table()

        return self.consistently(fetch)

    def column(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run internal SQL over a fresh snapshot and return its first column as a numpy array; it holds no NULL."""

        def fetch() -> Any:
            with translated():
                (found, *_) = self._executed(sql, params).fetchnumpy().values()
            return found

        return self.consistently(fetch)

    def _executed(self, sql: str, params: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        """Run SQL without a relation, which would plan it twice."""
        tables = self._refreshed()
        tables.define(self._local.cursor, sql, self._local.defined)
        cursor: duckdb.DuckDBPyConnection = self._local.cursor.execute(sql, list(params) or None)
        return cursor

    def _relation(self, sql: str, params: Sequence[Any]) -> duckdb.DuckDBPyRelation:
        tables = self._refreshed()
        tables.define(self._local.cursor, sql, self._local.defined)
        relation: duckdb.DuckDBPyRelation = self._local.cursor.sql(sql, params=list(params) or None)
        return relation

    def points_sql(
        self, refs: Sequence[int], *, newest: bool = True, parts: Sequence[Part] | None = None, tail: bool = True
    ) -> str:
        """Return a SELECT of the points of some runs that opens only the parts that can hold them.

        With ``parts`` only from these, and without ``tail`` nothing that is not sealed.
        """
        tables = self._refreshed()
        wanted = sorted(set(refs))
        if not wanted:
            return "SELECT * FROM r_points WHERE FALSE"
        sql = tables.points_of(wanted, parts, tail=tail)
        if not newest:
            return sql
        with translated():
            resumed = tables.resumed(self._local.cursor).intersection(wanted)
        return relations.newest_points(sorted(resumed), f"({sql})")

    def rows_sql(self, table: str, refs: Sequence[int]) -> str:
        """Return a SELECT of some runs' rows of a run-level table that opens only the parts that can hold them."""
        wanted = sorted(set(refs))
        return self._refreshed().rows_of(table, wanted) if wanted else f"SELECT * FROM r_{table} WHERE FALSE"  # noqa: S608

    def neighbours(self, refs: Sequence[int]) -> list[int]:
        """Return those of ``refs`` that are stored together, to tell by a few parts what the runs are like."""
        return self._refreshed().neighbours(sorted(set(refs)))

    def keys(self, table: str) -> frozenset[str]:
        """Return the keys in use in ``summaries``, ``params`` or ``tags``."""
        tables = self._refreshed()
        found = tables.keys.get(table)
        if found is None:
            snapshot = tables.snapshot
            sealed = self._sealed_keys([fold.parts[table] for fold in snapshot.manifest.folds if table in fold.parts])
            found = frozenset[str]().union(*sealed, *(getattr(tail.state, table) for tail in snapshot.tails))
            tables.keys[table] = found
        return found

    def _sealed_keys(self, parts: Sequence[Part]) -> list[frozenset[str]]:
        """Return the keys in each part: from its footer, or from its rows when there were too many for that."""
        unread = {self.store.layout.part(part.name): part for part in parts if part.name not in self._part_keys}
        if unread:
            names = ", ".join(map(relations.quoted, unread))
            found = self.rows(
                f"""SELECT file_name, decode(value) FROM parquet_kv_metadata([{names}])
                WHERE decode(key) = 'mllab.keys'"""  # noqa: S608  # checked names
            )
            self._part_keys |= {unread.pop(path).name: frozenset(json.loads(text)) for path, text in found}
        for part in unread.values():
            rows = self.rows(f"SELECT DISTINCT key FROM {relations.files(self.store.layout, [part])}")  # noqa: S608
            self._part_keys[part.name] = frozenset(key for (key,) in rows)
        return [self._part_keys[part.name] for part in parts]

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


def connect(cache: str) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection that loads nothing from outside; it writes below ``cache`` what does not fit."""
    connection = duckdb.connect(":memory:")
    # In a folder of its own, which DuckDB removes at the end, with all that is in it; its parent it does not make.
    with contextlib.suppress(OSError):
        os.mkdir(cache, FOLDER_MODE)
    connection.execute("SET temp_directory = $1", [os.path.join(cache, SPILL)])
    settings = {**_SETTINGS, **_SETTINGS_OF_1} if duckdb.__version__.startswith("1.") else _SETTINGS
    for name, value in settings.items():
        connection.execute(f"SET {name} = {value}")
    return connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error) from error


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
