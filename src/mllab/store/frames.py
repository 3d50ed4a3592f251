"""Frames: the checksummed records that a segment is made of. Layout: docs/reference/store-format.md.

A segment is ``MAGIC`` followed by frames::

    length u32 | kind u16 | key_set u16 | seq u64 | payload[length] | crc u32      little endian

The checksum is CRC-32 (zlib) of everything before it in the frame, started at ``CRC_START`` instead of 0.
``CRC_START`` is the residue that CRC-32 leaves after any message followed by its own checksum, so the
checksum of a whole run of intact frames is ``CRC_START`` again: a reader verifies megabytes in one call
and walks frame by frame only where that fails.
"""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, Optional
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"MLLABSG1"
FORMAT = 1
CRC_START = 0x2144DF1C
HEAD = struct.Struct("<IHHQ")
CRC = struct.Struct("<I")
OVERHEAD = HEAD.size + CRC.size
MAX_PAYLOAD = 16 << 20
MAX_KEY_SETS = 0xFFFF
MAX_KEY_LENGTH = 250

EVENT, POINTS, BATCH = 0, 1, 2

# A batch: flags, count, time_us, first step, step stride; then steps, times and values as the flags say.
BATCH_HEAD = struct.Struct("<IIqqq")
BATCH_STEPS, BATCH_TIMES = 1, 2

# A head with a length below 2^25, a kind that exists and a sequence number below 2^48; an event's payload follows.
_LIKELY_HEAD = re.compile(rb'(?s)...[\x00\x01](?:\x00\x00.{8}\x00\x00\{"e":|[\x01\x02]\x00.{8}\x00\x00)')


class Frame(NamedTuple):
    """Where a valid frame lies: ``start`` and ``end`` bound its payload, ``next`` is where the next begins."""

    kind: int
    key_set: int
    seq: int
    start: int
    end: int
    next: int


def seal(kind: int, key_set: int, seq: int, payload: bytes) -> bytes:
    """Return one whole frame."""
    body = HEAD.pack(len(payload), kind, key_set, seq) + payload
    return body + CRC.pack(crc32(body, CRC_START))


def encode_event(record: dict[str, Any]) -> bytes:
    """Encode an event's payload: compact JSON in ASCII; NaN and infinities as Python's json writes them."""
    return json.dumps(record, separators=(",", ":"), default=str).encode("ascii")


def read_frame(data: memoryview, offset: int) -> Frame | None:
    """Return the intact frame at ``offset``, or None when there is none."""
    if offset + OVERHEAD > len(data):
        return None
    length, kind, key_set, seq = HEAD.unpack_from(data, offset)
    start = offset + HEAD.size
    end = start + length
    if length > MAX_PAYLOAD or end + CRC.size > len(data):
        return None
    if crc32(data[offset:end], CRC_START) != CRC.unpack_from(data, end)[0]:
        return None
    return Frame(kind, key_set, seq, start, end, end + CRC.size)


def walk(data: memoryview, offset: int) -> Iterator[Frame]:
    """Yield intact frames from ``offset`` until the first that is not."""
    while (frame := read_frame(data, offset)) is not None:
        yield frame
        offset = frame.next


class Effort:
    """How many bytes a search for intact frames may still checksum: damage must not cost hours."""

    def __init__(self, size: int) -> None:
        self.bytes_left = (64 << 20) + 8 * size


def resync(data: memoryview, offset: int, effort: Optional[Effort] = None) -> int | None:
    """Return where the next intact frame begins after damage at ``offset``, or None.

    Only places that look like the head of a frame that a writer could have made are tried, so that arrays of
    small numbers, which are full of plausible lengths, stay cheap to scan.
    """
    effort = effort or Effort(len(data))
    while (hit := _LIKELY_HEAD.search(data, offset + 1)) is not None:
        offset = hit.start()
        if offset + OVERHEAD > len(data) or effort.bytes_left <= 0:
            return None
        length, kind, _, _ = HEAD.unpack_from(data, offset)
        if offset + OVERHEAD + length > len(data) or not _is_likely(data, offset + HEAD.size, kind, length):
            continue
        effort.bytes_left -= length + 64
        if read_frame(data, offset) is not None:
            return offset
    return None


def _is_likely(data: memoryview, start: int, kind: int, length: int) -> bool:
    """Whether a payload begins as its kind must."""
    if kind == EVENT:
        return length > 5
    if kind == POINTS:
        # Arrays of integers look like long ones everywhere; a long one that is whole has another frame behind it.
        end = start + length + CRC.size
        is_followed = length < 1 << 16 or end == len(data) or _LIKELY_HEAD.match(data, end) is not None
        return length >= 24 and length % 8 == 0 and is_followed
    if length < BATCH_HEAD.size:
        return False
    flags, count = BATCH_HEAD.unpack_from(data, start)[:2]
    columns = 1 + bool(flags & BATCH_STEPS) + bool(flags & BATCH_TIMES)
    matches: bool = BATCH_HEAD.size + 8 * count * columns == length
    return matches
