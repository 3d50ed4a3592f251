from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from tests.support.collected_store import NOW, add_run, delete, is_there, run_ids, sweep, tree

from mllab.ids import new_id
from mllab.store.catalog import PIN, Change
from mllab.store.manifest import load_newest
from mllab.store.store import Store

# No waiting but for the pass in between: a test needs no clock.


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
