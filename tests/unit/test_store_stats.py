from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mllab.ids import new_id
from mllab.store.catalog import PIN, Change
from mllab.store.manifest import load_newest
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


def add_run(store: Store, name: str = "r", *, points: int = 5, seal: bool = True) -> str:
    run_id = new_id()
    writer = store.writer(run_id)
    writer.event("start", {"experiment": "e", "name": name})
    writer.event("params", {"values": {"lr": 0.1, "n": 3}})
    writer.event("tags", {"values": {"t": "v"}})
    for step in range(10, 10 + points):
        writer.points({"loss": 1.0 / step, "größe": float("nan")}, step)
    data = f"content of {name}".encode()
    blob = store.blobs.put_bytes(data)
    writer.event("artifact", {"path": "a.txt", "sha256": blob.sha256, "size": blob.size, "kind": "file"})
    writer.event("dataset", {"name": "d", "digest": "sha256:" + "0" * 64})
    writer.event("out", {"s": "stdout", "x": "hello"})
    writer.event("finish", {"status": "finished"})
    writer.close()
    if seal:
        store.seal()
    return run_id


@pytest.fixture
def full(store: Store) -> Store:
    """Return a store that has some of everything and is whole."""
    for name in ("one", "two", "three"):
        add_run(store, name, seal=False)
    store.seal()
    store.edit(add_run(store, "four"), 1, [("delete", {"value": True})])
    store.seal()
    add_run(store, "open", seal=False)
    for number in range(3):
        store.catalog.commit([Change.set(PIN, "a" * 64, number)], actor="ada")
    store.gc(apply=True)
    report = store.verify()
    assert report.problems == ()
    return store


def test_stats_of_an_empty_store(store: Store) -> None:
    figures = store.stats()
    assert figures["runs"] == {"sealed": 0, "open": 0, "live": 0, "deleted": 0}
    assert figures["points"] == {"rows": 0, "open_rows": 0, "bytes": 0, "bytes_per_point": None}
    assert figures["parts"] == {}


def test_stats_count_what_is_there(full: Store) -> None:
    import json

    run_id = add_run(full, "one", seal=False)  # its artifact is stored already
    writer = full.writer(run_id, attempt=2)
    writer.event("resume", {})
    try:
        figures = full.stats()
    finally:
        writer.close()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["runs"] == {"sealed": 4, "open": 2, "live": 1, "deleted": 1}
    assert figures["points"]["rows"] == 40
    assert figures["points"]["open_rows"] == 20
    assert figures["points"]["bytes"] == sum(part.size for part in load_newest(full.layout).points)
    assert figures["points"]["bytes_per_point"] == round(figures["points"]["bytes"] / 40, 3)
    assert figures["parts"]["runs"]["parts"] == len(load_newest(full.layout).folds)
    blobs = figures["blobs"]
    assert (blobs["count"], blobs["artifacts"], blobs["unused"]) == (5, 6, 0)
    assert blobs["saved_bytes"] == len(b"content of one")
    assert blobs["artifact_bytes"] - blobs["saved_bytes"] == blobs["bytes"]
    assert figures["manifests"]["newest"] == load_newest(full.layout).number
    assert figures["catalog"]["commits"] == 3
    assert figures["segments"]["count"] == 8
    assert figures["trash_bytes"] == 0
    assert figures["total_bytes"] >= sum(figures[name]["bytes"] for name in ("segments", "blobs", "points"))
