"""Coarse copies: what is in them, what comes in their place, and who makes and removes them."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mllab
from mllab.lab import Lab
from mllab.query.curves import curves
from mllab.query.pieces import read_pieces
from mllab.store import upkeep
from mllab.store.coarse import BLOCK_POINTS, LONG_POINTS, coarse_path, open_coarse
from mllab.store.manifest import load_newest

if TYPE_CHECKING:
    from collections.abc import Callable

POINTS = 20_000
MAX_POINTS = 50


@pytest.fixture
def values() -> np.ndarray[Any, Any]:
    found = np.random.default_rng(0).normal(size=POINTS)
    found[[0, 7_777, 13_000, POINTS - 1]] = [0.5, 1e9, np.nan, 0.25]
    return found


def begin(lab: Lab, name: str = "r", **options: Any) -> mllab.Run:
    return mllab.start_run("tests", name, lab=lab, capture=False, **options)


@pytest.fixture
def sealed(lab: Lab, values: np.ndarray[Any, Any]) -> Lab:
    """A lab with one sealed run: a long curve and a short one."""
    with begin(lab) as run:
        run.log_batch("long", range(POINTS), values)
        run.log_batch("short", range(LONG_POINTS - 1), values[: LONG_POINTS - 1])
    lab.store.seal()
    return lab


def copies(lab: Lab) -> list[str]:
    """Return the paths at which copies of the parts of points are to be."""
    return [coarse_path(lab.store.layout, part.name) for part in load_newest(lab.store.layout).points]


def chart(lab: Lab, **options: Any) -> Any:
    return mllab.metrics(["r"], "long", max_points=MAX_POINTS, lab=lab, **options)


def check_chart(lab: Lab) -> None:
    frame = chart(lab)
    assert frame.height <= MAX_POINTS
    assert {0, 7_777, 13_000, POINTS - 1} <= set(frame["step"].to_list())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the points that are read from parts and tails, a number for each time."""
    found: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        pieces = read_pieces(*args, **options)
        found.append(sum(len(piece.step) for curve in pieces.values() for piece in curve))
        return pieces

    monkeypatch.setattr("mllab.query.curves.read_pieces", counted)
    monkeypatch.setattr("mllab.query.long_curves.read_pieces", counted)
    return found


# -- what is in a copy -------------------------------------------------------------------------------------


def test_a_copy_keeps_real_points_of_long_curves_and_counts_them_all(sealed: Lab, values: Any) -> None:
    (part,) = load_newest(sealed.store.layout).points
    copy = open_coarse(sealed.store.layout, part)
    assert copy is not None
    assert copy.points == {(1, "long"): POINTS}
    kept = copy.read([(1, "long"), (1, "short")])[1, "long"]
    np.testing.assert_array_equal(kept.value, values[kept.step])
    heads = np.flatnonzero(kept.count)
    assert kept.count.sum() == POINTS
    np.testing.assert_array_equal(kept.low[heads], np.arange(0, POINTS, BLOCK_POINTS))
    np.testing.assert_array_equal(kept.high[heads][:-1], kept.low[heads][1:] - 1)
    for block, rows in zip(np.split(values, kept.low[heads][1:]), np.split(kept.value, heads[1:]), strict=True):
        assert (np.nanmin(rows), np.nanmax(rows)) == (np.nanmin(block), np.nanmax(block))
        assert np.isnan(rows).any() == np.isnan(block).any()


