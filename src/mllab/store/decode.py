"""Reading segments: whole, from an offset on, torn or damaged. Needs numpy.

Frames of one key set are lifted out of the file in one strided copy, and megabytes of them are verified by
one checksum (see :mod:`mllab.store.frames`), so the tail of a live run costs about as much as reading it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from mllab.errors import StoreCorrupt, StoreTooNew
from mllab.store import frames
from mllab.store.layout import SEGMENT_NAME
from mllab.store.points import PointColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U32 = struct.Struct("<I")
_LONG_RUN = 16


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
        lost_bytes: bytes at the end or in the middle that hold no intact record.
    """

    def __init__(self, path: str, run_id: str) -> None:
        self.path = path
        self.run_id = run_id
        self.header: dict[str, Any] = {}
        self.offset = 0
        self.problems: list[str] = []
        self.lost_bytes = 0
        self._key_sets: dict[int, list[str]] = {}

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
                self.problems.append("it does not begin like a segment")
                self.lost_bytes += len(data)
                self.offset = len(data)
                return chunk
            start = len(frames.MAGIC)
        while True:
            offsets, stop = _frame_offsets(data, start)
            if crc32(data[start:stop], frames.CRC_START) != frames.CRC_START and stop > start:
                offsets, stop = _verified(data, start)
            self._take(data, offsets, chunk)
            if stop == len(data) or not final:
                break
            following = frames.resync(data, stop)
            self.lost_bytes += (len(data) if following is None else following) - stop
            if following is None:
                stop = len(data)
                break
            self.problems.append(f"{following - stop} damaged bytes at {self.offset + stop}")
            start = following
        self.offset += stop
        return chunk

    def _take(self, data: memoryview, offsets: NDArray[np.int64], chunk: Chunk) -> None:
        if not len(offsets):
            return
        buffer = np.frombuffer(data, np.uint8)
        offsets = self._without_repeats(buffer, offsets)
        kinds = _gather(buffer, offsets + 4, "<u2")
        sets = _gather(buffer, offsets + 6, "<u2")
        for offset in offsets[kinds == frames.EVENT].tolist():
            self._take_event(data, offset, chunk)
        if not self.header:
            if not self.problems:
                self.problems.append("its header is missing")
            return
        for offset in offsets[kinds == frames.BATCH].tolist():
            self._take_batch(data, offset, chunk)
        is_points = kinds == frames.POINTS
        for number in np.unique(sets[is_points]).tolist():
            self._take_points(buffer, offsets[is_points & (sets == number)], number, chunk)
        unknown = int(np.count_nonzero(kinds > frames.BATCH))
        if unknown:
            self.problems.append(f"{unknown} records are of a kind that this version does not know")

    def _take_event(self, data: memoryview, offset: int, chunk: Chunk) -> None:
        frame = frames.HEAD.unpack_from(data, offset)
        start = offset + frames.HEAD.size
        try:
            record = json.loads(bytes(data[start : start + frame[0]]))
            name = record["e"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.problems.append(f"record {frame[3]} is not readable as JSON ({type(error).__name__})")
            return
        if not self.header:
            self._take_header(record)
        elif name == "keys":
            try:
                self._key_sets[int(record["id"])] = [str(key)[: frames.MAX_KEY_LENGTH] for key in record["keys"]]
            except (KeyError, ValueError, TypeError):
                self.problems.append(f"record {frame[3]} is no list of keys")
        else:
            chunk.events.append((frame[3], record))

    def _take_header(self, record: dict[str, Any]) -> None:
        name = SEGMENT_NAME.search(os.path.basename(self.path))
        if record.get("e") != "segment" or not isinstance(record.get("attempt"), int):
            self.problems.append("its first record is no segment header")
        elif record.get("run") != self.run_id:
            self.problems.append(f"it belongs to the run {str(record.get('run'))[:40]!r}")
        elif name and record.get("writer") != name[1]:
            self.problems.append(
                f"it was written by {str(record.get('writer'))[:40]!r}, not by the writer it is named for"
            )
        elif not isinstance(record.get("format"), int) or record["format"] > frames.FORMAT:
            raise StoreTooNew(
                f"{self.path} has segment format {record.get('format')!r}; this mllab reads up to {frames.FORMAT}.",
                "Upgrade mllab: pip install -U mllab",
            )
        else:
            self.header = record

    def _take_points(self, buffer: NDArray[np.uint8], offsets: NDArray[np.int64], number: int, chunk: Chunk) -> None:
        keys = self._key_sets.get(number)
        if keys is None:
            self.problems.append(f"{len(offsets)} records use the key set {number}, which is not defined")
            return
        payload = 16 + 8 * len(keys)
        lengths = _gather(buffer, offsets, "<u4")
        if not np.all(lengths == payload):
            self.problems.append(f"records of key set {number} have a wrong length")
            offsets = offsets[lengths == payload]
        row = np.dtype(
            {
                "names": ["seq", "step", "time", "values"],
                "formats": ["<u8", "<i8", "<i8", ("<f8", (len(keys),))],
                "offsets": [8, 16, 24, 32],
                "itemsize": payload + frames.OVERHEAD,
            }
        )
        rows = _rows(buffer, offsets, row)
        count, width = len(rows), len(keys)
        if not count:
            return
        chunk.points.append(
            PointColumns(
                tuple(keys),
                np.repeat(np.arange(width, dtype=np.int32), count),
                np.tile(rows["step"], width),
                np.tile(rows["time"], width),
                np.ascontiguousarray(rows["values"].T).reshape(-1),
                np.full(count * width, self.attempt, np.int32),
                np.tile(rows["seq"].astype(np.int64), width),
            )
        )

    def _without_repeats(self, buffer: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Drop records whose number was there before: copied bytes must not count twice."""
        seq = _gather(buffer, offsets + 8, "<u8")
        if np.all(seq[1:] > seq[:-1]):
            return offsets
        _, first = np.unique(seq, return_index=True)
        if len(first) < len(seq):
            self.problems.append(f"{len(seq) - len(first)} records are there twice")
        first.sort()
        return offsets[first]

    def _take_batch(self, data: memoryview, offset: int, chunk: Chunk) -> None:
        length, _, number, seq = frames.HEAD.unpack_from(data, offset)
        keys = self._key_sets.get(number)
        start = offset + frames.HEAD.size
        if keys is None or len(keys) != 1 or length < frames.BATCH_HEAD.size:
            self.problems.append(f"the batch {seq} has no metric")
            return
        flags, count, now, first, stride = frames.BATCH_HEAD.unpack_from(data, start)
        columns = 1 + bool(flags & frames.BATCH_STEPS) + bool(flags & frames.BATCH_TIMES)
        if frames.BATCH_HEAD.size + 8 * count * columns != length:
            self.problems.append(f"the batch {seq} has a wrong length")
            return
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
                times,
                np.frombuffer(data, "<f8", count, at),
                np.full(count, self.attempt, np.int32),
                np.full(count, seq, np.int64),
            )
        )


def read_regular(path: str, offset: int = 0) -> memoryview:
    """Return a regular file's bytes from ``offset``; links, pipes and folders are refused, never followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreCorrupt(f"{path} cannot be read: {error.strerror}.", "Run `mllab store verify`.") from error
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
    finally:
        os.close(fd)


def is_locked(path: str) -> bool:
    """Whether a writer holds the segment. A lock ends with its process, however that ended."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _frame_offsets(data: memoryview, start: int) -> tuple[NDArray[np.int64], int]:
    """Return where frames begin by their lengths alone, and where the last whole one ends."""
    size = len(data)
    buffer = np.frombuffer(data, np.uint8)
    pieces: list[NDArray[np.int64]] = []
    singles: list[int] = []
    offset = start
    unpack = _U32.unpack_from
    while offset + frames.OVERHEAD <= size:
        (length,) = unpack(data, offset)
        stride = length + frames.OVERHEAD
        if length > frames.MAX_PAYLOAD or offset + stride > size:
            break
        probe = offset + _LONG_RUN * stride
        if probe + 4 <= size and unpack(data, probe)[0] == length and unpack(data, offset + stride)[0] == length:
            count = _equal_lengths(buffer, offset, stride, length)
            if count > 1:
                if singles:
                    pieces.append(np.array(singles, np.int64))
                    singles = []
                pieces.append(offset + stride * np.arange(count, dtype=np.int64))
                offset += stride * count
                continue
        singles.append(offset)
        offset += stride
    if singles:
        pieces.append(np.array(singles, np.int64))
    return (np.concatenate(pieces) if pieces else np.empty(0, np.int64)), offset


def _equal_lengths(buffer: NDArray[np.uint8], offset: int, stride: int, length: int) -> int:
    """Return how many whole frames of one length follow each other at ``offset``."""
    most = (len(buffer) - offset) // stride
    done, window = 0, 64
    while done < most:
        count = min(window, most - done)
        view: NDArray[np.uint32] = np.ndarray((count,), "<u4", buffer, offset + done * stride, (stride,))
        differs = np.flatnonzero(view != length)
        if len(differs):
            return done + int(differs[0])
        done += count
        window *= 8
    return done


def _verified(data: memoryview, start: int) -> tuple[NDArray[np.int64], int]:
    """Return the offsets of intact frames up to the first that is not, and where that one begins."""
    offsets, stop = [], start
    for frame in frames.walk(data, start):
        offsets.append(stop)
        stop = frame.next
    return np.array(offsets, np.int64), stop


def _rows(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], row: np.dtype[Any]) -> NDArray[Any]:
    """Copy one fixed-size row from each offset."""
    if not len(offsets):
        return np.empty(0, row)
    windows: NDArray[Any] = np.ndarray((len(buffer) - row.itemsize + 1,), row, buffer, 0, (1,))
    return windows[offsets]


def _gather(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], code: str) -> NDArray[Any]:
    return _rows(buffer, offsets, np.dtype(code))
