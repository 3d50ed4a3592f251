from __future__ import annotations

import json
import math
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mllab.errors import StoreCorrupt, StoreError, StoreTooNew
from mllab.ids import new_id
from mllab.store import frames
from mllab.store.decode import SegmentDecoder, is_locked, read_regular
from mllab.store.points import concat
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

RUN, WRITER = "06evwxyt00000000000000000r", "06evwxyt00000000000000000w"


def header(**changes: Any) -> bytes:
    record = {"e": "segment", "t": 1, "format": 1, "run": RUN, "writer": WRITER, "number": 0, "attempt": 2}
    return frames.seal(frames.EVENT, 0, 0, frames.encode_event(record | changes))


def event(seq: int, **record: Any) -> bytes:
    return frames.seal(frames.EVENT, 0, seq, frames.encode_event({"e": "note", "t": seq, **record}))


def keys(seq: int, number: int, *names: str) -> bytes:
    return frames.seal(frames.EVENT, 0, seq, frames.encode_event({"e": "keys", "id": number, "keys": names}))


def points(seq: int, step: int, *values: float, key_set: int = 0, time: int = 7) -> bytes:
    payload = struct.pack(f"<qq{len(values)}d", step, time, *values)
    return frames.seal(frames.POINTS, key_set, seq, payload)


class File:
    """A segment file that grows."""

    def __init__(self, folder: Path, name: str = f"{WRITER}-000000.seg") -> None:
        self.path = str(folder / name)
        self.decoder = SegmentDecoder(self.path, RUN)

    def add(self, *pieces: bytes) -> File:
        with open(self.path, "ab") as file:
            file.write(b"".join(pieces))
        return self

    def read(self, *, final: bool = True) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
        """Return events and (key, step, time, value, attempt, seq) of points, in order of writing."""
        chunk = self.decoder.feed(final=final)
        columns = concat(chunk.points)
        rows = zip(*(column.tolist() for column in columns.columns()), strict=True)
        found = sorted(((columns.keys[key], *rest) for key, *rest in rows), key=lambda row: row[-1])
        return [record for _, record in chunk.events], found


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path).add(frames.MAGIC, header())


def test_points_events_and_keys_come_back(file: File) -> None:
    file.add(
        keys(1, 0, "a", "b"), points(2, 5, 0.5, -1.0), event(3, text="x"), keys(4, 1, "c"), points(5, 6, 2.0, key_set=1)
    )
    events, found = file.read()
    assert [record["text"] for record in events] == ["x"]
    assert found == [("a", 5, 7, 0.5, 2, 2), ("b", 5, 7, -1.0, 2, 2), ("c", 6, 7, 2.0, 2, 5)]
    assert file.decoder.problems == []
    assert file.decoder.lost_bytes == 0


@pytest.mark.parametrize("piece", [1, 3, 7, 50, 1000])
def test_reading_as_it_grows_finds_what_reading_at_once_does(tmp_path: Path, piece: int) -> None:
    whole = b"".join(
        [
            frames.MAGIC,
            header(),
            keys(1, 0, "a"),
            *(points(seq, seq, float(seq)) for seq in range(2, 60)),
            event(60, text="end"),
        ]
    )
    growing = File(tmp_path)
    rows: list[Any] = []
    for start in range(0, len(whole), piece):
        growing.add(whole[start : start + piece])
        rows += growing.read(final=False)[1]
    assert [row[1] for row in rows] == list(range(2, 60))
    assert growing.decoder.offset == len(whole)
    assert growing.decoder.problems == []


def test_many_records_of_one_length_are_read_like_few(file: File) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(3000, 2))
    pieces = [keys(1, 0, "a", "b")]
    for number, row in enumerate(values.tolist()):
        pieces.append(points(number + 2, number, *row))
        if number % 700 == 0:
            pieces.append(event(10_000 + number, text="between"))
    file.add(*pieces)
    events, found = file.read()
    assert len(events) == 5
    assert [row[3] for row in found] == values.reshape(-1).tolist()


def test_a_torn_end_is_cut_and_counted_once_its_writer_is_gone(file: File) -> None:
    file.add(keys(1, 0, "a"), points(2, 0, 1.0), points(3, 1, 2.0)[:-9])
    assert len(file.read(final=False)[1]) == 1
    assert file.decoder.lost_bytes == 0
    assert file.read() == ([], [])
    assert file.decoder.lost_bytes == len(points(3, 1, 2.0)) - 9
    assert file.decoder.problems == []


def test_a_torn_end_of_a_live_segment_may_yet_be_finished(file: File) -> None:
    late = points(2, 0, 1.0)
    file.add(keys(1, 0, "a"), late[:20])
    assert file.read(final=False) == ([], [])
    file.add(late[20:])
    assert len(file.read(final=False)[1]) == 1


