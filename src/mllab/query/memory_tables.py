"""Tables in DuckDB's memory that live as long as somebody holds them."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from mllab.store.manifest import Fold


class MemoryTable:
    """An immutable table. Its rows are those of ``base``, in the same order; a base has none.

    ``columns`` are what :func:`mllab.query.resident.Resident.tables` was asked for, ``size`` a guess at its bytes.
    """

    def __init__(self, name: str, columns: tuple[str, ...], rows: int, size: int, base: Base | None) -> None:
        self.name = name
        self.columns = columns
        self.rows = rows
        self.size = size
        self.base = base
        self._arrow: Any = None

    def arrow(self, cursor: duckdb.DuckDBPyConnection) -> Any:
        """Return a copy as a pyarrow Table, from which a few rows are taken in microseconds."""
        if self._arrow is None:
            names = ", ".join(f'"{name}"' for name in self.columns)
            self._arrow = cursor.sql(f"SELECT {names} FROM {self.name}").to_arrow_table().combine_chunks()  # noqa: S608
            self.size *= 2
        return self._arrow


class Base(MemoryTable):
    """The refs of the sealed runs and the place in ``folds`` that each comes from, in no order that matters."""

    def __init__(self, name: str, columns: tuple[str, ...], rows: int, size: int, folds: tuple[Fold, ...]) -> None:
        super().__init__(name, columns, rows, size, None)
        self.folds = folds
        self._order: Any = None

    def places(self, cursor: duckdb.DuckDBPyConnection, refs: Sequence[int]) -> Any:
        """Return the row of each ref, -1 where there is none, as int64[n]."""
        import numpy as np

        if self._order is None:
            # Not pyarrow's to_numpy, which imports pandas where it is installed.
            found = cursor.execute(f"SELECT ref FROM {self.name}").fetchnumpy()["ref"]  # noqa: S608
            order = np.argsort(found, kind="stable")
            self._order = found[order], order
        known, order = self._order
        wanted = np.asarray(refs, np.int64)
        if not len(known):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[at] == wanted, order[at], -1)


class Pool:
    """Makes tables and drops those that nobody holds. Safe to share between threads.

    A table is dropped when the next is made, or by :meth:`sweep`: the collector may find it in the middle of a
    query of the same connection.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._dead: deque[str] = deque()

    def create(self, cursor: duckdb.DuckDBPyConnection, select: str, params: Sequence[Any] = ()) -> tuple[str, int]:
        """Make a table of what ``select`` yields; return its name, for :meth:`track`, and its number of rows."""
        self.sweep(cursor)
        name = f"memory.main.m{next(self._numbers)}"
        found = cursor.execute(f"CREATE TABLE {name} AS {select}", list(params) or None).fetchone()
        return name, int(found[0]) if found else 0

    def track(self, table: MemoryTable) -> None:
        """Drop the table once nobody holds ``table``."""
        weakref.finalize(table, self._dead.append, table.name).atexit = False

    def drop(self, name: str) -> None:
        """Drop a table that was not tracked."""
        self._dead.append(name)

    def sweep(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Drop what nobody holds."""
        while self._dead:
            cursor.execute(f"DROP TABLE IF EXISTS {self._dead.popleft()}")
