from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from typing import Any

import pytest
from tests.support.collected_store import NOW, add_run, delete, is_there, pinned, put, run_ids, sweep, tree

from mllab.errors import StoreBusy, StoreCorrupt, StoreError, WriteError
from mllab.ids import new_id
from mllab.store.catalog import CHECKPOINT_EVERY, PIN, Change, checkpoint_numbers
from mllab.store.fs import Disk
from mllab.store.gc import Mark, gc
from mllab.store.lease import lease
from mllab.store.manifest import load_newest
from mllab.store.store import Store

# No waiting but for the pass in between: a test needs no clock.


# -- faults --------------------------------------------------------------------------------------------------


def test_it_refuses_to_guess_when_the_catalogue_is_damaged(store: Store) -> None:
    put(store, b"unused")
    pinned(store, b"pinned")
    os.unlink(os.path.join(store.layout.catalog, f"{1:020d}.json"))
    with open(os.path.join(store.layout.catalog, f"{2:020d}.json"), "w") as file:
        file.write("{}")
    before = tree(store.layout.root)
    with pytest.raises(StoreCorrupt, match="catalogue"):
        store.gc(apply=True, periods=NOW)
    assert tree(store.layout.root).keys() - {store.layout.lease} == before.keys() - {store.layout.lease}


@pytest.mark.parametrize("table", ["runs", "artifacts"])
def test_it_refuses_to_guess_when_a_part_is_gone(store: Store, table: str) -> None:
    add_run(store, {"a": b"used"})
    os.unlink(store.layout.part(load_newest(store.layout).folds[0].parts[table].name))
    for apply in (False, True):
        with pytest.raises(StoreCorrupt, match="missing"):
            store.gc(apply=apply, periods=NOW)
    assert is_there(store, hashlib.sha256(b"used").hexdigest())


def test_it_refuses_to_guess_when_the_newest_manifest_is_damaged(store: Store) -> None:
    add_run(store, {"a": b"used"})
    add_run(store, {"b": b"used too"})
    path = os.path.join(store.layout.manifests, f"{2:020d}.json")
    os.chmod(path, 0o600)
    os.truncate(path, 100)
    with pytest.raises(StoreCorrupt, match="manifest"):
        store.gc(apply=True, periods=NOW)


def test_it_refuses_to_guess_what_a_segment_says_that_it_may_not_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(store, {"a": b"used"}, seal=False)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may read anything
    with pytest.raises(StoreError, match="may not be read"):
        store.gc(apply=True, periods=NOW)


def test_one_at_a_time(store: Store) -> None:
    with lease(store.layout):
        with pytest.raises(StoreBusy):
            store.gc(apply=True)
        with pytest.raises(StoreBusy):
            store.restore_trash()
        store.gc()  # looking needs no lease


class Crash(BaseException):
    """As if the process had been killed."""


class CrashingDisk(Disk):
    """Dies at the n-th time that a named point is reached, once."""

    def __init__(self, name: str, times: int) -> None:
        self.name = name
        self.left = times

    def point(self, name: str) -> None:
        self.left -= name == self.name
        if name == self.name and self.left == 0:
            raise Crash(name)


def scenario(store: Store) -> tuple[set[str], set[str]]:
    """Return digests that must stay and digests that must go at the end."""
    keep = {put(store, b"used"), put(store, b"shared"), put(store, b"pin")}
    gone = {put(store, b"unused 1"), put(store, b"unused 2"), put(store, b"own")}
    add_run(store, {"a": b"used", "b": b"shared"}, seal=False)
    run_id = add_run(store, {"a": b"own", "b": b"shared"})
    pinned(store, b"pin")
    delete(store, run_id)
    return keep, gone


POINTS = [
    "before_part_rename", "after_part_rename", "before_manifest", "before_link", "after_link", "after_manifest",
    "before_mark", "after_mark", "before_trash_rename", "after_trash_rename", "before_purge_unlink",
]  # fmt: skip