def test_a_part_of_short_curves_has_an_empty_copy_and_a_small_part_none(lab: Lab) -> None:
    for name, keys in (("few", 1), ("many", 3)):
        with begin(lab, name) as run:
            for key in range(keys):
                run.log_batch(f"k{key}", range(LONG_POINTS // 2), np.zeros(LONG_POINTS // 2))
        lab.store.seal()
    assert [os.path.exists(path) for path in copies(lab)] == [False, True]
    copy = open_coarse(lab.store.layout, load_newest(lab.store.layout).points[1])
    assert copy is not None
    assert copy.points == {}


# -- what a chart reads ------------------------------------------------------------------------------------


def test_a_chart_of_a_sealed_curve_reads_no_points(sealed: Lab, reads: list[int]) -> None:
    check_chart(sealed)
    assert reads == []
    mllab.metrics(["r"], max_points=MAX_POINTS, lab=sealed)
    assert reads == [LONG_POINTS - 1]  # the short curve


def test_a_chart_for_many_points_reads_them_all(sealed: Lab, reads: list[int]) -> None:
    assert mllab.metrics(["r"], "long", max_points=1000, lab=sealed).height <= 1000
    assert reads == [POINTS]


def test_a_window_reads_the_points_at_its_ends_alone(
    sealed: Lab, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (1_000, 17_000)
    assert chart(sealed, steps=steps).height <= MAX_POINTS
    assert reads == [16_001]  # they lie in one row group with the rest
    reads.clear()
    monkeypatch.setattr("mllab.query.long_curves.CUT_FROM", 0)
    frame = chart(sealed, steps=steps)
    assert [0 < count < 4 * BLOCK_POINTS for count in reads] == [True]
    assert (frame["step"][0], frame["step"][-1]) == steps
    assert {7_777, 13_000} <= set(frame["step"].to_list())
    reads.clear()
    chart(sealed, steps=(7_000, 8_000))
    assert reads == [1001]


@pytest.mark.parametrize("low", [None, 0, 8 * BLOCK_POINTS - 1, 8 * BLOCK_POINTS, 8 * BLOCK_POINTS + 1])
@pytest.mark.parametrize("high", [None, POINTS - 1, 99 * BLOCK_POINTS - 1, 99 * BLOCK_POINTS, 99 * BLOCK_POINTS + 1])
def test_a_window_begins_and_ends_where_it_is_said(
    sealed: Lab, monkeypatch: pytest.MonkeyPatch, reads: list[int], low: int | None, high: int | None
) -> None:
    monkeypatch.setattr("mllab.query.long_curves.CUT_FROM", 0)
    first, last = low or 0, POINTS - 1 if high is None else high
    (curve,) = curves(sealed.engine, [1], ["long"], max_points=MAX_POINTS, steps=(low, high))
    assert sum(reads) <= 4 * BLOCK_POINTS
    assert curve.total == last - first + 1
    assert (curve.step[0], curve.step[-1]) == (first, last)


@pytest.mark.parametrize("twice", [range(1, POINTS), range(63, POINTS, 64)], ids=["every step", "ends of blocks"])
def test_a_window_through_steps_that_are_there_twice_is_exact(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, twice: range
) -> None:
    monkeypatch.setattr("mllab.query.long_curves.CUT_FROM", 0)
    with begin(lab) as run:
        run.log_batch("long", range(POINTS), np.zeros(POINTS))
        run.log_batch("long", twice, np.ones(len(twice)))
    lab.store.seal()
    for low in range(1_000, 1_000 + BLOCK_POINTS, 9):
        window = (low, low + 18_000)
        (curve,) = curves(lab.engine, [1], ["long"], max_points=MAX_POINTS, steps=window)
        assert curve.total == 18_001 + sum(low <= step <= window[1] for step in twice)


def test_a_window_through_parts_that_overlap_is_exact(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mllab.query.long_curves.CUT_FROM", 0)
    with begin(lab) as run:
        run.log_batch("long", range(10_000), np.zeros(10_000))
    lab.store.seal()
    writer = lab.store.writer(run.id)
    writer.batch("long", range(9_950, 20_000), np.ones(10_050))
    writer.close()
    lab.store.seal()
    for low in (9_800, 9_900, 9_960):
        (curve,) = curves(lab.engine, [1], ["long"], max_points=MAX_POINTS, steps=(low, None))
        assert curve.total == 10_000 - low + 20_000 - max(low, 9_950)


def test_points_that_are_not_sealed_follow_the_copy(sealed: Lab, reads: list[int]) -> None:
    run_id = sealed.engine.resolve("r")
    writer = sealed.store.writer(run_id)
    writer.batch("long", range(POINTS, POINTS + 10), [0.0] * 9 + [-1e9])
    frame = chart(sealed)
    assert reads == [10]
    assert {7_777, 13_000, POINTS + 9} <= set(frame["step"].to_list())
    writer.close()
    sealed.store.seal()
    assert len(load_newest(sealed.store.layout).points) == 2
    reads.clear()
    assert chart(sealed)["step"].to_list() == frame["step"].to_list()  # a part that is too small for a copy
    assert reads == [10]


def test_what_a_resumed_run_began_anew_is_left_out(sealed: Lab, reads: list[int]) -> None:
    with begin(sealed, resume=sealed.engine.resolve("r")) as run:
        run.log_batch("long", range(7_000, 9_000), np.zeros(2_000))
    steps = chart(sealed)["step"].to_list()
    assert steps[-1] == 8_999
    assert 1e9 not in chart(sealed)["value"].to_list()
    reads.clear()
    assert 1e9 in chart(sealed, attempts="all")["value"].to_list()
    assert POINTS + 2_000 in reads  # they overlap
    sealed.store.seal()
    sealed.store.compact(full=True)
    assert 1e9 not in chart(sealed)["value"].to_list()
    reads.clear()
    assert 1e9 in chart(sealed, attempts="all")["value"].to_list()
    assert reads == []  # in one part they are in order


# -- copies that are of no use -----------------------------------------------------------------------------


def cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def fill_with_garbage(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"PAR1" + b"\0garbage" * 100 + b"PAR1")


def flip_a_page(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(500)
        byte = file.read(1)[0]
        file.seek(500)
        file.write(bytes([byte ^ 255]))


def swap_for_a_part(path: str) -> None:
    part = os.path.join(os.path.dirname(path), "..", "..", "parts", os.path.basename(path))
    os.unlink(path)
    shutil.copy(part, path)
    os.chmod(path, 0o600)


@pytest.mark.parametrize("damage", [cut, fill_with_garbage, flip_a_page, swap_for_a_part])
def test_a_damaged_copy_is_removed_and_the_points_are_read(
    sealed: Lab, reads: list[int], damage: Callable[[str], None]
) -> None:
    (path,) = copies(sealed)
    damage(path)
    check_chart(sealed)
    assert reads == [POINTS]
    assert not os.path.exists(path)
    assert not sealed.store.compact()
    reads.clear()
    check_chart(sealed)
    assert reads == []


@pytest.mark.parametrize("instead", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_something_else_in_its_place_is_left_alone(sealed: Lab, instead: Callable[[str], None]) -> None:
    (path,) = copies(sealed)
    os.unlink(path)
    instead(path)
    check_chart(sealed)
    assert os.path.lexists(path)


def test_a_cache_that_is_removed_costs_time_alone(sealed: Lab, reads: list[int]) -> None:
    before = chart(sealed)
    shutil.rmtree(sealed.store.layout.cache)
    check_chart(sealed)
    assert reads == [POINTS]
    sealed.store.compact()
    assert chart(sealed).equals(before)


def put_a_file_in_its_place(lab: Lab, _patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(lab.store.layout.cache, ignore_errors=True)
    with open(lab.store.layout.cache, "wb"):
        pass


def fill_the_disk(_lab: Lab, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "rename", refuse)  # parts are renamed by the store's Disk, which took the function before


@pytest.mark.parametrize("refuse", [put_a_file_in_its_place, fill_the_disk])
def test_a_copy_that_cannot_be_written_fails_nothing(
    lab: Lab, values: Any, refuse: Callable[[Lab, pytest.MonkeyPatch], None]
) -> None:
    with begin(lab) as run:
        run.log_batch("long", range(POINTS), values)
    with pytest.MonkeyPatch.context() as patch:
        refuse(lab, patch)
        assert lab.store.seal().points == POINTS
        lab.store.compact(full=True)
        lab.store.sweep(grace_s=0)
    (path,) = copies(lab)
    folder = os.path.dirname(path)
    assert not os.path.isdir(folder) or os.listdir(folder) == []
    check_chart(lab)


# -- who makes and removes them ----------------------------------------------------------------------------


@pytest.mark.parametrize("work", [lambda lab: lab.store.compact(), lambda lab: upkeep.main(lab.store.layout.root)])
def test_compaction_and_upkeep_make_what_is_missing_once(sealed: Lab, work: Callable[[Lab], Any]) -> None:
    (path,) = copies(sealed)
    os.unlink(path)
    work(sealed)
    made = os.stat(path)
    work(sealed)
    assert os.stat(path).st_ino == made.st_ino
    assert open_coarse(sealed.store.layout, load_newest(sealed.store.layout).points[0]) is not None


def test_copies_go_with_their_parts(sealed: Lab, values: Any, reads: list[int]) -> None:
    with begin(sealed, "other") as run:
        run.log_batch("long", range(POINTS), values)
    sealed.store.seal()
    old = copies(sealed)
    folder = os.path.dirname(old[0])
    for name in ("points-0123.tmp", "notes.txt"):
        with open(os.path.join(folder, name), "wb"):
            pass
    sealed.store.compact(full=True)
    (merged,) = copies(sealed)
    assert all(map(os.path.exists, [*old, merged]))
    for _ in range(2):
        sealed.store.sweep(grace_s=0)
    assert sorted(os.listdir(folder)) == ["notes.txt", os.path.basename(merged)]
    check_chart(sealed)
    assert reads == []
