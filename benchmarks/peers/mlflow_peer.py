"""MLflow in this process with a SQLite file, logging synchronously."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

MODULE = "mlflow"


class _Run:
    def __init__(self, mlflow: Any) -> None:
        self._mlflow = mlflow

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(metrics, step=step, synchronous=True)

    def finish(self) -> None:
        self._mlflow.end_run()


def database(folder: str) -> str:
    """Return the database file's path."""
    return os.path.join(folder, "mlflow.db")


def start(folder: str) -> _Run:
    """Start a run; the database is made first."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{database(folder)}")
    mlflow.set_experiment("benchmark")
    mlflow.start_run()
    return _Run(mlflow)


def calls(folder: str) -> int:
    """Count the points of one metric."""
    with sqlite3.connect(database(folder)) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics WHERE key = 'loss'").fetchone()[0])
