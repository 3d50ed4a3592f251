from __future__ import annotations

import errno
import fcntl
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mllab.errors import InvalidValueError, RunClosedError, WriteError
from mllab.ids import new_id
from mllab.store import frames, segment
from mllab.store.decode import SegmentDecoder, is_locked
from mllab.store.fs import Disk
from mllab.store.points import concat
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mllab.store.segment import SegmentWriter


class Hooked(Disk):
    """A disk whose next calls do what a test wants."""

    def __init__(self) -> None:
        self.next_write: Callable[[int, Any], int] | None = None
        self.fails: dict[str, int] = {}
        self.synced: list[int] = []

    def _maybe_fail(self, name: str) -> None:
        if self.fails.get(name, 0) > 0:
            self.fails[name] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, fd: int, data: Any) -> int:
        self._maybe_fail("write")
        hook, self.next_write = self.next_write, None
        return hook(fd, data) if hook is not None else Disk.write(fd, data)

    def ftruncate(self, fd: int, length: int) -> None:
        self._maybe_fail("ftruncate")
        Disk.ftruncate(fd, length)

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]
        self._maybe_fail("rename")
        Disk.rename(source, target)

    def unlink(self, path: str) -> None:  # type: ignore[override]
        self._maybe_fail("unlink")
        Disk.unlink(path)

    def fdatasync(self, fd: int) -> None:  # type: ignore[override]
        self.synced.append(fd)
        self._maybe_fail("fdatasync")
        Disk.fdatasync(fd)


class Bench:
    """A writer on a hooked disk, and what readers find of it."""

    def __init__(self, folder: Path) -> None:
        self.disk = Hooked()
        self.store = Store.create(str(folder / "store"), self.disk)
        self.run_id = new_id()
        self.folder = self.store.layout.run_folder(self.run_id)
        self.writer = self.open()

    def open(self, **options: Any) -> SegmentWriter:
        return self.store.writer(self.run_id, **{"attempt": 1, **options})

    @property
    def names(self) -> list[str]:
        return self.store.layout.segment_names(self.run_id)

    def decoders(self) -> list[tuple[SegmentDecoder, list[tuple[str, int, float]]]]:
        found = []
        for name in self.names:
            decoder = SegmentDecoder(os.path.join(self.folder, name), self.run_id)
            columns = concat(decoder.feed(final=True).points)
            keys = [columns.keys[key] for key in columns.key]
            found.append((decoder, list(zip(keys, columns.step.tolist(), columns.value.tolist(), strict=True))))
        return found

    def rows(self) -> list[tuple[str, int, float]]:
        return sorted(row for _, rows in self.decoders() for row in rows)

    def problems(self) -> list[str]:
        return [problem for decoder, _ in self.decoders() for problem in decoder.problems]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_segment_is_locked_from_its_first_visible_moment(tmp_path: Path) -> None:
    seen = []

    class Watching(Disk):
        def rename(self, source: str, target: str) -> None:  # type: ignore[override]
            seen.append((is_locked(source), os.path.getsize(source) > len(frames.MAGIC), os.path.exists(target)))
            Disk.rename(source, target)

    store = Store.create(str(tmp_path / "store"), Watching())
    store.writer(new_id())
    assert seen == [(True, True, False)]


def test_files_and_folders_are_the_owners_alone(bench: Bench) -> None:
    assert os.stat(os.path.join(bench.folder, bench.names[0])).st_mode & 0o777 == 0o600
    assert os.stat(bench.folder).st_mode & 0o777 == 0o700


def test_closing_lets_go_of_the_lock_and_refuses_more(bench: Bench) -> None:
    bench.writer.points({"a": 1.0}, 0)
    bench.writer.close()
    bench.writer.close()
    assert not is_locked(os.path.join(bench.folder, bench.names[0]))
    for call in (
        lambda: bench.writer.points({"a": 1.0}, 1),
        lambda: bench.writer.points({"new": 1.0}, 1),
        lambda: bench.writer.batch("a", [1], [1.0]),
        lambda: bench.writer.event("note", {}),
    ):
        with pytest.raises(RunClosedError, match=bench.run_id):
            call()
    assert bench.rows() == [("a", 0, 1.0)]


@pytest.mark.parametrize("torn", [1, 19, 30])
def test_a_short_write_is_cut_off_and_not_acknowledged(bench: Bench, torn: int) -> None:
    bench.writer.points({"a": 1.0}, 0)
    bench.disk.next_write = lambda fd, data: os.write(fd, data[:torn])
    with pytest.raises(WriteError, match=f"only {torn} of"):
        bench.writer.points({"a": 2.0}, 1)
    bench.writer.points({"a": 3.0}, 2)
    assert bench.rows() == [("a", 0, 1.0), ("a", 2, 3.0)]
    assert bench.problems() == []
    assert len(bench.names) == 1