def test_records_after_damage_are_salvaged_and_the_damage_is_named(file: File) -> None:
    damaged = bytearray(points(2, 0, 1.0))
    damaged[30] ^= 4
    file.add(keys(1, 0, "a"), bytes(damaged), points(3, 1, 2.0), points(4, 2, 3.0))
    _, found = file.read()
    assert [row[3] for row in found] == [2.0, 3.0]
    assert file.decoder.lost_bytes == len(damaged)
    assert file.decoder.problems == [
        f"{len(damaged)} damaged bytes at {len(frames.MAGIC + header() + keys(1, 0, 'a'))}"
    ]


def test_damage_in_every_second_record_is_survived_in_bounded_time(file: File) -> None:
    """Reading goes once over the bytes: from each damage anew to the end would be 4 TB for this file."""
    pieces = [keys(1, 0, "a")]
    for seq in range(2, 40_002):
        frame = bytearray(points(seq, seq, 1.0))
        frame[30] ^= seq % 2
        pieces.append(bytes(frame))
    file.add(*pieces)
    _, found = file.read()
    assert len(found) == 20_000
    assert 0 < len(file.decoder.problems) <= 100
    assert file.decoder.lost_bytes == 20_000 * len(points(2, 2, 1.0))


def test_repeated_numbers_count_once_also_across_reads_and_damage(file: File) -> None:
    one, two = points(2, 0, 1.0), points(3, 1, 2.0)
    file.add(keys(1, 0, "a"), one, two)
    assert len(file.read(final=False)[1]) == 2
    file.add(two, b"garbage", one, points(4, 2, 3.0))
    assert [row[3] for row in file.read()[1]] == [3.0]
    assert "2 records are there twice" in file.decoder.problems
    assert file.decoder.lost_bytes == len(b"garbage" + one + two)


def test_numbers_out_of_order_are_all_kept(file: File) -> None:
    """A signal handler that logs between a record's number and its write leaves this."""
    file.add(keys(2, 0, "a"), points(4, 1, 1.0), points(3, 0, 2.0), points(1, 2, 3.0))
    assert [row[3] for row in file.read()[1]] == [3.0, 2.0, 1.0]
    assert file.decoder.problems == []


