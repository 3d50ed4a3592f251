"""The trackers that are measured beside each other, each behind the same three functions.

Every module here has ``start(folder)``, which returns something with ``log`` and ``finish``; ``calls(folder)``, which
counts the calls that a reader finds afterwards; and ``MODULE``, what must be installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

NAMES = ("mllab", "trackio", "wandb", "mlflow", "sqlite", "write")
LABELS = {
    "trackio": "trackio (local)",
    "wandb": "wandb (offline)",
    "mlflow": "MLflow (SQLite)",
    "sqlite": "SQLite WAL, a commit a call",
    "write": "write(2) of the same bytes",
}


class Tracker(Protocol):
    """A run to log to."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Log metrics as the tracker's users do."""

    def finish(self) -> None:
        """End the run; everything is stored when this returns."""


class Peer(Protocol):
    """A module of this package."""

    MODULE: str

    def start(self, folder: str) -> Tracker:
        """Start a run that stores in ``folder``."""

    def calls(self, folder: str) -> int:
        """Return how many calls are found in ``folder`` by a fresh reader."""


def load(name: str) -> Peer:
    """Return a peer by name."""
    peer: Peer = import_module(f"benchmarks.peers.{name}_peer")
    return peer
