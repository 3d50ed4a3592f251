"""Sealing, compacting, sweeping and reading beside each other, one awkward moment at a time."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.errors import StoreBusy, StoreCorrupt, StoreTooNew, WriteError
from mllab.ids import new_id
from mllab.lab import Lab
from mllab.store import frames, snapshot
from mllab.store import seal as seal_module
from mllab.store.fs import Disk
from mllab.store.layout import Layout
from mllab.store.lease import lease
from mllab.store.manifest import Manifest, commit, load_newest
from mllab.store.seal import seal
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def start(lab: Lab, name: str = "r", **options: Any) -> mllab.Run:
    return mllab.start_run("tests", name, lab=lab, capture=False, **options)


def logged(lab: Lab, name: str = "r", points: int = 3, first: int = 0) -> str:
    with start(lab, name) as run:
        for step in range(first, first + points):
            run.log({"loss": float(step)}, step=step)
    return run.id


def values(lab: Lab) -> list[float]:
    return [value for (value,) in lab.engine.rows("SELECT value FROM r_points ORDER BY value")]


def runs(lab: Lab) -> list[tuple[Any, ...]]:
    return lab.engine.rows("SELECT name, status, damaged FROM r_runs ORDER BY name")


def drop_everything_replaced(lab: Lab) -> None:
    for _ in range(2):
        lab.store.sweep(grace_s=0)


def segment_paths(lab: Lab, run_id: str) -> list[str]:
    folder = lab.store.layout.run_folder(run_id)
    return [os.path.join(folder, name) for name in lab.store.layout.segment_names(run_id)]


def abandon(run: mllab.Run) -> None:
    """Let go of a run as a SIGKILL does: the lock ends, and nothing is said."""
    run.writer.close()
    run._finished = True
    from mllab.tracking.background import BACKGROUND

    BACKGROUND.remove(run)


# -- sealing beside a live run -----------------------------------------------------------------------------


def test_a_dead_segment_of_a_live_run_waits_for_the_one_with_its_start(lab: Lab) -> None:
    run = start(lab)
    run.log({"loss": 0.0}, step=0)
    lab.store.edit(run.id, 1, [("tags", {"values": {"from": "outside"}})])
    for _ in range(2):
        assert seal(lab.store.layout, lab.store.disk, live_bytes=0).segments == 0
        assert runs(lab) == [("r", "running", None)]
        run.log({"loss": 1.0}, step=1)
    run.finish()
    assert lab.store.seal().segments == 2
    drop_everything_replaced(lab)
    assert runs(lab) == [("r", "finished", None)]
    assert lab.engine.rows("SELECT key, value FROM tags") == [("from", "outside")]


def test_a_run_that_ends_while_its_dead_segments_are_picked_stays_one_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is alive when its segments are listed and has finished when they are read."""
    run = start(lab)
    run.log({"loss": 0.0}, step=0)
    lab.store.edit(run.id, 1, [("tags", {"values": {"from": "outside"}})])
    real = load_newest

    def patched(*args: Any, **options: Any) -> Manifest:
        if patched.calls == 1:  # type: ignore[attr-defined]
            run.finish()
        patched.calls += 1  # type: ignore[attr-defined]
        return real(*args, **options)

    patched.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(seal_module, "load_newest", patched)
    seal(lab.store.layout, lab.store.disk, live_bytes=0)
    assert patched.calls == 2  # type: ignore[attr-defined]
    lab.store.seal()
    drop_everything_replaced(lab)
    assert runs(lab) == [("r", "finished", None)]
    assert lab.engine.rows("SELECT value FROM tags") == [("outside",)]


