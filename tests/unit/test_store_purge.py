from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from mllab.ids import new_id
from mllab.store.catalog import PIN, Change
from mllab.store.gc import GcReport, Periods
from mllab.store.manifest import load_newest
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

# No waiting but for the pass in between: a test needs no clock.
NOW = Periods(grace_s=0, purge_s=0, restore_s=0, leftover_s=0)
KEEP_TRASH = Periods(grace_s=0, restore_s=0, leftover_s=0)
OLD_NS = time.time_ns() - 100 * 86_400 * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


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


def all_rows(store: Store, column: str = "ref") -> dict[str, set[Any]]:
    from mllab.store.references import read_columns

    manifest = load_newest(store.layout)
    tables: dict[str, set[Any]] = {}
    for part in manifest.all_parts():
        name = part.name.partition("-")[0]
        tables.setdefault(name, set()).update(read_columns(store.layout, part, [column])[column].to_pylist())
    return tables


@pytest.mark.parametrize("compacted", [False, True])
def test_a_run_deleted_long_ago_leaves_every_part(store: Store, compacted: bool) -> None:
    first = add_run(store, {"a": b"shared", "b": b"own"})
    gone = add_run(store, {"a": b"shared", "b": b"only of the deleted"})
    last = add_run(store, {"c": b"third"}, points=5)
    if compacted:
        store.compact(full=True)
    delete(store, gone)
    assert store.gc(apply=True).purged_runs == ()  # the window is still open
    assert run_ids(store) == {first, gone, last}
    report = sweep(store, NOW, passes=1)
    assert report.purged_runs == (gone,)
    assert run_ids(store) == {first, last}
    refs = set.union(*all_rows(store).values())
    assert len(refs) == 2
    assert load_newest(store.layout).deleted == ()
    assert sum(part.rows for part in load_newest(store.layout).points) == 3 + 5
    state = store.run_state(last)
    assert state is not None
    assert (state.summaries["loss"].count, state.params, state.status) == (5, {"lr": 0.1}, "finished")
    assert store.run_state(gone) is None
    assert store.verify().is_intact
    sweep(store, NOW, passes=2)
    assert not is_there(store, hashlib.sha256(b"only of the deleted").hexdigest())
    for kept in (b"shared", b"own", b"third"):
        assert is_there(store, hashlib.sha256(kept).hexdigest())


def test_the_bytes_of_a_purged_run_leave_the_disk(store: Store) -> None:
    run_id = new_id()
    writer = store.writer(run_id)
    writer.event("start", {"experiment": "e", "name": "a-very-secret-name"})
    writer.event("out", {"s": "stdout", "x": "a-very-secret-line"})
    writer.close()
    path = os.path.join(store.layout.run_folder(run_id), store.layout.segment_names(run_id)[0])
    with open(path, "ab") as file:
        file.write(b"a-very-secret torn record")
    add_run(store, {})
    delete(store, run_id)
    store.sweep(grace_s=0)
    assert os.listdir(os.path.join(store.layout.trash, "segments")) != []
    sweep(store, NOW, passes=1)
    store.sweep(grace_s=0)
    for path in tree(store.layout.root):
        with open(path, "rb") as file:
            assert b"very-secret" not in file.read(), path
    assert store.verify().is_intact


def test_the_only_run_can_be_purged(store: Store) -> None:
    run_id = add_run(store, {"a": b"x"})
    delete(store, run_id)
    sweep(store, NOW, passes=1)
    manifest = load_newest(store.layout)
    assert (manifest.folds, manifest.points, manifest.logs, manifest.next_ref) == ((), (), (), 2)
    assert store.verify().is_intact
    assert add_run(store, {}) in run_ids(store)


def test_a_restored_run_is_not_purged(store: Store) -> None:
    run_id = add_run(store, {"a": b"x"})
    delete(store, run_id)
    delete(store, run_id, value=False)
    assert sweep(store, NOW).purged_runs == ()
    assert run_ids(store) == {run_id}


def test_a_run_that_is_being_restored_is_not_purged(store: Store) -> None:
    run_id = add_run(store, {"a": b"x"})
    delete(store, run_id)
    delete(store, run_id, value=False, seal=False)
    report = sweep(store, NOW)
    assert (report.purged_runs, report.candidates) == ((), 0)
    store.seal()
    state = store.run_state(run_id)
    assert state is not None
    assert state.deleted is None


def test_a_deleted_run_that_is_not_sealed_is_not_purged_yet(store: Store) -> None:
    run_id = add_run(store, {"a": b"x"}, seal=False)
    delete(store, run_id, seal=False)
    report = sweep(store, NOW)
    assert (report.purged_runs, report.candidates) == ((), 0)
    store.seal()
    assert sweep(store, NOW, passes=1).purged_runs == (run_id,)


def test_a_pinned_run_is_kept_with_its_artifacts(store: Store) -> None:
    run_id = add_run(store, {"a": b"x"})
    delete(store, run_id)
    store.catalog.commit([Change.set(PIN, run_id, {"reason": "r"})], actor="ada")
    report = sweep(store, NOW, passes=3)
    assert (report.purged_runs, report.candidates) == ((), 0)
    store.catalog.commit([Change.delete(PIN, run_id)], actor="ada")
    assert sweep(store, NOW, passes=1).purged_runs == (run_id,)
