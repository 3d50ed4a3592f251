"""What filters, sorts and lists scan whole, kept in memory: a column for each attribute, key and aggregate in use.

Reading a column of 100,000 runs from Parquet takes 10 to 25 ms, most of it for opening and decoding; a filter with
three terms over columns in memory takes 6 ms. All columns of a state have their rows in the same order, so that DuckDB
puts them side by side (POSITIONAL JOIN) where it would otherwise join by ``ref``, which takes twice as long.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mllab.query import relations
from mllab.query.filter_ast import Term
from mllab.query.memory_tables import Base, MemoryTable
from mllab.query.sources import FACES, SUMMARY, TABLES, over_points

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from mllab.query.memory_tables import Pool
    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Manifest

# A column of a run-level table, or what a term takes from a key.
Column: TypeAlias = str | Term
# Columns of numbers of 100,000 runs take 0.8 MB each.
MAX_KEY_BYTES = 64 << 20
# A column of a state before keeps the base of that state, which takes 3 MB for 100,000 runs, whatever the column does.
MAX_OLDER_BASES = 4
_WIDTHS = {"VARCHAR": 24, "BOOLEAN": 1, "INTEGER": 4}
_TIMES = frozenset(name for name, kind in relations.COLUMNS["runs"].items() if kind == "TIMESTAMPTZ")
# What nearly every query needs.
_BASE_COLUMNS = ("ref", "started", "archived", "deleted")


def resident_column(term: Term) -> Term:
    """Return the term under which a Resident keeps it: without a place in a text, and with its function."""
    function = (term.function or "last") if term.kind == "metric" else term.function
    return replace(term, function=function, column=0)


class _Carry(NamedTuple):
    """What of an older state holds: the places of folds that are still there, less ``void`` refs; and what is new."""

    kept: list[int]
    void: list[int]
    fresh: list[Fold]


class Resident:
    """The columns of one manifest's sealed runs, loaded when first asked for. Safe to share between threads.

    After a commit, a column is made from the one before: only rows of new folds are read.
    """

    def __init__(
        self,
        layout: Layout,
        manifest: Manifest,
        pool: Pool,
        *,
        max_key_bytes: int = MAX_KEY_BYTES,
    ) -> None:
        self.manifest = manifest
        self._layout = layout
        self._pool = pool
        self._max_key_bytes = max_key_bytes
        self._lock = threading.RLock()
        self._base: Base | None = None
        self._held: OrderedDict[Column, MemoryTable] = OrderedDict()
        # Columns of the states before that nobody has asked this one for.
        self._older: dict[Column, MemoryTable] = {}
        self._older_base: Base | None = None
        self._asked: set[Column] = set()
        self._taken: set[Column] = set()

    def following(self, manifest: Manifest) -> Resident:
        """Return the columns of a later state: this one itself where nothing was committed."""
        if manifest.number == self.manifest.number:
            return self
        after = Resident(self._layout, manifest, self._pool, max_key_bytes=self._max_key_bytes)
        with self._lock:
            after._asked, after._taken = set(self._asked), set(self._taken)
            if (manifest.folds, manifest.points) == (self.manifest.folds, self.manifest.points):
                after._base, after._held = self._base, OrderedDict(self._held)
                after._older, after._older_base = dict(self._older), self._older_base
            else:
                after._older = _of_last_bases({**self._older, **self._held})
                after._older_base = self._base or self._older_base
        return after

    def sweep(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Drop the tables of this state and of others that nobody holds."""
        self._pool.sweep(cursor)

    def is_worth_loading(self, columns: Iterable[Column]) -> bool:
        """Whether these columns are here, could be made from older ones, or were asked for before."""
        wanted = set(columns)
        known = all(column in self._held or column in self._older or column in self._asked for column in wanted)
        self._asked |= wanted
        return known

    def has(self, columns: Iterable[Column]) -> bool:
        """Whether these columns are here."""
        return self._base is not None and all(column in self._held for column in columns)

    def tables(
        self, cursor: duckdb.DuckDBPyConnection, columns: Collection[Column]
    ) -> tuple[Base, dict[Column, MemoryTable]]:
        """Return the base and the tables with these columns, loaded where they are not here.

        The caller holds on to them for as long as SQL that names them runs.
        """
        known = self._known(columns)
        if known is not None:
            return known
        with self._lock:
            names = [column for column in columns if isinstance(column, str)]
            if self._base is None:
                self._base = self._load_base(cursor, names)
                self._older_base = None
            missing = [name for name in names if name not in self._held]
            if missing:
                self._load_attributes(cursor, self._base, missing)
            for column in columns:
                if isinstance(column, Term):
                    if column not in self._held:
                        self._held[column] = self._load_term(cursor, self._base, column)
                    self._held.move_to_end(column)
            found = {column: self._held[column] for column in columns}
            self._evict(found)
            return self._base, found

    def _known(self, columns: Collection[Column]) -> tuple[Base, dict[Column, MemoryTable]] | None:
        """Return what :meth:`tables` does if all is here, without waiting while another thread loads something.

        A term over points takes seconds to load, for which a list of runs must not stand still.
        """
        base, held = self._base, self._held
        found = {column: held.get(column) for column in columns}
        tables = {column: table for column, table in found.items() if table is not None}
        if base is None or len(tables) < len(found):
            return None
        if self._lock.acquire(blocking=False):
            try:
                for column in tables:
                    if isinstance(column, Term) and column in held:
                        held.move_to_end(column)
            finally:
                self._lock.release()
        return base, tables

    def take(
        self, cursor: duckdb.DuckDBPyConnection, columns: Collection[Column], refs: Sequence[int]
    ) -> dict[Column, dict[str, Any]]:
        """Return for each column the pyarrow Arrays of its table, a value for each ref; null for unknown ones."""
        base, tables = self.tables(cursor, columns)
        if not self._is_taken(tables):  # copies pay from the second page on
            fields = _fields(tables)
            rows = cursor.sql(_reading(base, tables, fields), params=[list(refs)]).to_arrow_table()
            return _grouped(fields, [rows.column(i).combine_chunks() for i in range(len(fields))])
        return _copied(cursor, base, tables, refs)

    def values(
        self, cursor: duckdb.DuckDBPyConnection, columns: Collection[Column], refs: Sequence[int]
    ) -> dict[Column, dict[str, list[Any]]]:
        """Return the same as Python objects, times as UTC microseconds; the first time without numpy and pyarrow."""
        base, tables = self.tables(cursor, columns)
        if not self._is_taken(tables):
            fields = _fields(tables)
            found = cursor.execute(_reading(base, tables, fields, times="epoch_us"), [list(refs)]).fetchall()
            return _grouped(fields, [list(values) for values in zip(*found, strict=True)] or [[] for _ in fields])
        copied = _copied(cursor, base, tables, refs)
        return {
            column: {name: _plain(array, is_time=name in _TIMES) for name, array in arrays.items()}
            for column, arrays in copied.items()
        }

    def _is_taken(self, tables: dict[Column, MemoryTable]) -> bool:
        """Whether rows of all these were taken before; from here on they were."""
        with self._lock:
            is_taken = tables.keys() <= self._taken
            self._taken |= tables.keys()
        return is_taken

    def _load_base(self, cursor: duckdb.DuckDBPyConnection, names: Sequence[str]) -> Base:
        older = self._older_base
        folds = tuple(relations.folds_of(self.manifest, "runs"))
        columns = tuple(older.columns if older else dict.fromkeys((*_BASE_COLUMNS, *names)))
        picked = ", ".join(f'"{name}"' for name in columns)
        carry = older and _carry(older.folds, folds)
        if older and carry:
            places = [
                _place(folds, older.folds[place]) if place in carry.kept else -1 for place in range(len(older.folds))
            ]
            kept = (
                f"SELECT {picked}, ({places}::INTEGER[])[fold + 1] AS fold FROM {older.name} WHERE {_survives(carry)}"  # noqa: S608
            )
            fresh = [folds.index(fold) for fold in carry.fresh]
            sql = f"{kept} UNION ALL SELECT {picked}, ({fresh}::INTEGER[])[fold + 1] FROM ({self._runs(carry.fresh)})"  # noqa: S608
        else:
            sql = f"SELECT {picked}, fold FROM ({self._runs(folds)})"  # noqa: S608
        name, rows = self._pool.create(cursor, sql)
        base = Base(name, columns, rows, 0, folds)
        self._pool.track(base)
        self._held |= dict.fromkeys(columns, base)
        for column in columns:
            self._older.pop(column, None)
        return base

    def _runs(self, folds: Sequence[Fold]) -> str:
        """Return a SELECT of the runs of some folds, with each one's place in them, which are newest first."""
        manifest = replace(self.manifest, folds=tuple(folds))
        return relations.run_table(self._layout, manifest, "runs", (), has_tail=False, with_fold=True)

    def _load_attributes(self, cursor: duckdb.DuckDBPyConnection, base: Base, names: Sequence[str]) -> None:
        def select(group: Sequence[str]) -> Callable[[Sequence[Fold]], tuple[str, list[Any]]]:
            picked = ", ".join(f'"{name}"' for name in group)
            return lambda folds: (f"SELECT ref, {picked} FROM ({self._runs(folds)})", [])  # noqa: S608

        groups: dict[MemoryTable | None, list[str]] = {}
        for name in names:
            groups.setdefault(self._older.pop(name, None), []).append(name)
        kinds = relations.COLUMNS["runs"]
        for older, group in groups.items():
            table = self._aligned(cursor, base, {name: kinds[name] for name in group}, select(group), older)
            self._held |= dict.fromkeys(group, table)

    def _load_term(self, cursor: duckdb.DuckDBPyConnection, base: Base, term: Term) -> MemoryTable:
        older = self._older.pop(term, None)
        if term.reads_points:
            resumed = self._resumed(cursor, base) if term.reads_newest else []
            points = functools.partial(self._points, base, term, resumed)
            return self._aligned(cursor, base, {"value": "DOUBLE"}, points, older)
        table = TABLES[term.kind]
        columns = (
            {term.function or "last": SUMMARY[term.function or "last"]} if term.kind == "metric" else FACES[term.kind]
        )

        def select(folds: Sequence[Fold]) -> tuple[str, list[Any]]:
            rows = relations.run_table(
                self._layout, replace(self.manifest, folds=tuple(folds)), table, (), has_tail=False
            )
            picked = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
            return f"SELECT ref, {picked} FROM ({rows}) WHERE key = $1", [term.key]  # noqa: S608

        kinds = {name: "VARCHAR" if name in ("type", "text") else "DOUBLE" for name in columns}
        return self._aligned(cursor, base, kinds, select, older)

    def _resumed(self, cursor: duckdb.DuckDBPyConnection, base: Base) -> list[int]:
        """Return the runs with more than one attempt."""
        attempt = self.tables(cursor, ["attempt"])[1]["attempt"]
        both = base.name if attempt is base else f"{base.name} b POSITIONAL JOIN {attempt.name} a"
        return [ref for (ref,) in cursor.execute(f"SELECT ref FROM {both} WHERE attempt > 1 ORDER BY ref").fetchall()]  # noqa: S608

    def _points(self, base: Base, term: Term, resumed: Sequence[int], folds: Sequence[Fold]) -> tuple[str, list[Any]]:
        """Return a SELECT of a term over the points of the runs of some folds."""
        parts, restrict, params = self.manifest.points, "", []
        if len(folds) < len(base.folds):
            bounds = [(fold.parts["runs"].first_ref, fold.parts["runs"].last_ref) for fold in folds]
            parts = tuple(
                part
                for part in parts
                if any(part.first_ref <= last and first <= part.last_ref for first, last in bounds)
            )
            places = ", ".join(str(base.folds.index(fold)) for fold in folds)
            restrict = f" AND ref IN (SELECT ref FROM {base.name} WHERE fold IN ({places}))"  # noqa: S608

        def bind(value: Any) -> str:
            params.append(value)
            return f"${len(params)}"

        source = relations.point_table(self._layout, parts, "points", has_tail=False)
        if resumed:
            source = relations.newest_points(resumed, f"({source})")
        return over_points(term, bind, f"({source})", base.name, restrict), params

    def _aligned(
        self,
        cursor: duckdb.DuckDBPyConnection,
        base: Base,
        kinds: dict[str, str],
        select: Callable[[Sequence[Fold]], tuple[str, list[Any]]],
        older: MemoryTable | None,
    ) -> MemoryTable:
        """Make a table of columns in the order of the base. ``select`` returns SQL for (ref, columns) of some folds."""
        picked = ", ".join(f'k."{name}"' for name in kinds)
        carry = older and older.base and _carry(older.base.folds, base.folds)
        if older and older.base and carry:
            both = f"{older.base.name} o POSITIONAL JOIN {older.name} k"
            source = f"SELECT o.ref, {picked} FROM {both} WHERE {_survives(carry)}"  # noqa: S608
            params: list[Any] = []
            if carry.fresh:
                more, params = select(carry.fresh)
                source += f" UNION ALL {more}"
        else:
            source, params = select(base.folds)
        join = f"SELECT {picked} FROM {base.name} b LEFT JOIN ({{}}) k ON k.ref = b.ref ORDER BY b.rowid"  # noqa: S608
        name, rows = self._pool.create(cursor, join.format(source), params)
        if rows != base.rows:  # a part that has a run twice must not shift the others
            self._pool.drop(name)
            name, rows = self._pool.create(cursor, join.format(f"SELECT DISTINCT ON (ref) * FROM ({source})"), params)  # noqa: S608
        width = sum(_WIDTHS.get(kind, 8) for kind in kinds.values())
        table = MemoryTable(name, tuple(kinds), rows, rows * width, base)
        self._pool.track(table)
        return table

    def _evict(self, wanted: Collection[Column]) -> None:
        """Let go of what was used least recently while all keys take too much."""
        keys = [*self._older.items(), *self._held.items()]
        used = sum(table.size for column, table in keys if isinstance(column, Term))
        for column, table in keys:
            if used <= self._max_key_bytes:
                return
            if isinstance(column, Term) and column not in wanted:
                (self._older if column in self._older else self._held).pop(column)
                used -= table.size


