from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.collected_store import NOW, OLD_NS, add_run, delete, is_there, pinned, put, record, sweep, tree

from mllab.errors import StoreCorrupt
from mllab.ids import new_id
from mllab.store import documents, segment
from mllab.store.fs import Disk
from mllab.store.gc import Periods, gc, read_marks
from mllab.store.store import Store
from mllab.store.trash import trashed_blobs

if TYPE_CHECKING:
    from collections.abc import Callable

# No waiting but for the pass in between: a test needs no clock.


# -- what it takes, and when ---------------------------------------------------------------------------------


def test_an_empty_store_has_nothing_to_collect(store: Store) -> None:
    report = store.gc()
    assert (report.candidates, report.bytes, report.purged_runs, report.applied) == (0, 0, (), False)


def test_a_dry_run_is_the_default_and_changes_nothing(store: Store) -> None:
    add_run(store, {"a": b"used"})
    put(store, b"unused")
    delete(store, add_run(store, {"b": b"of a deleted run"}))
    with open(os.path.join(store.layout.blobs, "x.tmp"), "w"):
        pass
    os.unlink(store.layout.reserve)
    before = tree(store.layout.root)
    report = store.gc(periods=NOW)
    assert tree(store.layout.root) == before
    assert not report.applied
    assert (report.used, report.candidates, report.bytes) == (1, 2, len(b"unused") + len(b"of a deleted run"))
    assert (report.trashed, len(report.purged_runs), report.leftovers) == (0, 1, 1)


def test_unused_content_is_marked_then_swept_then_purged(store: Store) -> None:
    used, unused = "used", put(store, b"unused")
    add_run(store, {"a": used.encode()})
    first = store.gc(apply=True, periods=NOW)
    assert (first.generation, first.candidates, first.bytes, first.trashed) == (1, 1, 6, 0)
    assert read_marks(store.layout, 1).keys() == {unused}
    assert store.gc(periods=NOW).trashed == 1
    second = store.gc(apply=True, periods=NOW)
    assert (second.generation, second.trashed, second.trashed_bytes, second.purged) == (2, 1, 6, 0)
    assert not is_there(store, unused)
    assert [blob.digest for blob in trashed_blobs(store.layout)] == [unused]
    third = store.gc(apply=True, periods=NOW)
    assert (third.candidates, third.purged, third.purged_bytes) == (0, 1, 6)
    assert os.listdir(store.layout.trash) == []
    assert is_there(store, hashlib.sha256(b"used").hexdigest())


def test_it_waits_for_the_grace(store: Store) -> None:
    unused = put(store, b"unused")
    for _ in range(4):
        assert store.gc(apply=True).trashed == 0  # marked just now
    young = put(store, b"young", old=False)
    report = sweep(store, Periods(grace_s=3600))
    assert report.candidates == 2
    assert is_there(store, unused)
    assert is_there(store, young)


def set_mark_age(store: Store, days: float) -> None:
    """Rewrite the newest marks as if they had been made so long ago."""
    folder = os.path.join(store.layout.root, "gc")
    name = max(os.listdir(folder))
    body, _ = documents.read(os.path.join(folder, name), "")
    since = time.time_ns() // 1000 - int(days * 86_400e6)
    body["candidates"] = {digest: [*mark[:3], since] for digest, mark in body["candidates"].items()}
    os.unlink(os.path.join(folder, name))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(documents.encode(body)[0])


@pytest.mark.parametrize(("days", "trashed"), [(13.9, 0), (14.1, 1), (-1, 0)])
def test_by_default_the_grace_is_fourteen_days(store: Store, days: float, trashed: int) -> None:
    put(store, b"unused")
    store.gc(apply=True)
    set_mark_age(store, days)
    assert store.gc(apply=True).trashed == trashed


def test_marks_keep_their_age_from_pass_to_pass(store: Store) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True)
    set_mark_age(store, 10)
    before = read_marks(store.layout, 1)[digest]
    for _ in range(3):
        store.gc(apply=True)
    assert read_marks(store.layout, 4)[digest] == before
    assert sorted(os.listdir(os.path.join(store.layout.root, "gc"))) == [f"{3:020d}.json", f"{4:020d}.json"]