def test_a_live_run_whose_first_segments_are_sealed_stays_one_run(lab: Lab) -> None:
    run = start(lab, params={"lr": 1})
    run.log({"loss": 0.0}, step=0)
    run.writer._open_segment()
    run.writer.tick()
    run.log({"loss": 1.0}, step=1)
    assert seal(lab.store.layout, lab.store.disk, live_bytes=0).segments == 1
    drop_everything_replaced(lab)
    assert runs(lab) == [("r", "running", None)]
    assert values(lab) == [0.0, 1.0]
    run.finish()
    lab.store.seal()
    drop_everything_replaced(lab)
    assert runs(lab) == [("r", "finished", None)]
    assert values(lab) == [0.0, 1.0]
    assert lab.engine.rows("SELECT text FROM params") == [("1",)]
    assert lab.engine.rows("SELECT count, min, max FROM r_summaries") == [(2, 0.0, 1.0)]


def test_a_run_that_dies_silently_after_its_records_were_sealed_is_lost(lab: Lab) -> None:
    """Its last segment holds a header and nothing else, so no later sealing has a row to write for it."""
    run = start(lab)
    run.log({"loss": 0.0}, step=0)
    run.writer._open_segment()
    run.writer.tick()
    seal(lab.store.layout, lab.store.disk, live_bytes=0)
    assert runs(lab) == [("r", "running", None)]
    abandon(run)
    for _ in range(2):
        assert runs(Lab(lab.root)) == [("r", "lost", None)]
        lab.store.seal()
        drop_everything_replaced(lab)


def test_a_run_that_has_only_begun_its_file_is_not_there_yet(lab: Lab) -> None:
    writer = lab.store.writer(new_id())
    assert runs(lab) == []
    writer.close()
    assert lab.store.seal().segments == 1
    drop_everything_replaced(lab)
    assert runs(lab) == []
    assert os.listdir(lab.store.layout.runs) == []


def test_an_edit_does_not_bring_a_lost_run_back_to_life(lab: Lab) -> None:
    run = start(lab)
    abandon(run)
    writer = lab.store.writer(run.id, attempt=1, about={"purpose": "edit"})
    writer.event("tags", {"values": {"a": "b"}})
    for _ in range(2):
        assert runs(lab) == [("r", "lost", None)]
        lab.store.seal()
    writer.close()
    lab.store.seal()
    assert runs(lab) == [("r", "lost", None)]
    assert lab.engine.rows("SELECT key, value FROM tags") == [("a", "b")]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO])
def test_a_segment_that_cannot_be_read_now_is_sealed_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    run_id = logged(lab)
    (path,) = segment_paths(lab, run_id)
    real = os.pread

    def refuse(fd: int, size: int, offset: int) -> bytes:
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            raise OSError(code, os.strerror(code))
        return real(fd, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refuse)
        assert lab.store.seal().segments == 0
        lab.store.sweep(grace_s=0)
        assert lab.store.snapshot().tails == ()
    assert values(lab) == [0.0, 1.0, 2.0]
    assert lab.store.seal().segments == 1
    assert runs(lab) == [("r", "finished", None)]


def test_a_run_with_an_unreadable_segment_says_so_and_recovers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(lab)
    run.log({"loss": 0.0}, step=0)
    run.writer._open_segment()
    run.log({"loss": 1.0}, step=1)
    run.finish()
    _, second = segment_paths(lab, run.id)
    real = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if path == second:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        ((name, status, damaged),) = runs(lab)
        assert (name, status) == ("r", "lost")
        assert second in damaged
        assert "Permission denied" in damaged
        assert lab.store.seal().segments == 0
    assert runs(lab) == [("r", "finished", None)]
    assert values(lab) == [0.0, 1.0]


# -- what is damaged or foreign ----------------------------------------------------------------------------


def test_a_foreign_segment_is_moved_to_the_trash_not_deleted(lab: Lab) -> None:
    mine, other = logged(lab, "mine"), logged(lab, "other", first=10)
    (path,) = segment_paths(lab, other)
    name = os.path.basename(path)
    shutil.copy(path, os.path.join(lab.store.layout.run_folder(mine), name))
    assert values(lab) == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert [damaged is not None and "belongs to the run" in damaged for *_, damaged in runs(lab)] == [True, False]
    lab.store.seal()
    drop_everything_replaced(lab)
    assert values(lab) == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert os.listdir(os.path.join(lab.store.layout.trash, "segments")) == [f"{mine}-{name}"]