def _of_last_bases(tables: dict[Column, MemoryTable]) -> dict[Column, MemoryTable]:
    """Return those of tables, in order of their states, that few enough bases carry."""
    bases = {table: table if isinstance(table, Base) else table.base for table in tables.values()}
    kept = [*dict.fromkeys(reversed(bases.values()))][:MAX_OLDER_BASES]
    return {column: table for column, table in tables.items() if bases[table] in kept}


def _fields(tables: dict[Column, MemoryTable]) -> list[tuple[Column, str]]:
    """Return the columns of tables by what was asked for and by name."""
    return [
        (column, name)
        for column, table in tables.items()
        for name in ([column] if isinstance(column, str) else table.columns)
    ]


def _grouped(fields: Sequence[tuple[Column, str]], values: Sequence[Any]) -> dict[Column, dict[str, Any]]:
    found: dict[Column, dict[str, Any]] = {}
    for (column, name), each in zip(fields, values, strict=True):
        found.setdefault(column, {})[name] = each
    return found


def _reading(
    base: Base, tables: dict[Column, MemoryTable], fields: Sequence[tuple[Column, str]], *, times: str = ""
) -> str:
    """Return a SELECT of fields for each ref of the list $1, in its order; of times by the function ``times``."""
    aliases = {table: f"m{place}" for place, table in enumerate(dict.fromkeys((base, *tables.values())))}
    picked = ", ".join(f'{aliases[tables[column]]}."{name}" AS c{i}' for i, (column, name) in enumerate(fields))
    source = " POSITIONAL JOIN ".join(f"{table.name} {alias}" for table, alias in aliases.items())
    numbered = "SELECT unnest($1::BIGINT[]) AS wanted, generate_subscripts($1::BIGINT[], 1) AS place"
    shown = ", ".join(f"{times}(c{i})" if name in _TIMES else f"c{i}" for i, (_, name) in enumerate(fields))
    return f"""SELECT {shown} FROM ({numbered}) w
        LEFT JOIN (SELECT m0.ref AS known, {picked} FROM {source}) ON known = wanted ORDER BY place"""  # noqa: S608