def test_a_mark_from_the_future_counts_from_now(store: Store) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True)
    set_mark_age(store, -400)
    store.gc(apply=True)
    assert read_marks(store.layout, 2)[digest].since <= time.time_ns() // 1000


def test_content_that_changed_hands_starts_its_grace_again(store: Store) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True)
    set_mark_age(store, 20)
    os.unlink(store.layout.blob(digest))
    put(store, b"unused")
    os.utime(store.layout.blob(digest), ns=(OLD_NS, OLD_NS + 1))  # the inode may be the one just freed
    assert store.gc(apply=True).trashed == 0
    assert store.gc(apply=True).candidates == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", None])
def test_damaged_marks_only_start_the_grace_again(store: Store, damage: bytes | None) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True)
    path = os.path.join(store.layout.root, "gc", f"{1:020d}.json")
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(damage if damage is not None else documents.encode({"number": 1, "candidates": {"x": [1]}})[0])
    with pytest.raises(StoreCorrupt):
        read_marks(store.layout, 1)
    assert [note.kind for note in store.verify().notes if note.kind == "gc"] == ["gc"]
    assert store.gc(apply=True, periods=NOW).trashed == 0
    assert is_there(store, digest)
    assert store.gc(apply=True, periods=NOW).trashed == 1


def test_a_copy_that_lacks_what_was_empty_is_a_store(store: Store) -> None:
    add_run(store, {"a": b"used"})
    store.sweep(grace_s=0)
    for folder in (store.layout.runs, store.layout.catalog, store.layout.trash):
        os.rmdir(folder)
    put(store, b"unused")
    assert store.verify().is_intact
    assert store.stats()["blobs"]["unused"] == 1
    assert store.restore_trash() == []
    assert sweep(store, NOW).trashed == 1


# -- what is in use ------------------------------------------------------------------------------------------


def unsealed(store: Store, data: bytes) -> None:
    add_run(store, {"a": data}, seal=False)


def sealed(store: Store, data: bytes) -> None:
    add_run(store, {"a": data})


def sealed_and_compacted(store: Store, data: bytes) -> None:
    for number in range(3):
        add_run(store, {"a": data, "b": b"%d" % number})
    assert store.compact(full=True)


def deleted_lately(store: Store, data: bytes) -> None:
    delete(store, add_run(store, {"a": data}))


def dataset(store: Store, data: bytes) -> None:
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    writer.event("dataset", {"name": "d", "digest": "sha256:" + put(store, data), "context": None})
    writer.close()


def sealed_dataset(store: Store, data: bytes) -> None:
    dataset(store, data)
    store.seal()


def continued(store: Store, data: bytes) -> None:
    """Logged in a sealed part of a run that has unsealed records too."""
    run_id = add_run(store, {"a": data})
    store.edit(run_id, 1, [("note", {"text": "n"})])


@pytest.mark.parametrize(
    "use", [unsealed, sealed, sealed_and_compacted, deleted_lately, pinned, dataset, sealed_dataset, continued]
)
def test_content_in_use_stays(store: Store, use: Callable[[Store, bytes], None]) -> None:
    unused = put(store, b"unused")
    use(store, b"used")
    used = put(store, b"used")
    report = sweep(store, Periods(grace_s=0, purge_s=0), passes=3)
    assert is_there(store, used)
    assert not is_there(store, unused)
    assert report.purged == 1
    assert store.verify().is_intact


def test_other_parts_of_mllab_can_name_what_they_use(store: Store) -> None:
    model, unused = put(store, b"model"), put(store, b"unused")
    sweep(store, roots=[lambda: [model], lambda: iter(())])
    assert is_there(store, model)
    assert not is_there(store, unused)


def test_an_artifact_that_was_replaced_is_not_in_use(store: Store) -> None:
    run_id = add_run(store, {"a": b"first"})
    store.edit(run_id, 1, [("artifact", {"path": "a", "sha256": put(store, b"second"), "size": 6})])
    store.seal()
    sweep(store)
    assert not is_there(store, hashlib.sha256(b"first").hexdigest())
    assert is_there(store, hashlib.sha256(b"second").hexdigest())


