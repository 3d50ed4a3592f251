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
import resource
import struct
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Optional, SupportsFloat, SupportsIndex
from zlib import crc32

from mllab.errors import InvalidValueError, RunClosedError, WriteError
from mllab.ids import new_id
from mllab.store import frames
from mllab.store.fs import translate_os_errors, write_error
from mllab.store.values import batch_columns, check_key, coerce_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.store.fs import Disk
    from mllab.store.layout import Layout

ROLL_BYTES = 16 << 20
BATCH_CHUNK = 1 << 18
_NO_FILE = -1
_pack_crc = frames.CRC.pack


class _Identity:
    """Who writes: a process has its own. Made and replaced whole, since a signal handler may log at any point."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.writer_id = new_id()
        self.numbers = itertools.count()
        self.seq = itertools.count()


class _Segment:
    """An open segment file and what has been said in it; ``fd`` is -1 once nothing may be appended."""

    __slots__ = ("fd", "key_sets", "path", "seq", "set_numbers", "synced")

    def __init__(self, fd: int, path: str, seq: itertools.count[int]) -> None:
        self.fd = fd
        self.path = path
        self.seq = seq
        self.key_sets: dict[tuple[str, ...], tuple[Callable[..., bytes], int, int]] = {}
        self.set_numbers = itertools.count()
        self.synced = -1


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
        self._closed = False
        self._opened: list[_Segment] = []
        self._retired: list[int] = []
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        # Called when a forked child begins to write, which needs its own caller of tick().
        self.on_new_process: Optional[Callable[[], None]] = None
        self._identity = _Identity()
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
            segment = self._segment
            try:
                pack, length, number = segment.key_sets[tuple(metrics)]
                body = pack(
                    length, frames.POINTS, number, next(segment.seq), step, time.time_ns() // 1000, *metrics.values()
                )
            except Exception:  # a key set seen first, or values that need a closer look
                self._points_checked(metrics, step)
                return
            frame = body + _pack_crc(crc32(body, frames.CRC_START))
            try:
                written = self._write(segment.fd, frame)
            except OSError as error:
                if segment.fd == _NO_FILE:
                    self._usable()
                    self.points(metrics, step)
                    return
                self._fail(segment, frame, 0, error)
            if written != len(frame):
                self._fail(segment, frame, written, None)
            if self._power_safe:
                self.sync()

    def _points_checked(self, metrics: Mapping[str, Any], step: object) -> None:
        """Store what can be stored of ``metrics``, then name what cannot."""
        number, good, problems = coerce_metrics(metrics, step)
        if good:
            segment, key_set = self._key_set(tuple(good))
            payload = struct.pack(f"<qq{len(good)}d", number, time.time_ns() // 1000, *good.values())
            self._append(segment, frames.POINTS, key_set, payload)
        if problems:
            rest = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise InvalidValueError(
                "; ".join(problems[:5]) + rest + ".",
                "Metrics are numbers; text goes to log_params, set_tags or log_text.",
            )

    def _key_set(self, keys: tuple[str, ...]) -> tuple[_Segment, int]:
        """Return the segment to append to and the number that a set of keys has in it."""
        segment = self._usable()
        if keys in segment.key_sets:
            return segment, segment.key_sets[keys][2]
        record = {"e": "keys", "id": frames.MAX_KEY_SETS, "keys": list(keys)}
        if max(16 + 8 * len(keys), len(frames.encode_event(record))) > frames.MAX_PAYLOAD:
            raise InvalidValueError(f"{len(keys):,} metrics are too many for one call.", "Log them in several calls.")
        number = next(segment.set_numbers)
        if number > frames.MAX_KEY_SETS:
            segment = self._open_segment()
            number = next(segment.set_numbers)
        self._append(segment, frames.EVENT, 0, frames.encode_event({**record, "id": number}))
        packer = struct.Struct(f"<IHHQqq{len(keys)}d")
        segment.key_sets[keys] = (packer.pack, packer.size - frames.HEAD.size, number)
        return segment, number

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
                segment, number = self._key_set((key,))
                flags, (count, start, stride), parts = columns.chunk(first, min(first + BATCH_CHUNK, columns.rows))
                payload = b"".join((frames.BATCH_HEAD.pack(flags, count, now, start, stride), *parts))
                self._append(segment, frames.BATCH, number, payload)
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
            self._append(self._usable(), frames.EVENT, 0, payload)
        if sync:
            self.sync()

    def _append(self, segment: _Segment, kind: int, key_set: int, payload: bytes) -> None:
        frame = frames.seal(kind, key_set, next(segment.seq), payload)
        try:
            written = self._write(segment.fd, frame)
        except OSError as error:
            self._fail(segment, frame, 0, error)
        if written != len(frame):
            self._fail(segment, frame, written, None)
        if self._power_safe:
            self.sync()

    def _fail(self, segment: _Segment, frame: bytes, written: int, error: Optional[OSError]) -> NoReturn:
        """Cut off a torn frame and raise. What cannot be cut off is abandoned: nothing follows a torn frame."""
        if written:
            # A signal handler that logs from here on must not append after the torn bytes; what one did append
            # before, the number after the frame's being taken, must not be cut off with them.
            fd, segment.fd = segment.fd, _NO_FILE
            try:
                if fd == _NO_FILE or next(segment.seq) != frames.HEAD.unpack_from(frame)[3] + 1:
                    raise OSError(errno.EBUSY, "appended to meanwhile")
                self._disk.ftruncate(fd, os.fstat(fd).st_size - written)
                segment.fd = fd
            except OSError:
                if fd != _NO_FILE:
                    self._retired.append(fd)
        if error is None:
            error = OSError(_why_short(segment.path, frame), f"only {written} of {len(frame)} bytes fitted")
        raise write_error(f"a record of run {self.run_id}", error) from error

    # -- segments ------------------------------------------------------------------------------------------

    def _usable(self) -> _Segment:
        """Return the segment to append to, opening one in a forked child or after one was abandoned."""
        if self._segment.fd != _NO_FILE:
            return self._segment
        if self._closed:
            raise RunClosedError(
                f"Run {self.run_id} is finished; this record was not stored.",
                f'Continue it with mllab.start_run(resume="{self.run_id}").',
            )
        if self._identity.pid != os.getpid():
            self._identity = _Identity()
            if self.on_new_process is not None:
                self.on_new_process()
        return self._open_segment()

    def _open_segment(self) -> _Segment:
        """Go on in a new segment: locked and with its header before anyone can see it.

        The old one's lock is held until then, so the run never looks dead.
        """
        identity = self._identity
        number = next(identity.numbers)
        folder = self._layout.run_folder(self.run_id)
        path = os.path.join(folder, f"{identity.writer_id}-{number:06d}.seg")
        header = {
            "e": "segment",
            "t": time.time_ns() // 1000,
            "format": frames.FORMAT,
            "run": self.run_id,
            "writer": identity.writer_id,
            "number": number,
            "attempt": self.attempt,
            "pid": identity.pid,
            **self._about,
        }
        with translate_os_errors(f"a segment of run {self.run_id}"):
            fd = self._create(folder, path + ".new")
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                frame = frames.seal(frames.EVENT, 0, next(identity.seq), frames.encode_event(header))
                self._disk.write_all(fd, frames.MAGIC + frame)
                self._disk.rename(path + ".new", path)
            except BaseException:
                os.close(fd)
                with contextlib.suppress(OSError):
                    self._disk.unlink(path + ".new")
                raise
        segment = _Segment(fd, path, identity.seq)
        self._opened.append(segment)
        self._segment = segment
        for other in list(self._opened):
            if other is not segment:
                self._retire(other)
        return segment

    def _create(self, folder: str, path: str) -> int:
        while True:
            self._disk.mkdir(folder)
            try:
                return self._disk.open_new(path)
            except FileNotFoundError:
                continue  # the compactor removed the empty folder in between

    def _retire(self, segment: _Segment) -> None:
        """Stop appending to a segment; :meth:`tick` or :meth:`close` closes its file."""
        fd, segment.fd = segment.fd, _NO_FILE
        if fd != _NO_FILE:
            self._retired.append(fd)
        with contextlib.suppress(ValueError):
            self._opened.remove(segment)

    def sync(self) -> None:
        """Return once every record so far is on the device."""
        with self._sync_lock:
            segment = self._segment
            fd = segment.fd
            if fd == _NO_FILE or self._identity.pid != os.getpid():
                return
            size = os.fstat(fd).st_size
            if segment.synced == size:
                return
            try:
                self._disk.fdatasync(fd)
                if segment.synced < 0:
                    self._disk.sync_folder(os.path.dirname(segment.path))
                    self._disk.sync_folder(self._layout.runs)
                segment.synced = size
                return
            except OSError as error:
                failure = error
        self._rescue(segment, fd)
        raise write_error(f"run {self.run_id} to the device", failure) from failure

    def _rescue(self, segment: _Segment, fd: int) -> None:
        """After a failed fsync: the kernel may have dropped the pages, so the file is copied and never synced again."""
        with self._lock, contextlib.suppress(OSError, WriteError):
            if segment.fd == fd:
                self._retire(segment)
                self._open_segment()
            size = os.fstat(fd).st_size
            content = os.pread(fd, size, 0)
            if len(content) == size:
                self._disk.put_temp(segment.path + ".new", content)
                self._disk.rename(segment.path + ".new", segment.path)

    def tick(self) -> None:
        """Sync, start the next segment when this one is large, and close retired ones.

        For the background thread, about once a second.
        """
        self.sync()
        if self._identity.pid == os.getpid() and self.size_bytes() > ROLL_BYTES:
            with self._lock:
                if self._segment.fd != _NO_FILE:
                    self._open_segment()
        self._close_retired()

    def _close_retired(self) -> None:
        with self._sync_lock:
            while self._retired:
                fd = self._retired.pop()
                with contextlib.suppress(OSError):
                    self._disk.fdatasync(fd)
                with contextlib.suppress(OSError):
                    # Closing alone would leave the lock to a child that was forked while the file was made.
                    fcntl.flock(fd, fcntl.LOCK_UN)
                os.close(fd)

    def size_bytes(self) -> int:
        """Return the size of the present segment."""
        with self._lock:
            fd = self._segment.fd
            return os.fstat(fd).st_size if fd != _NO_FILE else 0

    def close(self) -> None:
        """Sync and let go. A segment without a held lock tells readers that this writer is gone."""
        try:
            self.sync()
        finally:
            with self._lock:
                self._closed = True
                self._retire(self._segment)
            self._close_retired()

    def _drop_in_child(self) -> None:
        """Forget the parent's files in a forked child. The locks stay the parent's."""
        for fd in [*(segment.fd for segment in self._opened), *self._retired]:
            if fd != _NO_FILE:
                with contextlib.suppress(OSError):
                    os.close(fd)
        for segment in self._opened:
            segment.fd = _NO_FILE
        self._opened = []
        self._retired = []
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()


def _why_short(path: str, frame: bytes) -> int:
    """Return the error number behind a short write, which the system does not tell."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    with contextlib.suppress(OSError):
        if limit != resource.RLIM_INFINITY and os.stat(path).st_size + len(frame) > limit:
            return errno.EFBIG
    return errno.ENOSPC


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._drop_in_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork_in_child)