def _copied(
    cursor: duckdb.DuckDBPyConnection, base: Base, tables: dict[Column, MemoryTable], refs: Sequence[int]
) -> dict[Column, dict[str, Any]]:
    """Return what :meth:`Resident.take` does, from copies of the tables."""
    indices = _indices(base.places(cursor, refs))
    found: dict[Column, dict[str, Any]] = {}
    for column, table in tables.items():
        rows, names = table.arrow(cursor), [column] if isinstance(column, str) else table.columns
        found[column] = {name: rows.column(name).take(indices).combine_chunks() for name in names}
    return found


def _plain(array: Any, *, is_time: bool) -> list[Any]:
    values: list[Any] = (array.cast("int64") if is_time else array).to_pylist()
    return values


def _indices(places: NDArray[np.int64]) -> Any:
    """Return places as a pyarrow Array, null where they are negative. pyarrow's own way there imports pandas."""
    import numpy as np
    import pyarrow as pa

    known = places >= 0
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.int64(), len(places), [valid, pa.py_buffer(places.astype(np.int64).tobytes())])


def _place(folds: Sequence[Fold], fold: Fold) -> int:
    return next(place for place, other in enumerate(folds) if other.parts == fold.parts)


def _carry(before: Sequence[Fold], after: Sequence[Fold]) -> _Carry | None:
    """Return what of the folds before is in those after; None when reading anew costs less."""
    old = {fold.parts["runs"].name: (place, fold) for place, fold in enumerate(before)}
    if len(old) < len(before) or len({fold.parts["runs"].name for fold in after}) < len(after):
        return None  # a run was written again as it was: two folds share a part, and nothing else tells them apart
    kept, void, fresh, rows = [], [], [], 0
    for fold in after:
        place, known = old.get(fold.parts["runs"].name, (-1, fold))
        if place < 0 or known.parts != fold.parts or not set(known.masked) <= set(fold.masked):
            fresh.append(fold)
            continue
        kept.append(place)
        void += sorted(set(fold.masked) - set(known.masked))
        rows += fold.runs - len(fold.masked)
    total = sum(fold.runs - len(fold.masked) for fold in after)
    return _Carry(kept, void, fresh) if kept and rows * 2 >= total else None


def _survives(carry: _Carry) -> str:
    """Return a condition on rows of the base before: they are still true."""
    sql = f"fold IN ({', '.join(map(str, carry.kept))})"
    return f"{sql} AND ref NOT IN ({', '.join(map(str, carry.void))})" if carry.void else sql