def test_a_damaged_header_costs_the_attempt_and_nothing_else(tmp_path: Path) -> None:
    broken = bytearray(header())
    broken[40] ^= 1
    file = File(tmp_path).add(frames.MAGIC, bytes(broken), keys(1, 0, "a"), points(2, 0, 1.0), event(3, text="x"))
    assert file.read() == ([{"e": "note", "t": 3, "text": "x"}], [("a", 0, 7, 1.0, 1, 2)])
    assert any("header is damaged" in problem for problem in file.decoder.problems)
    assert file.decoder.lost_bytes == len(broken)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"run": "0" * 26}, "belongs to the run"),
        ({"writer": "0" * 26}, "not by the writer it is named for"),
        ({"number": 5}, "number 5 of its writer"),
        ({"e": "note"}, "no segment header"),
        ({"attempt": "1"}, "no segment header"),
        ({"attempt": 2**40}, "no segment header"),
        ({"attempt": 0}, "no segment header"),
    ],
)
def test_a_segment_of_something_else_is_named_and_its_bytes_are_kept(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    file = File(tmp_path).add(frames.MAGIC, header(**changes), keys(1, 0, "a"), points(2, 0, 1.0))
    assert file.read() == ([], [])
    assert problem in file.decoder.problems[0]
    assert file.decoder.lost_bytes == os.path.getsize(file.path) - len(frames.MAGIC)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    file = File(tmp_path).add(frames.MAGIC, header(format=2))
    with pytest.raises(StoreTooNew, match="segment format 2"):
        file.read()


UNUSABLE = [
    (frames.seal(frames.EVENT, 0, 3, b"{"), "not readable as JSON"),
    (frames.seal(frames.EVENT, 0, 3, b'["e"]'), "not readable as JSON"),
    (frames.seal(frames.EVENT, 0, 3, b'"e"'), "not readable as JSON"),
    (frames.seal(frames.EVENT, 0, 3, b""), "not readable as JSON"),
    (frames.seal(frames.EVENT, 0, 3, b'{"e":' + b"[" * 100_000), "not readable as JSON (RecursionError)"),
    (frames.seal(frames.EVENT, 0, 3, b'{"e":"note","t":' + b"9" * 5000 + b"}"), "not readable as JSON (ValueError)"),
    (frames.seal(frames.EVENT, 0, 3, b'{"e":7}'), "has no name"),
    (frames.seal(frames.EVENT, 0, 3, b'{"e":"keys","id":"x","keys":["a"]}'), "no list of keys"),
    (frames.seal(frames.EVENT, 0, 3, b'{"e":"keys","id":5,"keys":"abc"}'), "no list of keys"),
    (points(3, 0, 1.0, key_set=9), "key set 9, which is not defined"),
    (points(3, 0, 1.0, 2.0), "wrong length"),
    (frames.seal(frames.POINTS, 0, 3, b""), "wrong length"),
    (frames.seal(frames.BATCH, 0, 3, b"x" * 8), "has no metric"),
    (frames.seal(frames.BATCH, 0, 3, frames.BATCH_HEAD.pack(0, 9, 0, 0, 0)), "wrong length"),
    (frames.seal(frames.BATCH, 0, 3, frames.BATCH_HEAD.pack(0, 0, 0, 0, 0)), "wrong length"),
    (frames.seal(9, 0, 3, b"later"), "a kind that this version does not know"),
    (points(2**63, 0, 1.0), "there twice"),
]


@pytest.mark.parametrize(("frame", "problem"), UNUSABLE, ids=[f"{n}-{text}" for n, (_, text) in enumerate(UNUSABLE)])
def test_a_record_that_cannot_be_used_is_named_and_kept(file: File, frame: bytes, problem: str) -> None:
    file.add(keys(1, 0, "a"), frame, points(4, 1, 2.0))
    assert [row[3] for row in file.read()[1]] == [2.0]
    assert any(problem in text for text in file.decoder.problems)
    assert file.decoder.lost_bytes == len(frame)  # so that sweeping moves the file to the trash


def test_a_key_set_without_keys_has_no_points(file: File) -> None:
    file.add(keys(1, 0), points(2, 0))
    assert file.read()[1] == []
    assert file.decoder.lost_bytes


def test_what_json_allows_and_tables_do_not_is_made_harmless(file: File) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    raw = json.dumps(
        {"e": "note", "t": 2**70, "text": "\ud800", "deep": deep, "nan": math.nan, "n": 2**63 - 1}
    ).encode()
    file.add(frames.seal(frames.EVENT, 0, 1, raw), keys(2, 0, "a\udc80", "k" * 300), points(3, 0, 1.0, 2.0))
    ((record,), found) = file.read()
    assert record["text"] == "\ufffd"
    assert record["t"] == str(2**70)
    assert record["n"] == 2**63 - 1
    json.dumps(record)
    assert [row[0] for row in found] == ["a\ufffd", "k" * 250]


@pytest.mark.parametrize(("time", "shown"), [(-(2**63), 0), (-1, 0), (2**63 - 1, 253_402_300_799_999_999), (5, 5)])
def test_times_outside_the_calendar_are_clipped(file: File, time: int, shown: int) -> None:
    head = frames.BATCH_HEAD.pack(0, 1, time, 0, 1)
    batch = frames.seal(frames.BATCH, 0, 3, head + struct.pack("<d", 2.0))
    file.add(keys(1, 0, "a"), points(2, 0, 1.0, time=time), batch)
    assert [row[2] for row in file.read()[1]] == [shown, shown]


def test_a_file_that_is_no_segment_is_lost_bytes(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"MLLAB", b"MLLABSG2" + header(), b"\0" * 5000)):
        file = File(tmp_path, f"{WRITER}-{number:06d}.seg").add(content)
        assert file.read(final=False) == ([], [])
        assert file.read() == ([], [])
        assert file.decoder.problems == ["it does not begin like a segment"]
        assert file.decoder.lost_bytes == len(content)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").write_bytes(frames.MAGIC)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("folder", "fifo", "link", "dangling"):
        with pytest.raises(StoreCorrupt, match="not a regular file"):
            read_regular(str(tmp_path / name))
        assert not is_locked(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        read_regular(str(tmp_path / "nothing"))
    assert not is_locked(str(tmp_path / "nothing"))


@pytest.mark.parametrize("code", ["EMFILE", "EIO", "ENOMEM"])
def test_what_cannot_be_read_at_present_is_neither_corrupt_nor_dead(
    file: File, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    import errno

    number = getattr(errno, code)

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert is_locked(file.path)
    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        read_regular(file.path)
    assert not isinstance(caught.value, StoreCorrupt)


def test_what_a_writer_wrote_is_what_the_decoder_reads(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    run_id = new_id()
    writer = store.writer(run_id, attempt=3)
    writer.points({"a": 1.0, "b": math.inf}, 4)
    writer.batch("c", range(10, 0, -3), [1, 2, 3, 4], times=[5, 6, 7, 8])
    writer.batch("c", [9, 8], np.array([0.5, np.nan]))
    writer.event("note", {"text": "é😀\ud800"})
    (name,) = store.layout.segment_names(run_id)
    path = os.path.join(store.layout.run_folder(run_id), name)
    assert is_locked(path)
    writer.close()
    assert not is_locked(path)
    decoder = SegmentDecoder(path, run_id)
    chunk = decoder.feed(final=True)
    columns = concat(chunk.points)
    rows = {
        (columns.keys[key], step): (value, attempt)
        for key, step, _, value, attempt, _ in zip(*columns.columns(), strict=True)
    }
    assert rows.pop(("c", 8))[0] != rows.get(("c", 8))
    assert rows == {
        ("a", 4): (1.0, 3), ("b", 4): (math.inf, 3), ("c", 10): (1, 3), ("c", 7): (2, 3), ("c", 4): (3, 3), ("c", 1): (4, 3),
        ("c", 9): (0.5, 3),
    }  # fmt: skip
    assert [record["text"] for _, record in chunk.events] == ["é😀\ufffd"]
    assert decoder.problems == []