def test_a_torn_frame_that_cannot_be_cut_off_is_the_last_of_its_segment(bench: Bench) -> None:
    bench.writer.points({"a": 1.0}, 0)
    bench.disk.next_write = lambda fd, data: os.write(fd, data[:9])
    bench.disk.fails["ftruncate"] = 1
    with pytest.raises(WriteError):
        bench.writer.points({"a": 2.0}, 1)
    bench.writer.points({"a": 3.0}, 2)
    assert len(bench.names) == 2
    (first, _), (second, rows) = bench.decoders()
    assert (first.lost_bytes, second.lost_bytes) == (9, 0)
    assert rows == [("a", 2, 3.0)]
    bench.writer.tick()
    assert [is_locked(os.path.join(bench.folder, name)) for name in bench.names] == [False, True]


def test_what_a_signal_handler_logs_into_a_failing_write_is_kept(bench: Bench) -> None:
    """The handler runs after a write fell short and before that is noticed; its own record is acknowledged."""
    bench.writer.points({"a": 1.0}, 0)

    def interrupted(fd: int, data: Any) -> int:
        written = os.write(fd, data[:9])
        bench.writer.points({"a": 9.0}, 9)
        return written

    bench.disk.next_write = interrupted
    with pytest.raises(WriteError):
        bench.writer.points({"a": 2.0}, 1)
    bench.writer.points({"a": 3.0}, 2)
    assert bench.rows() == [("a", 0, 1.0), ("a", 2, 3.0), ("a", 9, 9.0)]


def test_a_signal_handler_may_log_during_any_write(bench: Bench) -> None:
    """Each write of the outer calls is interrupted by a handler that logs a new set of keys."""
    numbers = itertools.count()

    def interrupted(fd: int, data: Any) -> int:
        number = next(numbers)
        bench.writer.points({f"h{number}": float(number)}, number)
        return os.write(fd, data)

    expected = []
    for step in range(20):
        bench.disk.next_write = interrupted
        bench.writer.points({f"m{step}": float(step), "x": 0.5}, step)
        expected += [(f"m{step}", step, float(step)), ("x", step, 0.5), (f"h{step}", step, float(step))]
    assert bench.rows() == sorted(expected)
    assert bench.problems() == []