@pytest.mark.parametrize(
    ("point", "times"),
    [(point, times) for point in POINTS for times in (1, 2) if times == 1 or not point.endswith("_manifest")],
)
def test_a_crash_anywhere_loses_nothing_and_the_next_pass_goes_on(store: Store, point: str, times: int) -> None:
    keep, gone = scenario(store)
    disk = CrashingDisk(point, times)
    crashes = 0
    for _ in range(6):
        try:
            gc(store.layout, disk, apply=True, periods=NOW)
        except Crash:
            crashes += 1
            assert all(is_there(store, digest) for digest in keep)
            assert store.verify().is_intact
    assert crashes == 1
    assert all(is_there(store, digest) for digest in keep)
    assert not any(is_there(store, digest) for digest in gone)
    assert len(run_ids(store)) == 1
    assert os.listdir(store.layout.trash) == []
    assert store.verify().is_intact


@pytest.mark.parametrize("call", ["write", "rename", "unlink", "link", "fsync"])
def test_a_disk_that_refuses_loses_nothing(store: Store, call: str) -> None:
    keep, gone = scenario(store)
    store.gc(apply=True, periods=NOW)

    def refuse(*_: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk = Disk()
    setattr(disk, call, refuse)
    put(store, b"another")  # so that there is something to mark
    with contextlib.suppress(WriteError):
        gc(store.layout, disk, apply=True, periods=NOW)
    assert all(is_there(store, digest) for digest in keep)
    sweep(store, NOW, passes=4)
    assert not any(is_there(store, digest) for digest in gone)
    assert store.verify().is_intact


# -- leftovers -----------------------------------------------------------------------------------------------


def make(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("12345")
    return path


def test_what_dead_writers_left_is_removed(store: Store) -> None:
    layout = store.layout
    run_id = new_id()
    paths = [
        make(os.path.join(layout.blobs, f"{new_id()}.tmp")),
        make(os.path.join(layout.manifests, "00000000000000000001.json.x.tmp")),
        make(os.path.join(layout.catalog, "00000000000000000001.json.x.tmp")),
        make(layout.format_file + ".x.tmp"),
        make(os.path.join(layout.run_folder(run_id), f"{new_id()}-000000.seg.new")),
    ]
    kept = make(os.path.join(layout.root, "mine.txt"))
    os.unlink(layout.reserve)
    assert store.gc(apply=True).leftovers == 0  # younger than a day
    assert all(map(os.path.exists, paths))
    assert os.path.getsize(layout.reserve) == 1 << 20
    report = store.gc(apply=True, periods=NOW)
    assert (report.leftovers, report.leftover_bytes) == (5, 25)
    assert not any(map(os.path.exists, paths))
    assert not os.path.exists(layout.run_folder(run_id))
    assert os.path.exists(kept)


def test_a_segment_that_is_being_born_is_left_alone(store: Store) -> None:
    path = make(os.path.join(store.layout.run_folder(new_id()), f"{new_id()}-000000.seg.new"))
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert store.gc(apply=True, periods=NOW).leftovers == 0
    assert store.gc(apply=True, periods=NOW).leftovers == 1


def test_old_checkpoints_are_removed(store: Store) -> None:
    for number in range(3 * CHECKPOINT_EVERY):
        store.catalog.commit([Change.set(PIN, "a" * 64, number)], actor="ada")
    state = store.catalog.state()
    assert store.gc(apply=True, periods=NOW).leftovers == 1
    assert checkpoint_numbers(store.layout) == [2 * CHECKPOINT_EVERY, 3 * CHECKPOINT_EVERY]
    assert Store.open(store.layout.root).catalog.state() == state
    assert store.verify().is_intact


def test_without_room_for_it_there_is_no_reserve(store: Store) -> None:
    os.unlink(store.layout.reserve)

    class Full(Disk):
        def replace(self, path: str, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "full")

    gc(store.layout, Full(), apply=True, periods=NOW)
    assert not os.path.exists(store.layout.reserve)


def test_a_mark_describes_one_file() -> None:
    mark = Mark(1, 2, 3, 100)
    assert mark.is_of(Mark(1, 2, 3, 200))
    assert not any(mark.is_of(other) for other in (Mark(0, 2, 3, 100), Mark(1, 0, 3, 100), Mark(1, 2, 0, 100)))
