"""The stores that benchmarks read are real ones: they verify, and their points add up to their summaries."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mllab
from mllab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.lab import Lab

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the package `benchmarks`, which is beside `src` and not installed."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A small store with runs that were resumed, diverged, and edited after sealing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        from benchmarks.generate import generate
        from benchmarks.synthetic.plan import Shape

        yield generate(
            str(tmp_path_factory.mktemp("made")), Shape(runs=300, params=9, metrics=8, points=30_000, seed=3)
        )


def test_it_verifies(made: Lab) -> None:
    report = made.store.verify()
    assert report.is_intact, report.problems
    assert report.checked["runs"] == 300


def test_it_has_the_shape_that_was_asked_for(made: Lab) -> None:
    ((runs, ids, refs),) = made.engine.rows("SELECT count(*), count(DISTINCT run_id), max(ref) FROM r_runs")
    assert (runs, ids, refs) == (300, 300, 300)
    ((points,),) = made.engine.rows("SELECT count(*) FROM r_points")
    assert points == pytest.approx(30_000, abs=8)
    assert made.engine.rows("SELECT count(*), count(DISTINCT key) FROM r_params") == [(2700, 9)]
    assert made.engine.rows("SELECT count(*), count(DISTINCT key) FROM r_summaries") == [(2400, 8)]


def test_run_ids_are_ours_and_in_order_of_start(made: Lab) -> None:
    from mllab.ids import is_run_id

    ids = [run_id for (run_id,) in made.engine.rows("SELECT run_id FROM r_runs ORDER BY started")]
    assert all(map(is_run_id, ids))
    assert ids == sorted(ids)


def test_points_add_up_to_the_summaries(made: Lab) -> None:
    counted = made.engine.rows(
        """SELECT ref, key, arg_max(value, (attempt, step, seq)), arg_max(step, (attempt, step, seq)), max(attempt),
            min(value) FILTER (NOT isnan(value)), max(value) FILTER (NOT isnan(value)),
            sum(value) FILTER (NOT isnan(value)), count(*), count(*) FILTER (isnan(value)), min(step),
            epoch_us(arg_max(time, (attempt, step, seq)))
        FROM r_points GROUP BY ref, key ORDER BY ref, key"""
    )
    told = made.engine.rows(
        """SELECT ref, key, last, last_step, attempt, min, max, sum, count, nans, first_step, epoch_us(last_time)
        FROM r_summaries ORDER BY ref, key"""
    )
    for ours, theirs in zip(counted, told, strict=True):
        assert ours[:2] == theirs[:2]
        assert list(ours[2:]) == pytest.approx(list(theirs[2:]), rel=1e-9, nan_ok=True)


def test_extremes_are_where_the_summaries_say(made: Lab) -> None:
    wrong = made.engine.rows(
        """SELECT s.ref, s.key FROM r_summaries s
        WHERE NOT EXISTS (FROM r_points p WHERE p.ref = s.ref AND p.key = s.key AND p.step = s.min_step AND p.value = s.min)
        OR NOT EXISTS (FROM r_points p WHERE p.ref = s.ref AND p.key = s.key AND p.step = s.max_step AND p.value = s.max)"""
    )
    assert wrong == []


def test_it_holds_what_is_hard_to_read(made: Lab) -> None:
    ((resumed, edited, lost, diverged),) = made.engine.rows(
        """SELECT (SELECT count(*) FROM r_runs WHERE attempt = 2), (SELECT count(*) FROM r_runs WHERE archived),
            (SELECT count(*) FROM r_runs WHERE ended IS NULL), (SELECT count(*) FROM r_summaries WHERE nans > 0)"""
    )
    assert min(resumed, edited, lost, diverged) > 0
    assert len(made.store.snapshot().manifest.folds) > 2
    # An edited run is there once, with its newer row.
    assert made.engine.rows("SELECT count(*) FROM r_tags WHERE key = 'reviewed'") == [(edited,)]


def test_nan_is_found_in_sealed_runs(made: Lab) -> None:
    ((expected,),) = made.engine.rows("SELECT count(*) FROM r_summaries WHERE key = 'train.loss' AND nans > 0")
    assert expected > 0
    assert mllab.runs("train.loss = nan", include_archived=True, columns=["run_id"], lab=made).height == expected
    ((points,),) = made.engine.rows("SELECT count(*) FROM r_points WHERE key = 'train.loss' AND isnan(value)")
    assert made.engine.rows("SELECT sum(nans) FROM r_summaries WHERE key = 'train.loss'") == [(points,)]


def test_the_reading_api_reads_it(made: Lab) -> None:
    frame = mllab.runs("val.loss < 5 and lr > 0 order by val.loss", limit=5, lab=made)
    assert frame.height == 5
    longest = mllab.runs("order by count(train.loss) desc", columns=["run_id"], limit=1, lab=made)
    curve = mllab.metrics(longest, "train.loss", max_points=50, lab=made)
    assert 0 < curve.height <= 50


def test_the_same_seed_makes_the_same_store(made: Lab, tmp_path: Path) -> None:
    from benchmarks.generate import generate
    from benchmarks.synthetic.plan import Shape

    again = generate(str(tmp_path / "again"), Shape(runs=300, params=9, metrics=8, points=30_000, seed=3))
    names = [{part.name for part in lab.store.snapshot().manifest.all_parts()} for lab in (made, again)]
    assert names[0] == names[1]


def test_points_are_cut_into_parts_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import generate
    from benchmarks.synthetic.plan import Shape

    monkeypatch.setattr(generate, "PART_ROWS", 2_000)
    monkeypatch.setattr(generate, "BLOCK_ROWS", 500)
    lab = generate.generate(str(tmp_path / "cut"), Shape(runs=50, params=2, metrics=3, points=9_000))
    parts = lab.store.snapshot().manifest.points
    assert len(parts) >= 4
    assert all(before.last_ref < after.first_ref for before, after in pairwise(parts))
    assert lab.store.verify().is_intact


def test_a_lab_with_runs_is_left_alone(made: Lab) -> None:
    from benchmarks.generate import generate
    from benchmarks.synthetic.plan import Shape

    before = made.store.snapshot().version
    with pytest.raises(UsageError, match="has runs already"):
        generate(made.root, Shape(runs=1, params=1, metrics=1, points=1))
    assert made.store.snapshot().version == before


def test_a_row_is_judged_by_its_floor_and_aim() -> None:
    from benchmarks.report import Row, as_json, measured, missing, shown

    slow, fast = Row("c", "w", "mllab", "s", 0.2, floor=0.1), Row("c", "w", "mllab", "s", 0.05, floor=0.1, aim=0.06)
    assert (slow.verdict(), fast.verdict()) == ("MISS", "aim")
    rates = measured("c", "w", "mllab", "points/s", [1e6, 2e6, 3e6], floor=1.5e6, aim=2.5e6)
    assert (rates.median, rates.best, rates.verdict()) == (2e6, 3e6, "pass")
    absent = missing("c", "w", "peer", "not installed")
    assert absent.verdict() == ""
    listed = json.loads(as_json({"cores": 2}, [slow, absent]))["rows"]
    assert [row["verdict"] for row in listed] == ["MISS", ""]
    assert listed[1]["median"] is None
    assert (shown(2.5e-6, "s"), shown(5.4e6, "points/s"), shown(3.5, "B")) == ("2.50 µs", "5.40 M/s", "3.50 B")


def test_the_command_makes_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.__main__ import main

    argv = ["store", "--runs", "20", "--points", "500", "--params", "2", "--metrics", "3", str(tmp_path / "made")]
    assert main(argv) == 0
    assert "20 of 20 runs" in capsys.readouterr().err