def test_a_copy_of_a_segment_under_another_number_counts_once(lab: Lab) -> None:
    run_id = logged(lab)
    (path,) = segment_paths(lab, run_id)
    shutil.copy(path, path.replace("-000000.seg", "-000001.seg"))
    assert values(lab) == [0.0, 1.0, 2.0]
    lab.store.seal()
    drop_everything_replaced(lab)
    assert values(lab) == [0.0, 1.0, 2.0]


def test_damaged_bytes_are_reported_and_kept(lab: Lab) -> None:
    run_id = logged(lab)
    (path,) = segment_paths(lab, run_id)
    with open(path, "r+b") as file:
        data = file.read()
        at = data.index(b'"keys"')
        file.seek(at)
        file.write(b"X")
    report = lab.store.seal()
    assert report.lost_bytes > 0
    ((_, _, damaged),) = runs(lab)
    assert "damaged bytes" in damaged
    assert "not defined" in damaged
    drop_everything_replaced(lab)
    (kept,) = os.listdir(os.path.join(lab.store.layout.trash, "segments"))
    with open(os.path.join(lab.store.layout.trash, "segments", kept), "rb") as file:
        assert file.read() == data[:at] + b"X" + data[at + 1 :]


def test_a_segment_of_a_later_format_stops_everything_with_its_name(lab: Lab) -> None:
    logged(lab)
    run_id = new_id()
    os.mkdir(lab.store.layout.run_folder(run_id))
    writer = new_id()
    header = {"e": "segment", "format": 2, "run": run_id, "writer": writer, "number": 0, "attempt": 1}
    path = os.path.join(lab.store.layout.run_folder(run_id), f"{writer}-000000.seg")
    with open(path, "wb") as file:
        file.write(frames.MAGIC + frames.seal(frames.EVENT, 0, 0, frames.encode_event(header)))
    for read in (lab.store.snapshot, lab.store.seal):
        with pytest.raises(StoreTooNew, match=path):
            read()
    assert os.path.exists(path)


