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
import struct
from typing import TYPE_CHECKING, Any, NamedTuple
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


def resync(data: memoryview, offset: int) -> int | None:
    """Return where the next intact frame begins after damage at ``offset``, or None.

    Only kinds that exist and sequence numbers below 2^48 are tried, so a scan over noise stays cheap and a
    false hit needs a 32-bit coincidence on top.
    """
    for candidate in range(offset + 1, len(data) - OVERHEAD + 1):
        if (data[candidate + 4] <= BATCH and data[candidate + 5] == 0 and data[candidate + 14] == 0) and read_frame(
            data, candidate
        ) is not None:
            return candidate
    return None
