"""A segment cut at every byte, and with every byte flipped: what is read is what was written, or less."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from mllab.errors import StoreTooNew
from mllab.ids import new_id
from mllab.store.decode import SegmentDecoder
from mllab.store.points import concat
from mllab.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

# Events, points, and whether the reader noticed that something is wrong.
Content = tuple[list[tuple[int, Any]], set[tuple[str, int, str]], bool]


@pytest.fixture
def segment(tmp_path: Path) -> tuple[str, str]:
    """Return the path and run of a segment with records of every kind."""
    store = Store.create(str(tmp_path / "store"))
    run_id = new_id()
    writer = store.writer(run_id)
    writer.event("start", {"experiment": "e", "name": "n"})
    for step in range(6):
        writer.points({"loss": 0.5 + step, "acc": float("nan")}, step)
    writer.batch("curve", [5, 3, 9], [1.0, 2.0, 3.0], [10, 20, 30])
    writer.batch("range", range(0, 40, 10), [1, 2, 3, 4])
    writer.event("finish", {"status": "finished"})
    writer.close()
    return os.path.join(store.layout.run_folder(run_id), store.layout.segment_names(run_id)[0]), run_id


def read(path: str, run_id: str) -> Content:
    decoder = SegmentDecoder(path, run_id)
    chunk = decoder.feed(final=True)
    columns = concat(chunk.points)
    rows = zip(columns.key.tolist(), columns.step.tolist(), columns.value.tolist(), strict=True)
    points = {(columns.keys[key], step, repr(value)) for key, step, value in rows}
    return list(chunk.events), points, bool(decoder.problems or decoder.lost_bytes)


def test_a_cut_anywhere_leaves_what_was_before_it(segment: tuple[str, str]) -> None:
    path, run_id = segment
    events, points, is_damaged = read(path, run_id)
    assert (len(events), len(points), is_damaged) == (2, 19, False)
    size = os.path.getsize(path)
    assert size > 700
    fewer = len(points)
    for cut in reversed(range(size)):
        os.truncate(path, cut)
        found, left, _ = read(path, run_id)
        assert found == events[: len(found)], cut
        assert left <= points, cut
        assert len(left) <= fewer, cut
        fewer = len(left)
    assert fewer == 0


def test_a_flip_anywhere_changes_no_value(segment: tuple[str, str]) -> None:
    path, run_id = segment
    events, points, _ = read(path, run_id)
    with open(path, "rb") as file:
        whole = file.read()
    for offset in range(len(whole)):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << offset % 8
        with open(path, "wb") as file:
            file.write(damaged)
        try:
            found, left, is_damaged = read(path, run_id)
        except StoreTooNew:
            continue
        assert all(event in events for event in found), offset
        assert left <= points, offset
        assert is_damaged, offset
