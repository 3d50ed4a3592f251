"""A chart from coarse copies shows what a chart of all points shows, whatever was logged and whatever the cache holds."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllab.ids import new_id
from mllab.query import long_curves
from mllab.query.curves import Curve, curves
from mllab.query.engine import Engine
from mllab.store import coarse
from mllab.store.store import Store

# As 128 is to 64: a block for each extreme that a bucket keeps. Small, so that a few hundred points have many.
BLOCK, RATIO, LONG = 8, 4, 32
RUNS = ("one", "two")
KEYS = ("it's", "loss")
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 1e9, -1e9])


class Stretch(NamedTuple):
    """Points of one curve that are logged together, and what happens to the store then."""

    run: int
    key: int
    points: int
    gap: int  # from the last step that was logged; 0 and less repeat steps
    stride: int
    twice: bool
    spikes: list[tuple[float, float]]
    flat: bool
    resumes: bool
    then: str


STRETCHES = st.lists(
    st.builds(
        Stretch,
        st.sampled_from([0, 0, 0, 1]),
        st.sampled_from([1, 1, 1, 0]),
        st.sampled_from([1, 20, 100, 400, 400]),
        st.sampled_from([1, 1, 1, 5, 0, -30]),
        st.sampled_from([1, 1, 3]),
        st.sampled_from([False, False, False, True]),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), ODD), max_size=4),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from(["seal", "seal", "seal", "merge", "nothing"]),
    ),
    min_size=1,
    max_size=6,
)
WINDOW = st.tuples(st.none() | st.integers(-5, 400), st.none() | st.integers(300, 1500))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "BLOCK_POINTS", BLOCK)
    monkeypatch.setattr(coarse, "LONG_POINTS", LONG)
    monkeypatch.setattr(coarse, "_GROUP_ROWS", 16)
    monkeypatch.setattr(coarse, "_CHUNK_BLOCKS", 5)
    monkeypatch.setattr(long_curves, "BLOCKS_FROM", RATIO)
    monkeypatch.setattr(long_curves, "CUT_FROM", 0)


def fill(store: Store, stretches: list[Stretch], seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = [new_id() for _ in RUNS]
    attempts, last, clock = [0, 0], np.full((len(RUNS), len(KEYS)), -1), 1_700_000_000_000_000
    for stretch in stretches:
        run = stretch.run
        begins = stretch.resumes or not attempts[run]
        attempts[run] += begins
        writer = store.writer(ids[run], attempt=attempts[run])
        if begins:
            writer.event("start" if attempts[run] == 1 else "resume", {"experiment": "e", "name": RUNS[run]})
        steps = max(0, int(last[run, stretch.key]) + stretch.gap) + np.arange(stretch.points) * stretch.stride
        values = np.zeros(stretch.points) if stretch.flat else random.normal(size=stretch.points)
        for place, value in stretch.spikes:
            values[int(place * stretch.points)] = value
        for _ in range(1 + stretch.twice):
            writer.batch(KEYS[stretch.key], steps, values, clock + np.arange(stretch.points))
            clock += stretch.points
        writer.close()
        last[run, stretch.key] = steps[-1]
        if stretch.then != "nothing":
            store.seal()
        if stretch.then == "merge":
            store.compact(full=True)


def spoil(store: Store, what: str, at: int) -> None:
    folder = os.path.join(store.layout.cache, "coarse")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if not names or what == "nothing":
        return
    path = os.path.join(folder, names[at % len(names)])
    if what == "all gone":
        shutil.rmtree(folder)
    elif what == "gone":
        os.unlink(path)
    elif what == "cut":
        os.truncate(path, os.path.getsize(path) * (at % 10) // 10)
    elif what == "another's":
        shutil.copy(os.path.join(folder, names[(at + 1) % len(names)]), path + ".new")
        os.rename(path + ".new", path)
    else:
        with open(path, "r+b") as file:
            file.seek(at % os.path.getsize(path))
            file.write(b"garbage" * 3)


def by_name(found: Iterator[Curve]) -> dict[tuple[int, str], Curve]:
    return {(curve.ref, curve.key): curve for curve in found}


def check_shown(shown: Curve, whole: Curve, max_points: int) -> None:
    """Every point of ``whole`` has, no further than a bucket away, one as high, one as low and, if NaN, one that is."""
    count = len(whole.value)
    assert shown.total == whole.total == count
    assert len(shown.value) <= max_points
    assert len(set(shown.time.tolist())) == len(shown.time)  # no two points have one time
    order = np.argsort(whole.time)
    places = order[np.searchsorted(whole.time[order], shown.time)]
    for name in ("step", "time", "value"):
        np.testing.assert_array_equal(getattr(shown, name), getattr(whole, name)[places])
    assert np.all(np.diff(shown.step) >= 0)
    assert (shown.step[0], shown.step[-1]) == (whole.step[0], whole.step[-1])
    same_step = int(np.unique(whole.step, return_counts=True)[1].max())
    if same_step == 1:
        assert (places[0], places[-1]) == (0, count - 1)
    buckets = (max_points - 2) // (3 if np.isnan(whole.value).any() else 2)
    # Which of the points of one step comes first is open where two processes logged them.
    width = -(-count // buckets) + BLOCK + same_step - 1
    for place, value in enumerate(whole.value.tolist()):
        near = shown.value[(places > place - width) & (places < place + width)]
        assert np.isnan(near).any() if np.isnan(value) else (near >= value).any() and (near <= value).any()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stretches=STRETCHES,
    seed=st.integers(0, 9),
    damage=st.sampled_from(["nothing"] * 4 + ["all gone", "gone", "cut", "another's", "garbage"]),
    at=st.integers(0, 10_000),
    max_points=st.integers(8, 30),
    steps=WINDOW,
    newest=st.booleans(),
)
def test_no_spike_is_hidden(
    stretches: list[Stretch],
    seed: int,
    damage: str,
    at: int,
    max_points: int,
    steps: tuple[int | None, int | None],
    newest: bool,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(os.path.join(folder, "store"))
        fill(store, stretches, seed)
        spoil(store, damage, at)
        engine = Engine(store)
        refs = [ref for (ref,) in engine.rows("SELECT ref FROM r_runs ORDER BY ref DESC")]
        options: dict[str, Any] = {"newest": newest, "steps": steps}
        whole = by_name(curves(engine, refs, **options))
        for keys in (None, KEYS[1:]):
            shown = by_name(curves(engine, refs, keys, max_points=max_points, **options))
            assert list(shown) == [name for name in whole if keys is None or name[1] in keys]
            for name, curve in shown.items():
                check_shown(curve, whole[name], max_points)
