"""Reading segments: whole, from an offset on, torn or damaged. Needs numpy.

Frames of one key set are lifted out of the file in one strided copy, and megabytes of them are verified by
one checksum (see :mod:`mllab.store.frames`), so the tail of a live run costs about as much as reading it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from mllab.errors import StoreCorrupt, StoreError, StoreTooNew
from mllab.store import frames
from mllab.store.frame_scan import frame_offsets, gather, rows, verified
from mllab.store.layout import SEGMENT_NAME
from mllab.store.points import PointColumns
from mllab.store.values import MAX_DEPTH, TIME_MAX_US, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MAX_ATTEMPT = (1 << 31) - 1
_MAX_PROBLEMS = 100
# What json reads and a table cannot hold: lone surrogates and integers past 64 bits.
_SUSPECT = re.compile(rb"\\u[dD]|[0-9]{19}")


@dataclass(slots=True)
class Chunk:
    """What one call of :meth:`SegmentDecoder.feed` found: events in order of writing, and points."""

    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    points: list[PointColumns] = field(default_factory=list)


class SegmentDecoder:
    """Decodes one segment file incrementally.

    Attributes:
        header: the segment's first event; empty until it was read.
        offset: how far the file was decoded.
        problems: sentences for what could not be read; a run with any is shown as damaged.
        lost_bytes: bytes that hold no intact record, or one that could not be used.
    """

    def __init__(self, path: str, run_id: str) -> None:
        self.path = path
        self.run_id = run_id
        self.header: dict[str, Any] = {}
        self.offset = 0
        self.problems: list[str] = []
        self.lost_bytes = 0
        self._key_sets: dict[int, list[str]] = {}
        self._seen: list[NDArray[np.uint64]] = []
        self._top = -1
        self._begun = False

    @property
    def attempt(self) -> int:
        """The attempt of the run that this segment belongs to."""
        return int(self.header.get("attempt", 1))

    def feed(self, *, final: bool) -> Chunk:
        """Decode what was appended since the last call.

        Args:
            final: the writer is gone, so an incomplete end is torn for good: whatever intact frames follow
                the damage are salvaged and the rest is counted as lost.
        """
        data = read_regular(self.path, self.offset)
        chunk = Chunk()
        start = 0
        if self.offset == 0:
            if len(data) < len(frames.MAGIC) and not final:
                return chunk
            if bytes(data[: len(frames.MAGIC)]) != frames.MAGIC:
                self._problem("it does not begin like a segment")
                self.lost_bytes += len(data)
                self.offset = len(data)
                return chunk
            start = len(frames.MAGIC)
        offsets, stop = frame_offsets(data, start)
        if crc32(data[start:stop], frames.CRC_START) != frames.CRC_START and stop > start:
            offsets, stop = verified(data, start)
        if final and stop < len(data):
            offsets = np.concatenate([offsets, *self._salvage(data, stop)])
            stop = len(data)
        self._take(data, offsets, chunk)
        self.offset += stop
        return chunk

    def _salvage(self, data: memoryview, stop: int) -> Iterator[NDArray[np.int64]]:
        """Yield the offsets of intact frames after damage at ``stop``."""
        effort = frames.Effort(len(data))
        while stop < len(data):
            following = frames.resync(data, stop, effort)
            self.lost_bytes += (len(data) if following is None else following) - stop
            if following is None:
                return
            self._problem(f"{following - stop} damaged bytes at {self.offset + stop}")
            offsets, stop = verified(data, following)
            yield offsets

    def _problem(self, text: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)

    def _reject(self, data: memoryview, offsets: NDArray[np.int64], text: str) -> None:
        """Count intact frames that cannot be used as lost, so that their file is kept, and say why."""
        if len(offsets):
            self._problem(text)
            lengths = gather(np.frombuffer(data, np.uint8), offsets, "<u4")
            self.lost_bytes += int(lengths.sum(dtype=np.int64)) + frames.OVERHEAD * len(offsets)

    def _take(self, data: memoryview, offsets: NDArray[np.int64], chunk: Chunk) -> None:
        if not len(offsets):
            return
        buffer = np.frombuffer(data, np.uint8)
        if not self._begun:
            self._begun = True
            offsets = self._take_header(data, offsets)
        if not self.header:
            self._reject(data, offsets, "nothing of it can be used")
            return
        offsets = self._without_repeats(data, offsets)
        kinds = gather(buffer, offsets + 4, "<u2")
        sets = gather(buffer, offsets + 6, "<u2")
        for offset in offsets[kinds == frames.EVENT].tolist():
            problem = self._take_event(data, offset, chunk)
            if problem:
                self._reject(data, np.array([offset]), problem)
        for offset in offsets[kinds == frames.BATCH].tolist():
            problem = self._take_batch(data, offset, chunk)
            if problem:
                self._reject(data, np.array([offset]), problem)
        is_points = kinds == frames.POINTS
        for number in np.unique(sets[is_points]).tolist():
            self._take_points(data, offsets[is_points & (sets == number)], number, chunk)
        unknown = offsets[kinds > frames.BATCH]
        self._reject(data, unknown, f"{len(unknown)} records are of a kind that this version does not know")

    def _take_event(self, data: memoryview, offset: int, chunk: Chunk) -> str | None:
        length, _, _, seq = frames.HEAD.unpack_from(data, offset)
        start = offset + frames.HEAD.size
        try:
            record = _read_json(bytes(data[start : start + length]))
            name = record["e"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return f"record {seq} is not readable as JSON ({type(error).__name__})"
        if not isinstance(name, str):
            return f"record {seq} has no name"
        if name != "keys":
            chunk.events.append((seq, record))
            return None
        number, keys = record.get("id"), record.get("keys")
        if not isinstance(number, int) or not isinstance(keys, list):
            return f"record {seq} is no list of keys"
        self._key_sets[number] = [str(key)[: frames.MAX_KEY_LENGTH] for key in keys]
        return None

    def _take_header(self, data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Read the header, the first frame; return the offsets of the others."""
        offset = int(offsets[0])
        if self.offset + offset != len(frames.MAGIC):
            # Run and writer are in the path as well; of the attempt this is a guess, and the run is marked.
            self._problem("its header is damaged, so its attempt is unknown and shown as 1")
            self.header = {"run": self.run_id, "attempt": 1}
            return offsets
        start = offset + frames.HEAD.size
        try:
            record = _read_json(bytes(data[start : start + frames.HEAD.unpack_from(data, offset)[0]]))
        except (ValueError, RecursionError):
            record = None
        problem = self._header_problem(record if isinstance(record, dict) else {})
        if problem:
            self._problem(problem)
            return offsets
        self.header = record
        return offsets[1:]

    def _header_problem(self, record: dict[str, Any]) -> str | None:
        attempt = record.get("attempt")
        name = SEGMENT_NAME.search(os.path.basename(self.path))
        if record.get("e") != "segment" or not isinstance(attempt, int) or not 1 <= attempt <= _MAX_ATTEMPT:
            return "its first record is no segment header"
        if not isinstance(record.get("format"), int) or record["format"] > frames.FORMAT:
            raise StoreTooNew(
                f"{self.path} has segment format {record.get('format')!r}; this mllab reads up to {frames.FORMAT}.",
                "Upgrade mllab: pip install -U mllab",
            )
        if record.get("run") != self.run_id:
            return f"it belongs to the run {str(record.get('run'))[:40]!r}"
        if name and record.get("writer") != name[1]:
            return f"it was written by {str(record.get('writer'))[:40]!r}, not by the writer it is named for"
        if name and record.get("number") != int(name[2]):
            return f"it is number {str(record.get('number'))[:40]} of its writer, not the one it is named for"
        return None

    def _take_points(self, data: memoryview, offsets: NDArray[np.int64], number: int, chunk: Chunk) -> None:
        keys = self._key_sets.get(number)
        if not keys:
            text = f"{len(offsets)} records use the key set {number}, which is not defined"
            self._reject(data, offsets, text)
            return
        buffer = np.frombuffer(data, np.uint8)
        payload = 16 + 8 * len(keys)
        fits = gather(buffer, offsets, "<u4") == payload
        if not np.all(fits):
            self._reject(data, offsets[~fits], f"records of key set {number} have a wrong length")
            offsets = offsets[fits]
        row = np.dtype(
            {
                "names": ["seq", "step", "time", "values"],
                "formats": ["<u8", "<i8", "<i8", ("<f8", (len(keys),))],
                "offsets": [8, 16, 24, 32],
                "itemsize": payload + frames.OVERHEAD,
            }
        )
        table = rows(buffer, offsets, row)
        count, width = len(table), len(keys)
        if not count:
            return
        chunk.points.append(
            PointColumns(
                tuple(keys),
                np.repeat(np.arange(width, dtype=np.int32), count),
                np.tile(table["step"], width),
                np.tile(table["time"].clip(0, TIME_MAX_US), width),
                np.ascontiguousarray(table["values"].T).reshape(-1),
                np.full(count * width, self.attempt, np.int32),
                np.tile(table["seq"].astype(np.int64), width),
            )
        )

    def _without_repeats(self, data: memoryview, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop records whose number was there before: copied bytes must not count twice."""
        seq = gather(np.frombuffer(data, np.uint8), offsets + 8, "<u8")
        if len(seq) and not (int(seq[0]) > self._top and np.all(seq[1:] > seq[:-1]) and seq[-1] >> 63 == 0):
            known = sum(map(len, self._seen))
            _, first = np.unique(np.concatenate([*self._seen, seq]), return_index=True)
            is_first = np.zeros(len(seq), bool)
            is_first[first[first >= known] - known] = True
            is_first &= seq >> 63 == 0
            repeats = offsets[~is_first]
            self._reject(data, repeats, f"{len(repeats)} records are there twice")
            offsets, seq = offsets[is_first], seq[is_first]
        if len(seq):
            self._seen.append(seq)
            self._top = max(self._top, int(seq.max()))
        return offsets

    def _take_batch(self, data: memoryview, offset: int, chunk: Chunk) -> str | None:
        length, _, number, seq = frames.HEAD.unpack_from(data, offset)
        keys = self._key_sets.get(number)
        start = offset + frames.HEAD.size
        if keys is None or len(keys) != 1 or length < frames.BATCH_HEAD.size:
            return f"the batch {seq} has no metric"
        flags, count, now, first, stride = frames.BATCH_HEAD.unpack_from(data, start)
        columns = 1 + bool(flags & frames.BATCH_STEPS) + bool(flags & frames.BATCH_TIMES)
        if frames.BATCH_HEAD.size + 8 * count * columns != length or not count:
            return f"the batch {seq} has a wrong length"
        at = start + frames.BATCH_HEAD.size
        if flags & frames.BATCH_STEPS:
            steps = np.frombuffer(data, "<i8", count, at)
            at += 8 * count
        else:
            steps = first + stride * np.arange(count, dtype=np.int64)
        if flags & frames.BATCH_TIMES:
            times = np.frombuffer(data, "<i8", count, at)
            at += 8 * count
        else:
            times = np.full(count, now, np.int64)
        chunk.points.append(
            PointColumns(
                tuple(keys),
                np.zeros(count, np.int32),
                steps,
                times.clip(0, TIME_MAX_US),
                np.frombuffer(data, "<f8", count, at),
                np.full(count, self.attempt, np.int32),
                np.full(count, seq, np.int64),
            )
        )
        return None


def _read_json(data: bytes) -> Any:
    """Return an event's record; what a table cannot hold is replaced by its text."""
    record = json.loads(data)
    if _SUSPECT.search(data) or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        return as_json(record)
    return record


def read_regular(path: str, offset: int = 0) -> memoryview:
    """Return a regular file's bytes from ``offset``; links, pipes and folders are refused, never followed.

    Raises:
        FileNotFoundError: it is not there.
        StoreCorrupt: it is no regular file.
        StoreError: it cannot be read at present; that says nothing about what it holds.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_FILE_ERRORS:
            raise StoreCorrupt(f"{path} is not a regular file.", "Move it out of the store.") from error
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise StoreCorrupt(f"{path} is not a regular file.", "Move it out of the store.")
        parts = []
        while len(part := os.pread(fd, max(status.st_size - offset, 1 << 16), offset)):
            parts.append(part)
            offset += len(part)
            if offset >= status.st_size:
                break
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(fd)


# What opening something else than a file says: a link under O_NOFOLLOW, a socket or device without a driver.
_NO_FILE_ERRORS = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)


def _unreadable(path: str, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror}.", "Nothing is changed; run `mllab store verify`.")


def is_locked(path: str) -> bool:
    """Whether a writer holds the segment. A lock ends with its process, however that ended.

    When that cannot be found out the answer is yes: a live segment taken for a dead one would be sealed too early.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM, *_NO_FILE_ERRORS)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
