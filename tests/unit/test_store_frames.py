from __future__ import annotations

import os
import struct
from zlib import crc32

import pytest

from mllab.store import frames


def test_a_frame_reads_back_as_it_was_sealed() -> None:
    data = memoryview(b"before" + frames.seal(frames.EVENT, 3, 2**40, b'{"e":"x"}') + b"after")
    frame = frames.read_frame(data, 6)
    assert frame is not None
    assert (frame.kind, frame.key_set, frame.seq) == (frames.EVENT, 3, 2**40)
    assert bytes(data[frame.start : frame.end]) == b'{"e":"x"}'
    assert bytes(data[frame.next :]) == b"after"


def test_the_layout_of_a_frame_is_the_documented_one() -> None:
    sealed = frames.seal(frames.POINTS, 7, 9, b"payload!")
    head = struct.pack("<IHHQ", 8, 1, 7, 9)
    assert sealed == head + b"payload!" + struct.pack("<I", crc32(head + b"payload!", 0x2144DF1C))


def test_a_run_of_intact_frames_is_verified_by_one_checksum() -> None:
    whole = b"".join(frames.seal(frames.EVENT, 0, seq, os.urandom(seq * 7)) for seq in range(50))
    assert crc32(whole, frames.CRC_START) == frames.CRC_START
    for at in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        assert crc32(damaged, frames.CRC_START) != frames.CRC_START


@pytest.mark.parametrize("size", range(frames.OVERHEAD + 5))
def test_a_cut_frame_is_none(size: int) -> None:
    sealed = frames.seal(frames.EVENT, 0, 0, b"12345")
    assert len(sealed) == frames.OVERHEAD + 5
    assert frames.read_frame(memoryview(sealed)[:size], 0) is None


@pytest.mark.parametrize("length", [2**32 - 1, frames.MAX_PAYLOAD + 1, 6])
def test_a_length_that_leads_outside_is_none(length: int) -> None:
    sealed = bytearray(frames.seal(frames.EVENT, 0, 0, b"12345"))
    sealed[:4] = struct.pack("<I", length)
    assert frames.read_frame(memoryview(sealed), 0) is None


def event(seq: int, text: str = "y") -> bytes:
    return frames.seal(frames.EVENT, 0, seq, frames.encode_event({"e": "note", "text": text}))


def points(seq: int) -> bytes:
    return frames.seal(frames.POINTS, 1, seq, struct.pack("<qqd", 1, 2, 3.0))


def batch(seq: int, steps: list[int]) -> bytes:
    head = frames.BATCH_HEAD.pack(frames.BATCH_STEPS, len(steps), 1, 0, 0)
    return frames.seal(frames.BATCH, 1, seq, head + struct.pack(f"<{2 * len(steps)}q", *steps, *steps))


@pytest.mark.parametrize("frame", [event(5), points(5), batch(5, [1, 2, 3])], ids=["event", "points", "batch"])
@pytest.mark.parametrize(
    "noise", [b"", b"\0" * 999, b"\xff" * 999, os.urandom(999), points(3)[:-1], batch(3, [2])[:-5]]
)
def test_the_next_intact_frame_is_found_behind_any_damage(frame: bytes, noise: bytes) -> None:
    assert frames.resync(memoryview(b"?" + noise + frame + event(6)), 0) == 1 + len(noise)


def test_where_nothing_is_intact_there_is_no_next_frame() -> None:
    assert frames.resync(memoryview(b"\0" * 100_000), 0) is None
    assert frames.resync(memoryview(event(3)[:-1]), 0) is None
    assert frames.resync(memoryview(b""), 0) is None


def test_searching_what_looks_like_frames_everywhere_ends_soon() -> None:
    """Each 20 bytes look like the head of a frame of half the file: to checksum each would take hours."""
    size = 8 << 20
    head = frames.HEAD.pack(size // 2 // 40 * 40, frames.POINTS, 0, 0) + bytes(4)
    data = memoryview(head * (size // len(head)) + event(1))
    effort = frames.Effort(len(data))
    budget = effort.bytes_left
    assert frames.resync(data, 0, effort) is None
    assert -size <= effort.bytes_left <= 0 < budget <= 200 << 20


def test_a_damaged_array_of_small_numbers_costs_little_to_skip() -> None:
    """Small integers are full of what could be lengths and kinds; this one is as large as a batch gets."""
    large = bytearray(batch(1, list(range(1 << 18))))
    large[40] ^= 1
    data = memoryview(bytes(large) + event(2))
    effort = frames.Effort(len(data))
    before = effort.bytes_left
    assert frames.resync(data, 0, effort) == len(large)
    assert before - effort.bytes_left < 1 << 20
