"""Plain SQLite in WAL mode: five rows and a commit for each call."""

from __future__ import annotations

import os
import sqlite3
import time

MODULE = "sqlite3"


class _Run:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("CREATE TABLE points (key TEXT, step INTEGER, time INTEGER, value REAL)")

    def log(self, metrics: dict[str, float], step: int) -> None:
        now = time.time_ns() // 1000
        self._connection.execute("BEGIN")
        rows = [(key, step, now, value) for key, value in metrics.items()]
        self._connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def finish(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


def start(folder: str) -> _Run:
    """Make the table."""
    return _Run(os.path.join(folder, "points.db"))


def calls(folder: str) -> int:
    """Count the rows of one metric."""
    with sqlite3.connect(os.path.join(folder, "points.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM points WHERE key = 'loss'").fetchone()[0])
