"""Clocks jump: back by an hour, ahead by years, or not at all between two records. Nothing relies on them."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

import mllab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.lab import Lab

NOW = 1_790_000_000_000_000_000
HOUR, YEARS = 3_600_000_000_000, 10 * 365 * 24 * 3_600_000_000_000
CLOCKS: dict[str, Callable[[], Iterator[int]]] = {
    "frozen": lambda: itertools.repeat(NOW),
    "backwards": lambda: itertools.count(NOW, -HOUR // 100),
    "back an hour": lambda: itertools.chain(
        range(NOW, NOW + 20_000_000, 1_000_000), itertools.count(NOW - HOUR, 1_000_000)
    ),
    "ahead ten years and back": lambda: itertools.chain(
        range(NOW, NOW + 12_000_000, 1_000_000),
        range(NOW + YEARS, NOW + YEARS + 9_000_000, 1_000_000),
        itertools.count(NOW, 7),
    ),
    "at the epoch": lambda: itertools.count(0, 1_000),
    "to and fro": lambda: (NOW + (number % 7) * HOUR - number * 1000 for number in itertools.count()),
}


@pytest.fixture(params=CLOCKS)
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = CLOCKS[request.param]()
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))


def test_order_within_a_writer_is_the_order_of_writing(lab: Lab, clock: None) -> None:
    run = mllab.start_run("tests", "r", lab=lab, capture=False)
    for number in range(30):
        run.log({"loss": float(number)}, step=7)
        run.set_tags({"n": number, f"t{number}": "x"})
        if number:
            run.set_tags({f"t{number - 1}": None})
        run.log_params({"p": number})
        run.set_note(str(number))
    run.finish()
    for _ in range(3):
        assert [value for (value,) in lab.engine.rows("SELECT value FROM r_points ORDER BY seq")] == list(
            map(float, range(30))
        )
        assert dict(lab.engine.rows("SELECT key, value FROM tags")) == {"n": "29", "t29": "x"}
        assert lab.engine.rows("SELECT text FROM params") == [("29",)]
        assert lab.engine.rows("SELECT note, status, ended >= started FROM runs") == [("29", "finished", True)]
        assert lab.engine.rows("SELECT last FROM metric_summaries") == [(29.0,)]
        lab.store.seal()
        lab.store.sweep(grace_s=0)


def test_a_new_attempt_comes_after_the_old_one_whatever_the_clock_says(lab: Lab, clock: None) -> None:
    with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        run.log({"loss": 1.0}, step=1)
        run.set_tags({"try": 1})
    for attempt in (2, 3):
        again = mllab.start_run(resume=run.id, lab=lab, capture=False)
        assert lab.engine.rows("SELECT status, attempt FROM runs") == [("running", attempt)]
        again.log({"loss": float(attempt)}, step=1)
        again.set_tags({"try": attempt})
        again.finish("failed" if attempt == 3 else "finished")
        if attempt == 2:
            lab.store.seal()
    assert lab.engine.rows("SELECT status, attempt FROM runs") == [("failed", 3)]
    assert lab.engine.rows("SELECT value FROM tags") == [("3",)]
    assert lab.engine.rows("SELECT value FROM metrics") == [(3.0,)]


def test_upkeep_under_a_jumping_clock_loses_and_repeats_nothing(lab: Lab, clock: None) -> None:
    for number in range(10):
        with mllab.start_run("tests", f"r{number}", lab=lab, capture=False) as run:
            run.log({"loss": float(number)}, step=0)
            run.log_artifact(b"%d" % number, "a.bin")
        lab.store.seal()
        lab.store.compact(full=number % 4 == 3)
        lab.store.sweep()
        lab.store.sweep(grace_s=0.001)
        found = lab.engine.rows("SELECT value FROM r_points ORDER BY value")
        assert found == [(float(each),) for each in range(number + 1)]
        assert lab.engine.rows("SELECT count(*), count(DISTINCT run_id) FROM r_runs") == [(number + 1, number + 1)]


@pytest.mark.parametrize("jump", [-HOUR, YEARS])
def test_the_grace_of_sweeping_survives_small_jumps_and_errs_to_the_safe_side(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """A jump makes sweeping early. That costs a reader a second look; what it reads is the same."""
    with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        run.log({"loss": 1.0}, step=0)
    held = lab.store.snapshot()
    lab.store.seal()
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + jump)
    assert lab.store.sweep() > 0
    assert not os.path.exists(lab.store.layout.run_folder(run.id))
    assert held.tails[0].points[0].value.tolist() == [1.0]
    assert lab.engine.rows("SELECT value FROM metrics") == [(1.0,)]


def test_liveness_has_nothing_to_do_with_clocks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    run = mllab.start_run("tests", "r", lab=lab, capture=False)
    for jump in (-HOUR, YEARS, 0):
        monkeypatch.setattr(time, "time_ns", lambda jump=jump: now + jump)
        run.log({"loss": 1.0})
        lab.store.seal()
        assert lab.engine.rows("SELECT status FROM runs") == [("running",)]
    run.finish()
    assert lab.engine.rows("SELECT status FROM runs") == [("finished",)]