def test_a_signal_handler_may_log_while_a_forked_child_opens_its_segment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a child: no segment is open, and at each step of opening one a handler logs."""
    bench.writer.points({"a": 0.0}, 0)
    expected = [("a", 0, 0.0)]
    for number, place in enumerate(("getpid", "mkdir", "open_new", "flock", "write", "rename", "after"), 1):
        bench.writer._retire(bench.writer._segment)
        monkeypatch.setattr(os, "getpid", lambda number=number: 10**7 + number)
        pending = [number]

        def handler(at: str, place: str = place, pending: list[int] = pending, number: int = number) -> None:
            if at == place and pending:
                bench.writer.points({"handler": float(pending.pop())}, number)

        with monkeypatch.context() as patch:

            def interrupt(owner: Any, name: str, at: str, patch: pytest.MonkeyPatch = patch) -> None:
                real = getattr(owner, name)

                def interrupted(*args: Any) -> Any:
                    handler(at)
                    return real(*args)

                patch.setattr(owner, name, interrupted)

            interrupt(segment, "_Identity", "getpid")
            interrupt(segment, "_Segment", "after")
            interrupt(fcntl, "flock", "flock")
            for name in ("mkdir", "open_new", "write", "rename"):
                interrupt(bench.disk, name, name)
            bench.writer.points({"a": float(number)}, number)
            assert not pending
        expected += [("a", number, float(number)), ("handler", number, float(number))]
        assert bench.rows() == sorted(expected), place
    assert bench.problems() == []
    monkeypatch.undo()
    bench.writer._close_retired()
    live = [name for name in bench.names if is_locked(os.path.join(bench.folder, name))]
    assert len(live) <= 2  # none is left open and forgotten but what the next opening retires


def test_an_opening_that_fails_leaves_nothing_and_can_be_tried_again(bench: Bench) -> None:
    bench.writer._retire(bench.writer._segment)
    bench.disk.fails = {"rename": 1, "unlink": 1}  # and the temporary file stays
    with pytest.raises(WriteError, match="segment"):
        bench.writer.points({"a": 1.0}, 0)
    bench.writer.points({"a": 2.0}, 1)
    assert bench.rows() == [("a", 1, 2.0)]


def test_the_folder_of_a_run_may_vanish_while_a_segment_is_made(bench: Bench) -> None:
    """Sweeping removes a folder when its last segment goes; a resumed run may want it at that moment."""
    bench.writer.close()
    mkdir, pending = bench.disk.mkdir, [True]

    def vanishing(path: str) -> None:
        mkdir(path)
        if pending.pop() if pending else False:
            for name in os.listdir(path):
                os.unlink(os.path.join(path, name))
            os.rmdir(path)

    bench.disk.mkdir = vanishing  # type: ignore[method-assign]
    writer = bench.open()
    writer.points({"a": 1.0}, 0)
    assert bench.rows() == [("a", 0, 1.0)]


def test_a_large_segment_is_followed_by_another(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "ROLL_BYTES", 2000)
    for step in range(300):
        bench.writer.points({"a": float(step)}, step)
        if step % 10 == 0:
            bench.writer.tick()
    assert len(bench.names) > 5
    assert [is_locked(os.path.join(bench.folder, name)) for name in bench.names].count(True) == 1
    assert bench.rows() == [("a", step, float(step)) for step in range(300)]


def test_too_many_sets_of_keys_go_on_in_another_segment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_KEY_SETS", 7)
    for step in range(30):
        bench.writer.points({f"k{step}": 1.0}, step)
        bench.writer.batch(f"b{step}", [step], [2.0])
    assert len(bench.names) > 2
    assert len(bench.rows()) == 60
    assert bench.problems() == []


def test_metrics_that_do_not_fit_into_a_frame_are_refused_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD", 1000)
    with pytest.raises(InvalidValueError, match="130 metrics are too many"):
        bench.writer.points({str(number): 1.0 for number in range(130)}, 0)
    with pytest.raises(InvalidValueError, match="5 metrics are too many"):
        bench.writer.points({str(number) * 200: 1.0 for number in range(5)}, 0)
    with pytest.raises(InvalidValueError, match="record takes"):
        bench.writer.event("params", {"values": {"a": "x" * 1000}})
    bench.writer.points({"a": 1.0}, 1)
    assert bench.rows() == [("a", 1, 1.0)]


def test_each_second_sync_happens_only_when_something_was_written(bench: Bench) -> None:
    bench.writer.tick()
    bench.writer.tick()
    assert len(bench.disk.synced) == 1
    bench.writer.points({"a": 1.0}, 0)
    bench.writer.tick()
    assert len(bench.disk.synced) == 2


def test_power_safe_writing_syncs_each_call(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    writer = bench.open(power_safe=True)
    before = len(bench.disk.synced)
    for step in range(5):
        writer.points({"a": 1.0}, step)
    assert len(bench.disk.synced) - before >= 5


def test_a_failed_sync_copies_the_segment_and_never_trusts_its_file_again(bench: Bench) -> None:
    bench.writer.points({"a": 1.0}, 0)
    inode = os.stat(os.path.join(bench.folder, bench.names[0])).st_ino
    failed = bench.writer._segment.fd
    bench.disk.fails["fdatasync"] = 1
    with pytest.raises(WriteError, match="to the device"):
        bench.writer.sync()
    assert os.stat(os.path.join(bench.folder, bench.names[0])).st_ino != inode
    assert bench.writer._segment.fd != failed
    bench.writer.points({"a": 2.0}, 1)
    bench.writer.sync()
    assert bench.rows() == [("a", 0, 1.0), ("a", 1, 2.0)]
    assert bench.problems() == []


def test_a_failed_sync_on_a_full_disk_still_abandons_the_file(bench: Bench) -> None:
    bench.writer.points({"a": 1.0}, 0)
    bench.disk.fails = {"fdatasync": 1, "rename": 1}
    with pytest.raises(WriteError, match="to the device"):
        bench.writer.sync()
    bench.writer.points({"a": 2.0}, 1)
    assert len(bench.names) == 2
    assert bench.rows() == [("a", 0, 1.0), ("a", 1, 2.0)]


def test_threads_share_a_writer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "ROLL_BYTES", 5000)
    start = threading.Barrier(9)
    stop = threading.Event()

    def work(number: int) -> None:
        start.wait()
        for step in range(200):
            bench.writer.points({f"t{number}": float(step), f"x{step % 7}": 0.0}, step)

    def tick() -> None:
        start.wait()
        while not stop.wait(0.001):
            bench.writer.tick()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    ticker = threading.Thread(target=tick)
    for thread in [*threads, ticker]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    ticker.join()
    found = [row for row in bench.rows() if row[0].startswith("t")]
    assert found == sorted((f"t{number}", step, float(step)) for number in range(8) for step in range(200))
    assert bench.problems() == []


def test_numbers_only_grow_within_a_segment(bench: Bench) -> None:
    bench.writer.points({"a": 1.0}, 0)
    bench.disk.fails["write"] = 1
    with pytest.raises(WriteError):
        bench.writer.points({"a": 2.0}, 1)
    bench.writer.event("note", {"text": "x"})
    bench.writer.points({"a": 3.0}, 2)
    with open(os.path.join(bench.folder, bench.names[0]), "rb") as file:
        seqs = [frame.seq for frame in frames.walk(memoryview(file.read()), len(frames.MAGIC))]
    assert seqs == sorted(set(seqs))
