"""Writing: one process, one run, one append-only segment at a time.

A record is acknowledged when ``write(2)`` has returned: from then on it is the kernel's, and killing the
process cannot lose it. The log path takes one uncontended lock, packs one frame and makes one system call;
everything else (fdatasync once a second, starting the next segment) is done by :meth:`SegmentWriter.tick`,
called from a background thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import struct
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional, SupportsFloat, SupportsIndex
from zlib import crc32

from mllab.errors import InvalidValueError, RunClosedError
from mllab.ids import new_id
from mllab.store import frames
from mllab.store.fs import translate_os_errors, write_error
from mllab.store.values import batch_columns, check_key, coerce_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

ROLL_BYTES = 16 << 20
BATCH_CHUNK = 1 << 18
_NO_FILE = -1
_pack_crc = frames.CRC.pack

# Weak references, for one purpose: a forked child must let go of its parent's segments.
_writers: weakref.WeakSet[SegmentWriter] = weakref.WeakSet()


class SegmentWriter:
    """Appends the records of one run from one process.

    Thread-safe, and safe to call from a signal handler that interrupts it. After a fork the child's first
    record opens a segment of its own; the parent's is left alone.
    """

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        run_id: str,
        *,
        attempt: int,
        power_safe: bool = False,
        about: Optional[dict[str, Any]] = None,
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self._layout = layout
        self._disk = disk
        self._write = disk.write
        self._power_safe = power_safe
        self._about = about or {}
        self._seq: Iterator[int]
        self._fd: int
        self._closed = False
        self._retired: list[tuple[int, str]] = []
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        self._become_writer()
        self._open_segment()
        _writers.add(self)

    # -- the log path --------------------------------------------------------------------------------------

    def points(self, metrics: Mapping[str, SupportsFloat], step: SupportsIndex) -> None:
        """Append one record with a value for each metric, at the present time.

        Raises:
            InvalidValueError: a key or value cannot be stored; the good ones of the call are.
            WriteError: the disk refused; nothing of the call is acknowledged.
        """
        with self._lock:
            try:
                pack, length, number = self._key_sets[tuple(metrics)]
                body = pack(
                    length, frames.POINTS, number, next(self._seq), step, time.time_ns() // 1000, *metrics.values()
                )
            except Exception:  # a key set seen first, or values that need a closer look
                self._points_checked(metrics, step)
                return
            frame = body + _pack_crc(crc32(body, frames.CRC_START))
            try:
                written = self._write(self._fd, frame)
            except OSError as error:
                if self._fd == _NO_FILE:
                    self._reopen()
                    self.points(metrics, step)
                    return
                self._fail(frame, 0, error)
            if written != len(frame):
                self._fail(frame, written, None)
            if self._power_safe:
                self.sync()

    def _points_checked(self, metrics: Mapping[str, Any], step: object) -> None:
        """Store what can be stored of ``metrics``, then name what cannot."""
        number, good, problems = coerce_metrics(metrics, step)
        if good:
            if self._fd == _NO_FILE:
                self._reopen()
            if tuple(good) not in self._key_sets:
                self._define(tuple(good))
            _, _, key_set = self._key_sets[tuple(good)]
            payload = struct.pack(f"<qq{len(good)}d", number, time.time_ns() // 1000, *good.values())
            self._append(frames.POINTS, key_set, payload)
        if problems:
            rest = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise InvalidValueError(
                "; ".join(problems[:5]) + rest + ".",
                "Metrics are numbers; text goes to log_params, set_tags or log_text.",
            )

    def _define(self, keys: tuple[str, ...]) -> None:
        """Give a set of keys its number in this segment."""
        if len(self._key_sets) > frames.MAX_KEY_SETS:
            self._roll()
        number = len(self._key_sets)
        record = {"e": "keys", "id": number, "keys": list(keys)}
        self._append(frames.EVENT, 0, frames.encode_event(record))
        packer = struct.Struct(f"<IHHQqq{len(keys)}d")
        self._key_sets[keys] = (packer.pack, packer.size - frames.HEAD.size, number)

    # -- other records -------------------------------------------------------------------------------------

    def batch(self, key: str, steps: Any, values: Any, times: Any = None) -> int:
        """Append arrays of steps and values of one metric; return how many points were taken.

        Args:
            key: the metric.
            steps: int64[n], a range, or a sequence of integers.
            values: float64[n] or a sequence of numbers.
            times: optional int64[n] UTC microseconds; without it all points carry the present time.
        """
        check_key(key)
        columns = batch_columns(key, steps, values, times)
        with self._lock:
            now = time.time_ns() // 1000
            for first in range(0, columns.rows, BATCH_CHUNK):
                if self._fd == _NO_FILE:
                    self._reopen()
                if (key,) not in self._key_sets:
                    self._define((key,))
                flags, (count, start, stride), parts = columns.chunk(first, min(first + BATCH_CHUNK, columns.rows))
                payload = b"".join((frames.BATCH_HEAD.pack(flags, count, now, start, stride), *parts))
                self._append(frames.BATCH, self._key_sets[(key,)][2], payload)
        return columns.rows

    def event(self, name: str, body: dict[str, Any], *, sync: bool = False) -> None:
        """Append one event; with ``sync`` it also survives a power loss once this returns."""
        payload = frames.encode_event({"e": name, "t": time.time_ns() // 1000, **body})
        if len(payload) > frames.MAX_PAYLOAD:
            raise InvalidValueError(
                f"A {name} record takes {len(payload):,} bytes; {frames.MAX_PAYLOAD:,} is the limit.",
                "Store large content with log_artifact or log_text.",
            )
        with self._lock:
            if self._fd == _NO_FILE:
                self._reopen()
            self._append(frames.EVENT, 0, payload)
        if sync:
            self.sync()

    def _append(self, kind: int, key_set: int, payload: bytes) -> None:
        frame = frames.seal(kind, key_set, next(self._seq), payload)
        try:
            written = self._write(self._fd, frame)
        except OSError as error:
            self._fail(frame, 0, error)
        if written != len(frame):
            self._fail(frame, written, None)
        if self._power_safe:
            self.sync()

    def _fail(self, frame: bytes, written: int, error: Optional[OSError]) -> None:
        """Cut off a torn frame and raise. What cannot be cut off is abandoned: nothing follows a torn frame."""
        seq = frames.HEAD.unpack_from(frame)[3]
        following = next(self._seq)
        # A signal handler may have logged in between: then a gap stays, because a number must never repeat.
        self._seq = itertools.count(seq if following == seq + 1 else following)
        if written:
            try:
                self._disk.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            except OSError:
                self._retire()
        if error is None:
            error = OSError(errno.ENOSPC, f"only {written} of {len(frame)} bytes fitted")
        raise write_error(f"a record of run {self.run_id}", error) from error

    # -- segments ------------------------------------------------------------------------------------------

    def _become_writer(self) -> None:
        self.pid = os.getpid()
        self.writer_id = new_id()
        self._number = 0
        self._seq = itertools.count()
        self._fd = _NO_FILE
        self._synced = (_NO_FILE, 0)
        self._key_sets: dict[tuple[str, ...], tuple[Callable[..., bytes], int, int]] = {}

    def _reopen(self) -> None:
        """Open a segment where there is none: in a forked child, or after one was abandoned."""
        if self._closed:
            raise RunClosedError(
                f"Run {self.run_id} is finished; this record was not stored.",
                f'Continue it with mllab.start_run(resume="{self.run_id}").',
            )
        if self.pid != os.getpid():
            self._become_writer()
        self._open_segment()

    def _open_segment(self) -> None:
        """Create the next segment: locked and with its header before anyone can see it."""
        folder = self._layout.run_folder(self.run_id)
        name = f"{self.writer_id}-{self._number:06d}.seg"
        path = os.path.join(folder, name)
        header = {
            "e": "segment",
            "t": time.time_ns() // 1000,
            "format": frames.FORMAT,
            "run": self.run_id,
            "writer": self.writer_id,
            "number": self._number,
            "attempt": self.attempt,
            "pid": self.pid,
            **self._about,
        }
        with translate_os_errors(f"a segment of run {self.run_id}"):
            fd = self._create(folder, path + ".new")
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                frame = frames.seal(frames.EVENT, 0, next(self._seq), frames.encode_event(header))
                self._disk.write_all(fd, frames.MAGIC + frame)
                self._disk.rename(path + ".new", path)
            except BaseException:
                os.close(fd)
                with contextlib.suppress(OSError):
                    self._disk.unlink(path + ".new")
                raise
        self._number += 1
        self._key_sets = {}
        self._path = path
        self._fd = fd

    def _create(self, folder: str, path: str) -> int:
        while True:
            self._disk.mkdir(folder)
            try:
                return self._disk.open_new(path)
            except FileNotFoundError:
                continue  # the compactor removed the empty folder in between

    def _retire(self) -> None:
        """Stop appending to the present segment; :meth:`tick` or :meth:`close` closes its file."""
        if self._fd != _NO_FILE:
            self._retired.append((self._fd, self._path))
            self._fd = _NO_FILE

    def _roll(self) -> None:
        """Go on in a new segment. The old lock is held until the new one is, so the run never looks dead."""
        old = (self._fd, self._path)
        self._open_segment()
        self._retired.append(old)

    def sync(self) -> None:
        """Return once every record so far is on the device."""
        with self._sync_lock:
            fd, path = self._fd, getattr(self, "_path", "")
            if fd == _NO_FILE or self.pid != os.getpid():
                return
            size = os.fstat(fd).st_size
            if self._synced == (fd, size):
                return
            try:
                self._disk.fdatasync(fd)
                if self._synced[0] != fd:
                    self._disk.sync_folder(os.path.dirname(path))
                    self._disk.sync_folder(self._layout.runs)
                self._synced = (fd, size)
                return
            except OSError as error:
                failure = error
        self._rescue(fd, path)
        raise write_error(f"run {self.run_id} to the device", failure) from failure

    def _rescue(self, fd: int, path: str) -> None:
        """After a failed fsync: the kernel may have dropped the pages, so the file is copied and never synced again."""
        with self._lock, contextlib.suppress(OSError):
            if self._fd == fd:
                self._roll()
            size = os.fstat(fd).st_size
            self._disk.put_temp(path + ".new", os.pread(fd, size, 0))
            self._disk.rename(path + ".new", path)

    def tick(self) -> None:
        """Sync, start the next segment when this one is large, and close retired ones.

        For the background thread, about once a second.
        """
        self.sync()
        if self.pid == os.getpid() and self.size_bytes() > ROLL_BYTES:
            with self._lock:
                if self._fd != _NO_FILE:
                    self._roll()
        self._close_retired()

    def _close_retired(self) -> None:
        with self._sync_lock:
            while self._retired:
                fd, _ = self._retired.pop()
                with contextlib.suppress(OSError):
                    self._disk.fdatasync(fd)
                os.close(fd)

    def size_bytes(self) -> int:
        """Return the size of the present segment."""
        with self._lock:
            return os.fstat(self._fd).st_size if self._fd != _NO_FILE else 0

    def close(self) -> None:
        """Sync and let go. A segment without a held lock tells readers that this writer is gone."""
        try:
            self.sync()
        finally:
            with self._lock:
                self._closed = True
                self._retire()
            self._close_retired()

    def _drop_in_child(self) -> None:
        """Forget the parent's files in a forked child. The locks stay the parent's."""
        for fd in [self._fd, *(fd for fd, _ in self._retired)]:
            if fd != _NO_FILE:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self._fd = _NO_FILE
        self._retired = []
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._drop_in_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork_in_child)
