"""Stores for gc: content that is old, runs that are deleted, and passes that need no clock."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from mllab.ids import new_id
from mllab.store.catalog import PIN, Change
from mllab.store.gc import GcReport, Periods
from mllab.store.manifest import load_newest
from mllab.store.store import Store

NOW = Periods(grace_s=0, purge_s=0, restore_s=0, leftover_s=0)
KEEP_TRASH = Periods(grace_s=0, restore_s=0, leftover_s=0)
OLD_NS = time.time_ns() - 100 * 86_400 * 10**9


def put(store: Store, data: bytes, *, old: bool = True) -> str:
    """Store content; ``old`` sets its time far back, as if it had been logged long ago."""
    digest = store.blobs.put_bytes(data).sha256
    if old:
        os.utime(store.layout.blob(digest), ns=(OLD_NS, OLD_NS))
    return digest


def record(writer: Any, path: str, digest: str, size: int) -> None:
    writer.event("artifact", {"path": path, "sha256": digest, "size": size, "media": "text/plain", "kind": "file"})


def add_run(store: Store, artifacts: dict[str, bytes], *, points: int = 3, seal: bool = True) -> str:
    run_id = new_id()
    writer = store.writer(run_id)
    writer.event("start", {"experiment": "e", "name": "r"})
    for path, data in artifacts.items():
        record(writer, path, put(store, data), len(data))
    for step in range(points):
        writer.points({"loss": 1.0 / (step + 1)}, step)
    writer.event("out", {"s": "stdout", "x": "hello"})
    writer.event("params", {"values": {"lr": 0.1}})
    writer.event("finish", {"status": "finished"})
    writer.close()
    if seal:
        store.seal()
    return run_id


def delete(store: Store, run_id: str, *, value: bool = True, seal: bool = True) -> None:
    store.edit(run_id, 1, [("delete", {"value": value})])
    if seal:
        store.seal()


def sweep(store: Store, periods: Periods = KEEP_TRASH, passes: int = 2, **options: Any) -> GcReport:
    """Run gc as often as it takes to mark and sweep; return the last report."""
    for _ in range(passes):
        report = store.gc(apply=True, periods=periods, **options)
    return report


def is_there(store: Store, digest: str) -> bool:
    return os.path.exists(store.layout.blob(digest))


def tree(root: str) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for parent, _, names in os.walk(root):
        for name in names:
            path = os.path.join(parent, name)
            status = os.stat(path)
            with open(path, "rb") as file:
                found[path] = (status.st_ino, status.st_mtime_ns, hashlib.sha256(file.read()).digest())
    return found


def run_ids(store: Store) -> set[str]:
    """Return the ids of all runs, read afresh."""
    from mllab.store.references import sealed_runs

    manifest = load_newest(store.layout)
    return {row["run_id"] for fold in manifest.folds for row in sealed_runs(store.layout, fold, ["run_id"]).values()}


def pinned(store: Store, data: bytes) -> None:
    store.catalog.commit([Change.set(PIN, put(store, data), {"reason": "r"})], actor="ada")