def test_losing_the_newest_manifest_loses_and_repeats_nothing(lab: Lab) -> None:
    """At each stage the newest manifest is destroyed; the one before it must still tell the whole truth."""
    expected: list[float] = []
    for number in range(4):
        logged(lab, f"r{number}", first=10 * number)
        expected += [10.0 * number + step for step in range(3)]
        for work in (lab.store.seal, lambda: lab.store.compact(full=True), lambda: lab.store.sweep(grace_s=0)):
            work()
            newest = os.path.join(lab.store.layout.manifests, lab.store.layout.commits(lab.store.layout.manifests)[-1])
            with open(newest, "rb") as file:
                data = file.read()
            os.chmod(newest, 0o600)
            for damage in (b"", data[: len(data) // 2], data.replace(b'"number"', b'"numbre"', 1)):
                with open(newest, "wb") as file:
                    file.write(damage)
                if len(lab.store.layout.commits(lab.store.layout.manifests)) == 1:
                    with pytest.raises(StoreCorrupt, match="manifest"):
                        Lab(lab.root).store.snapshot()
                else:
                    assert values(Lab(lab.root)) == expected
                    assert len(runs(Lab(lab.root))) == number + 1
            with open(newest, "wb") as file:
                file.write(data)


def test_sealing_goes_on_after_a_damaged_manifest(lab: Lab) -> None:
    logged(lab, "a")
    lab.store.seal()
    logged(lab, "b", first=10)
    lab.store.seal()
    newest = os.path.join(lab.store.layout.manifests, lab.store.layout.commits(lab.store.layout.manifests)[-1])
    os.truncate(newest, 10)
    lab.store.seal()
    drop_everything_replaced(lab)
    assert values(Lab(lab.root)) == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert os.path.getsize(newest) == 10  # its bytes are evidence


def test_the_last_possible_manifest_number_is_an_error_not_a_hidden_commit(lab: Lab) -> None:
    path = os.path.join(lab.store.layout.manifests, "9" * 20 + ".json")
    with open(path, "wb"):
        pass
    with pytest.raises(StoreCorrupt, match="No number is left"):
        commit(lab.store.layout, lab.store.disk, Manifest())


# -- readers beside the compactor --------------------------------------------------------------------------


def between_listing_and_manifest(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Have ``work`` done once, after a reader has listed the segments and before it reads the manifest."""
    real, pending = load_newest, [work]

    def patched(*args: Any, **options: Any) -> Manifest:
        if pending:
            pending.pop()()
        return real(*args, **options)

    monkeypatch.setattr(snapshot, "load_newest", patched)


def before_listing(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Have ``work`` done once, at the moment when a reader is about to list the segments."""
    real, pending = Layout.open_run_ids, [work]

    def patched(layout: Layout) -> list[str]:
        if pending:
            pending.pop()()
        return real(layout)

    monkeypatch.setattr(Layout, "open_run_ids", patched)


@pytest.mark.parametrize("moment", [before_listing, between_listing_and_manifest])
@pytest.mark.parametrize("known", [False, True], ids=["first look", "seen before"])
def test_segments_that_are_sealed_and_swept_while_a_reader_looks_count_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, known: bool, moment: Callable[..., None]
) -> None:
    logged(lab)
    if known:
        assert len(values(lab)) == 3
    other = Lab(lab.root)

    def seal_and_sweep() -> None:
        other.store.seal()
        drop_everything_replaced(other)

    moment(monkeypatch, seal_and_sweep)
    assert values(lab) == [0.0, 1.0, 2.0]
    assert runs(lab) == [("r", "finished", None)]
    assert lab.store.snapshot().tails == ()


def test_a_part_that_is_swept_while_a_reader_wants_it_is_read_from_its_successor(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run needs its sealed row, which compaction moves to another part at that moment."""
    run_id = logged(lab, "a")
    lab.store.seal()
    logged(lab, "b", first=10)
    lab.store.seal()
    lab.store.edit(run_id, 1, [("tags", {"values": {"x": "y"}})])
    other = Lab(lab.root)
    from mllab.store import parts

    real, pending = parts.load_states, [True]

    def patched(*args: Any) -> Any:
        if pending:
            pending.pop()
            other.store.compact(full=True)
            drop_everything_replaced(other)
        return real(*args)

    monkeypatch.setattr(parts, "load_states", patched)
    assert lab.engine.rows("SELECT key, value FROM tags") == [("x", "y")]
    assert not pending
    assert len(runs(lab)) == 2


def test_a_part_that_is_gone_is_named(lab: Lab) -> None:
    run_id = logged(lab)
    lab.store.seal()
    drop_everything_replaced(lab)
    for name in os.listdir(lab.store.layout.parts):
        os.unlink(os.path.join(lab.store.layout.parts, name))
    with pytest.raises(StoreCorrupt, match=r"part .* missing"):
        Lab(lab.root).store.run_state(run_id)


def test_a_segment_goes_only_when_two_manifests_replace_it(lab: Lab) -> None:
    run_id = logged(lab)
    lab.store.seal()
    first = load_newest(lab.store.layout)
    assert len(segment_paths(lab, run_id)) == 1
    unlinked: list[tuple[str, list[bool]]] = []

    class Watching(Disk):
        def unlink(self, path: str) -> None:  # type: ignore[override]
            if path.endswith(".seg"):
                layout = lab.store.layout
                newest = load_newest(layout)
                both = (newest, load_newest(layout, before=newest.number))
                unlinked.append((path, [f"{run_id}/{os.path.basename(path)}" in each.sealed for each in both]))
            Disk.unlink(path)

    Store(lab.store.layout.root, Watching()).sweep(grace_s=0)
    assert [both for _, both in unlinked] == [[True, True]]
    assert load_newest(lab.store.layout).number > first.number
    assert load_newest(lab.store.layout).sealed == {}


def test_nothing_is_swept_before_its_time(lab: Lab) -> None:
    run_id = logged(lab)
    lab.store.seal()
    assert lab.store.sweep() == 0
    assert len(segment_paths(lab, run_id)) == 1


# -- compaction --------------------------------------------------------------------------------------------


def test_many_small_parts_become_few_and_stay_true(lab: Lab) -> None:
    for number in range(20):
        logged(lab, f"r{number:02}", first=10 * number)
        lab.store.seal()
        if number % 5 == 0:
            lab.store.edit(lab.engine.resolve("r00"), 1, [("tags", {"values": {f"n{number}": "x"}})])
    before = load_newest(lab.store.layout)
    assert lab.store.compact()
    after = load_newest(lab.store.layout)
    assert len(after.folds) < len(before.folds)
    assert len(after.points) < len(before.points)
    assert values(lab) == sorted(10.0 * number + step for number in range(20) for step in range(3))
    assert len(runs(lab)) == 20
    assert lab.engine.rows("SELECT count(*) FROM tags") == [(4,)]
    lab.store.seal()
    while lab.store.compact(full=True):
        if len(load_newest(lab.store.layout).folds) == 1:
            break
    assert not any(fold.masked for fold in load_newest(lab.store.layout).folds)
    assert len(runs(lab)) == 20
    assert len(values(lab)) == 60


def test_a_run_resumed_again_and_again_keeps_one_row(lab: Lab) -> None:
    run_id = logged(lab)
    for attempt in range(2, 6):
        lab.store.seal()
        lab.store.compact(full=attempt % 2 == 0)
        lab.store.sweep(grace_s=0)
        with start(lab, resume=run_id) as run:
            assert run.attempt == attempt
            run.log({"loss": 100.0 + attempt})
    lab.store.seal()
    assert lab.engine.rows("SELECT attempt, status FROM r_runs") == [(5, "finished")]
    assert lab.engine.rows("SELECT count, max, last FROM r_summaries") == [(7, 105.0, 105.0)]
    assert values(lab) == [0.0, 1.0, 2.0, 102.0, 103.0, 104.0, 105.0]


# -- leases and folders ------------------------------------------------------------------------------------


def test_one_compactor_at_a_time(lab: Lab) -> None:
    logged(lab)
    with lease(lab.store.layout):
        for work in (lab.store.seal, lab.store.compact, lambda: lab.store.sweep(grace_s=0)):
            with pytest.raises(StoreBusy):
                work()
    assert lab.store.seal().runs == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of a fork beside threads
def test_a_child_that_is_forked_meanwhile_does_not_keep_the_lease(lab: Lab) -> None:
    with lease(lab.store.layout):
        child = os.fork()
        if not child:
            signal.pause()
    try:
        with lease(lab.store.layout):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_copy_of_a_store_without_its_empty_folders_works(lab: Lab) -> None:
    logged(lab)
    layout = lab.store.layout
    for folder in (layout.manifests, layout.parts, layout.blobs, layout.catalog, layout.trash):
        shutil.rmtree(folder)
    os.unlink(layout.reserve)
    copied = Lab(lab.root)
    assert values(copied) == [0.0, 1.0, 2.0]
    copied.store.seal()
    copied.store.compact(full=True)
    copied.store.sweep(grace_s=0)
    assert values(copied) == [0.0, 1.0, 2.0]
    with start(copied, "more") as run:
        run.log_artifact(b"x", "x.bin")
    assert copied.store.blobs.read(copied.engine.rows("SELECT sha256 FROM artifacts")[0][0]) == b"x"


def test_a_store_can_be_where_its_reserve_cannot(tmp_path: Path) -> None:
    class Small(Disk):
        def write(self, fd: int, data: Any) -> int:
            if len(data) > 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return Disk.write(fd, data)

    store = Store.create(str(tmp_path / "store"), Small())
    assert not os.path.exists(store.layout.reserve)
    store.layout.check_format()


def test_a_store_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    class Full(Disk):
        def write(self, fd: int, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(WriteError, match="The disk is full"):
        Store.create(str(tmp_path / "store"), Full())
    store = Store.create(str(tmp_path / "store"))
    assert store.snapshot().tails == ()
