"""User SQL: on a connection of its own that reads the lab's views and nothing else, and that can be cancelled."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from mllab.errors import QueryError
from mllab.query.engine import connect, translate, translated
from mllab.query.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mllab.store.store import Store

T = TypeVar("T")
MAX_SQL = 1_000_000
PIECE_S = 0.1
# Allowing the folder of parts for reading allows COPY to write there, so statements are chosen by type.
# PIVOT comes as MULTI, or as a CREATE and a SELECT, depending on DuckDB's version.
_ALLOWED = frozenset({"SELECT", "MULTI", "CREATE", "EXPLAIN"})


class Sandbox:
    """One locked-down connection over one snapshot.

    It cannot read other files, attach databases, load extensions, see Python variables, write files, or change
    its own settings. Tables and views that the user makes live in memory and end with it.

    Source of the lock-down: DuckDB's documentation "Securing DuckDB"; each denial is a test.
    """

    def __init__(self, store: Store) -> None:
        self._connection = connect(store.layout.cache)
        with translated():
            Tables(store.layout, store.snapshot()).define_all(self._connection)
        parts = store.layout.parts
        self._connection.execute("SET allowed_directories = [$1]", [parts])
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def run(
        self,
        query: str,
        fetch: Callable[[duckdb.DuckDBPyRelation], T],
        *,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """Run one query in a worker thread, so that Ctrl-C, :meth:`cancel` and the timeout reach it.

        Args:
            query: one statement, or several of which the last gives the result.
            fetch: takes the result out, in the worker; a statement without a result gives an empty one.
            params: values for ``?`` or ``$name``.
            timeout_s: cancel after this many seconds.

        Raises:
            QueryError: it failed, was denied, was cancelled or took too long.
        """
        if not query.strip():
            raise QueryError("The query is empty.", "Try: SELECT * FROM runs")
        if len(query) > MAX_SQL:
            raise QueryError(f"The query has {len(query):,} characters; {MAX_SQL:,} is the limit.")
        _check_statements(self._connection, query)
        outcome: list[Any] = []
        # Not Thread.join: before Python 3.12 a join that Ctrl-C interrupts takes the thread for ended.
        done = threading.Event()

        def work() -> None:
            try:
                # None for a statement without a result, in some versions of DuckDB.
                relation: duckdb.DuckDBPyRelation | None = self._connection.sql(query, params=params or None)
                empty = "SELECT 1 AS ok WHERE FALSE"
                outcome.append(fetch(self._connection.sql(empty) if relation is None else relation))
            except Exception as error:  # handed to the caller's thread
                outcome.append(error)
            finally:
                done.set()

        threading.Thread(target=work, name="mllab-sql", daemon=True).start()
        late = False
        try:
            late = not _wait(done, timeout_s)
        finally:
            # Again and again: an interrupt that arrives before the statement has begun is forgotten.
            while not done.wait(0.05):
                self.cancel()
        result = outcome[0]
        if late and isinstance(result, duckdb.InterruptException):
            raise QueryError(
                f"The query took longer than {timeout_s:g} s and was cancelled.", "Raise the timeout.", code="QUERY-002"
            ) from result
        if isinstance(result, duckdb.Error):
            raise translate(result) from result
        if isinstance(result, BaseException):
            raise QueryError(f"The query cannot be run: {result}.") from result
        fetched: T = result
        return fetched

    def cancel(self) -> None:
        """Stop the running query, from any thread."""
        self._connection.interrupt()


def _wait(done: threading.Event, timeout_s: float | None) -> bool:
    """Wait in short pieces, so that Ctrl-C is seen between them; return whether it was done in time."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while end is None or time.monotonic() < end:
        if done.wait(PIECE_S if end is None else min(PIECE_S, max(end - time.monotonic(), 0))):
            return True
    return done.is_set()


def _check_statements(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Deny every statement that does more than read. EXPLAIN ANALYZE runs what it explains, so it is denied too."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise translate(error) from error
    for statement in statements:
        kind = str(statement.type).rpartition(".")[2]
        runs_it = kind == "EXPLAIN" and "analyze" in statement.query.lower()
        if kind not in _ALLOWED or runs_it:
            raise QueryError(
                f"{'EXPLAIN ANALYZE' if runs_it else kind} is not allowed in user SQL.",
                "User SQL reads the lab's views: SELECT, FROM, DESCRIBE, SUMMARIZE, PIVOT, EXPLAIN.",
                code="QUERY-003",
            )
