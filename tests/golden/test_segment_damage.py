"""Golden segments cut at every byte and with a bit flipped in every byte: never a wrong value, never more lost than hit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mllab.store import frames
from mllab.store.decode import SegmentDecoder
from mllab.store.points import concat

STORES = Path(__file__).parent / "stores"
SEGMENTS = sorted(STORES.glob("format-*/runs/*/*.seg"))


class Frame(NamedTuple):
    """A frame of an intact segment: where it lies and what it says."""

    start: int
    end: int
    kind: int
    key_set: int
    event: str
    seq: int


def read(folder: Path, source: Path, data: bytes) -> tuple[SegmentDecoder, dict[int, Any]]:
    """Return the decoder and what each record number says."""
    path = folder / source.name
    path.write_bytes(data)
    decoder = SegmentDecoder(str(path), source.parent.name)
    chunk = decoder.feed(final=True)
    found: dict[int, Any] = {seq: [repr(record)] for seq, record in chunk.events}
    points = concat(chunk.points)
    for key, step, time, value, attempt, seq in zip(*(each.tolist() for each in points.columns()), strict=True):
        found.setdefault(seq, []).append(repr((points.keys[key], step, time, value, attempt)))
    return decoder, found


def frames_of(data: bytes) -> list[Frame]:
    view = memoryview(data)
    found, start = [], len(frames.MAGIC)
    for frame in frames.walk(view, start):
        text = (
            bytes(view[frame.start : frame.start + 16]).decode("ascii", "replace") if frame.kind == frames.EVENT else ""
        )
        found.append(Frame(start, frame.next, frame.kind, frame.key_set, text, frame.seq))
        start = frame.next
    return found


@pytest.fixture(params=SEGMENTS, ids=lambda path: f"{path.parent.name[-3:]}-{path.stat().st_size}")
def segment(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_there_are_segments_of_every_kind_of_record() -> None:
    kinds = {frame.kind for path in SEGMENTS for frame in frames_of(path.read_bytes())}
    assert kinds == {frames.EVENT, frames.POINTS, frames.BATCH}
    assert max(path.stat().st_size for path in SEGMENTS) > 2000


def test_cut_at_every_byte_it_reads_as_the_records_before_the_cut(segment: Path, tmp_path: Path) -> None:
    data = segment.read_bytes()
    _, whole = read(tmp_path, segment, data)
    ends = frames_of(data)
    for cut in range(len(data)):
        decoder, found = read(tmp_path, segment, data[:cut])
        assert found == {frame.seq: whole[frame.seq] for frame in ends if frame.end <= cut and frame.seq in whole}, cut
        intact = max(
            [len(frames.MAGIC) if cut >= len(frames.MAGIC) else 0, *(frame.end for frame in ends if frame.end <= cut)]
        )
        assert decoder.lost_bytes == cut - intact
        assert decoder.problems == ([] if cut >= len(frames.MAGIC) else ["it does not begin like a segment"])


@pytest.mark.parametrize("shift", [0, 3])
def test_with_a_bit_flipped_in_any_byte_only_the_record_hit_is_lost(segment: Path, tmp_path: Path, shift: int) -> None:
    data = segment.read_bytes()
    whole_decoder, whole = read(tmp_path, segment, data)
    every = frames_of(data)
    end = every[-1].end
    torn = len(data) - end
    assert whole_decoder.lost_bytes == torn
    for at in range(end):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at + shift) % 8
        decoder, found = read(tmp_path, segment, bytes(damaged))
        if at < len(frames.MAGIC):
            assert found == {}
            assert decoder.problems
            continue
        (hit,) = (frame for frame in every if frame.start <= at < frame.end)
        lost = {hit.seq}
        if hit.event.startswith('{"e":"keys"'):
            number = sum(frame.event.startswith('{"e":"keys"') for frame in every if frame.seq < hit.seq)
            lost |= {frame.seq for frame in every if frame.kind != frames.EVENT and frame.key_set == number}
        expected = {seq: says for seq, says in whole.items() if seq not in lost}
        if hit is every[0]:  # the header says which attempt it is; without it the first is shown, and the run is marked
            expected = {seq: [re.sub(r", \d+\)$", ", 1)", text) for text in says] for seq, says in expected.items()}
        assert found == expected, at
        assert decoder.lost_bytes == torn + sum(frame.end - frame.start for frame in every if frame.seq in lost)
        # Damage at the very end cannot be told from a record that was never finished.
        assert decoder.problems or hit is every[-1], at


def test_with_any_two_neighbouring_records_swapped_or_repeated_nothing_is_wrong(segment: Path, tmp_path: Path) -> None:
    data = segment.read_bytes()
    _, whole = read(tmp_path, segment, data)
    every = frames_of(data)
    pieces = [data[frame.start : frame.end] for frame in every]
    for place in range(1, len(pieces) - 1):
        swapped = [*pieces[:place], pieces[place + 1], pieces[place], *pieces[place + 2 :]]
        decoder, found = read(tmp_path, segment, frames.MAGIC + b"".join(swapped))
        assert found == whole
        assert decoder.problems == []
        repeated = [*pieces[: place + 1], *pieces[place:]]
        decoder, found = read(tmp_path, segment, frames.MAGIC + b"".join(repeated))
        assert found == whole
        assert decoder.problems == ["1 records are there twice"]