def test_what_is_used_again_between_mark_and_sweep_stays(store: Store) -> None:
    digest = put(store, b"again")
    store.gc(apply=True, periods=NOW)
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    record(writer, "a", digest, 5)
    writer.close()
    assert store.gc(apply=True, periods=NOW).trashed == 0
    assert is_there(store, digest)


def test_what_is_logged_again_between_mark_and_sweep_stays_though_no_record_names_it_yet(store: Store) -> None:
    digest = put(store, b"again")
    store.gc(apply=True, periods=NOW)
    put(store, b"again", old=False)
    assert store.gc(apply=True, periods=NOW).trashed == 0
    assert is_there(store, digest)


def test_what_a_live_writer_may_be_about_to_record_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = put(store, b"from before")
    writer = store.writer(new_id())
    during = put(store, b"put while it lives", old=False)
    try:
        sweep(store, passes=3)
        assert is_there(store, during)
        assert not is_there(store, before)
        monkeypatch.setattr(segment, "ROLL_BYTES", 0)
        writer.tick()  # the next segment is younger; the writer is not
        assert len(store.layout.segment_names(writer.run_id)) == 2
        os.unlink(os.path.join(store.layout.run_folder(writer.run_id), store.layout.segment_names(writer.run_id)[0]))
        sweep(store, passes=3)
        assert is_there(store, during)
    finally:
        writer.close()
    sweep(store, passes=3)
    assert not is_there(store, during)


def test_content_logged_while_it_is_swept_comes_back(store: Store) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True, periods=NOW)

    class Racing(Disk):
        def point(self, name: str) -> None:
            if name == "before_trash_rename":
                store.blobs.put_bytes(b"unused")

    report = gc(store.layout, Racing(), apply=True, periods=NOW)
    assert report.trashed == 0
    assert is_there(store, digest)
    assert list(trashed_blobs(store.layout)) == []


def test_content_logged_just_after_it_was_swept_is_stored_again(store: Store) -> None:
    digest = put(store, b"unused")
    store.gc(apply=True, periods=NOW)

    class Racing(Disk):
        def point(self, name: str) -> None:
            if name == "after_trash_rename":
                store.blobs.put_bytes(b"unused")

    gc(store.layout, Racing(), apply=True, periods=NOW)
    assert store.blobs.read(digest) == b"unused"


def test_content_that_turns_out_to_be_used_comes_back_from_the_trash(store: Store) -> None:
    digest = put(store, b"content")
    sweep(store)
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e"})
    record(writer, "a", digest, 7)
    writer.close()
    (problem,) = store.verify().problems
    assert "in the trash" in problem.message
    report = store.gc(apply=True, periods=NOW)
    assert (report.restored, report.purged) == (1, 0)
    assert store.blobs.read(digest) == b"content"
    assert store.verify().is_intact


# -- undo ----------------------------------------------------------------------------------------------------


def test_a_sweep_can_be_undone(store: Store) -> None:
    digests = {put(store, b"one"), put(store, b"two")}
    sweep(store)
    assert not any(is_there(store, digest) for digest in digests)
    assert {blob.digest for blob in store.restore_trash()} == digests
    assert all(is_there(store, digest) for digest in digests)
    assert os.listdir(store.layout.trash) == []
    assert store.restore_trash() == []
    assert store.gc(apply=True, periods=Periods(grace_s=60)).trashed == 0


def test_undo_leaves_what_was_logged_again(store: Store) -> None:
    digest = put(store, b"one")
    sweep(store)
    put(store, b"one")
    inode = os.stat(store.layout.blob(digest)).st_ino
    assert store.restore_trash() == []
    assert os.stat(store.layout.blob(digest)).st_ino == inode


def test_strange_things_in_the_trash_are_left_alone(store: Store) -> None:
    for path in ("notes.txt", "20260101T000000Z/other", "20269999T000000Z/blobs/" + "a" * 64, "segments/x"):
        full = os.path.join(store.layout.trash, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write("kept")
    os.makedirs(os.path.join(store.layout.trash, "20260101T000000Z", "blobs"))
    os.symlink("/etc/hostname", os.path.join(store.layout.trash, "20260101T000000Z", "blobs", "b" * 64))
    before = tree(store.layout.trash)
    sweep(store, NOW, passes=3)
    store.restore_trash()
    assert tree(store.layout.trash).keys() == before.keys()
