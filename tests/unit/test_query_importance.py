"""Which params a metric goes along with: effects, their p values, and what is left out and why."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mllab
from mllab.errors import UsageError
from mllab.query.importance import (
    ParamEffect,
    correlation,
    correlation_ratio,
    holm,
    less_bias,
    mean_ranks,
    spearman_p_value,
    what_mattered,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.lab import Lab

# scipy.stats.spearmanr and scipy.stats.f_oneway of the numbers below: statistic and p value.
SPEARMAN = (0.9030468880657606, 0.002115916119142503)
ONE_WAY = (13.574850299401191, 0.005929456949622424)


def study(
    lab: Lab, runs: Sequence[tuple[dict[str, Any], float | None]], metric: str = "loss"
) -> dict[str, ParamEffect]:
    """Log runs, each its params and its last value of a metric; return the rows by their first key."""
    for params, value in runs:
        with mllab.start_run("study", lab=lab, capture=False, params=params) as run:
            if value is not None:
                run.log({metric: 7.0}, step=0)
                run.log({metric: value}, step=1)
    return {row.keys[0]: row for row in mattered(lab, metric)}


def mattered(lab: Lab, metric: str = "loss", **options: Any) -> tuple[ParamEffect, ...]:
    with lab.engine.steady():
        refs = [int(ref) for (ref,) in lab.engine.rows("SELECT ref FROM r_runs ORDER BY ref")]
        return what_mattered(lab.engine, refs, metric, **options)


@pytest.fixture(params=["open", "sealed"])
def grid(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """24 runs: the learning rate matters most, the optimizer a little, the width not at all."""
    noise = np.random.default_rng(3).normal(0, 0.01, 24).tolist()
    runs = []
    for place, (rate, optimizer, width) in enumerate(
        itertools.product([0.1, 0.2, 0.3, 0.4], ["adam", "sgd"], [8, 16, 32])
    ):
        loss = rate + 0.05 * (optimizer == "sgd") + noise[place]
        runs.append(({"lr": rate, "optimizer": optimizer, "width": width, "epochs": 3}, loss))
    study(lab, runs)
    if request.param == "sealed":
        lab.store.seal()
    return lab


def test_params_are_ranked_by_what_they_explain(grid: Lab) -> None:
    rows = mattered(grid)
    assert [row.keys for row in rows] == [("lr",), ("optimizer",), ("width",), ("epochs",)]
    rate, optimizer, width, epochs = rows
    assert (rate.method, rate.direction, rate.n, rate.levels, rate.skipped) == ("spearman", "rises", 24, 4, None)
    assert rate.effect is not None
    assert rate.effect > 0.9
    assert rate.p_holm is not None
    assert rate.p_holm < 1e-6
    assert rate.best is not None
    assert (rate.best.text, rate.best.n, round(rate.best.mean, 1)) == ("0.1", 6, 0.1)
    assert (optimizer.method, optimizer.direction, optimizer.levels) == ("eta squared", None, 2)
    assert (width.best, width.method) == (None, "spearman")
    assert epochs == ParamEffect(("epochs",), 24, 1, skipped="it has one value only")


def test_the_goal_says_what_is_best(grid: Lab) -> None:
    best = mattered(grid, goal="max")[0].best
    assert best is not None
    assert best.text == "0.4"
    first = mattered(grid, aggregate="min")[0]
    assert first.best is not None
    assert first.best.text == "0.1"


def test_other_numbers_than_the_last(grid: Lab) -> None:
    # The first value of every run is 7, the greatest.
    assert {row.skipped for row in mattered(grid, aggregate="max")} == {
        "the metric has one value only", "it has one value only",
    }  # fmt: skip
    assert mattered(grid, aggregate="mean")[0].keys == ("lr",)
    with pytest.raises(UsageError, match="median"):
        mattered(grid, aggregate="median")


def test_a_metric_without_a_goal_has_no_best(lab: Lab) -> None:
    rows = study(lab, [({"a": i}, float(i)) for i in range(20)], "grad_norm")
    assert (rows["a"].best, rows["a"].direction) == (None, "rises")


def test_the_best_range(lab: Lab) -> None:
    rows = study(lab, [({"lr": i / 8}, -float(i)) for i in range(40)])
    best = rows["lr"].best
    assert best is not None
    assert (best.text, best.n, best.mean) == ("3.75 to 4.875", 10, -34.5)
    assert rows["lr"].direction == "falls"
    assert rows["lr"].effect == -1.0


def test_params_that_divide_the_runs_alike_share_a_row(lab: Lab) -> None:
    runs = []
    for i in range(12):
        size = i % 3
        runs.append(({
            "b_name": ["small", "medium", "large"][size], "c_width": [8, 16, 32][size], "d_depth": [2, 4, 9][size],
            "other": i % 2, "seed": i, "seed_again": 2 * i + 5, "seed_back": -i, "shuffled": (i * 5) % 12,
        }, size + i / 100))  # fmt: skip
    rows = study(lab, runs)
    assert {row.keys for row in rows.values()} == {
        ("b_name", "c_width", "d_depth"), ("other",), ("seed", "seed_again", "seed_back"), ("shuffled",),
    }  # fmt: skip
    # Of a name and a number that mean the same, the number says more.
    assert (rows["b_name"].method, rows["b_name"].direction) == ("spearman", "rises")
    assert rows["b_name"].best is not None
    assert rows["b_name"].best.text == "8"


def test_the_same_values_in_other_runs_do_not_share_a_row(lab: Lab) -> None:
    runs: list[tuple[dict[str, Any], float | None]] = [({"a": i % 3, "b": i % 3}, float(i)) for i in range(9)]
    rows = study(lab, [*runs, ({"a": 1}, 4.0)])
    assert {row.keys for row in rows.values()} == {("a",), ("b",)}


def test_what_is_skipped_and_why(lab: Lab) -> None:
    rows = study(lab, [
        ({"id": "a", "rare": 1, "rarer": 1, "constant": 0, "lost": 1, "mixed": 1, "nan": 1.5, "sort": "x"}, 1.0),
        ({"id": "b", "rare": 2, "constant": 0, "mixed": "1", "nan": math.nan, "sort": "x"}, 2.0),
        ({"id": "c", "constant": 0, "mixed": None, "nan": math.nan, "sort": "y"}, 3.0),
        ({"id": "d", "constant": 0, "lost": 2, "mixed": True, "nan": 1.5, "sort": "y"}, math.inf),
        ({"id": "e", "constant": 1, "lost": 3, "only here": 1, "sort": "z"}, math.nan),
        ({"id": "f", "constant": 1, "lost": 3}, None),
    ])  # fmt: skip
    assert {key: (row.n, row.skipped) for key, row in rows.items() if row.skipped} == {
        "constant": (3, "it has one value only"),
        "id": (3, "it has another value in each run"),
        "lost": (1, "it has one value only"),
        "mixed": (3, "it has another value in each run"),
        "only here": (0, "no run has both it and a finite value of the metric"),
        "rare": (2, "fewer than 3 runs have it"),
        "rarer": (1, "it has one value only"),
    }
    assert (rows["sort"].n, rows["sort"].levels) == (3, 2)
    assert (rows["nan"].method, rows["nan"].levels) == ("eta squared", 2)


def test_numbers_of_any_size_are_ordered(lab: Lab) -> None:
    values = [-math.inf, -(10**18), -5, 0.0, 1e-300, 3, (1 << 53) + 1, 1e300, math.inf]
    rows = study(lab, [({"ключ": value}, float(place)) for place, value in enumerate(values)])
    assert (rows["ключ"].method, rows["ключ"].effect, rows["ключ"].levels) == ("spearman", 1.0, 9)


def test_huge_values_of_the_metric(lab: Lab) -> None:
    runs: list[tuple[dict[str, Any], float | None]] = [
        ({"kind": "ab"[i % 2], "x": i}, (1 if i % 2 else -1) * 1.7e308) for i in range(8)
    ]
    rows = study(lab, runs)
    assert rows["kind"].effect == pytest.approx(1.0)
    assert rows["kind"].best is not None
    assert rows["kind"].best.text == "a"
    assert rows["kind"].best.mean == pytest.approx(-1.7e308)
    assert rows["x"].effect is not None


def test_nothing_to_rank(lab: Lab) -> None:
    assert mattered(lab) == ()
    rows = study(lab, [({"a": 1}, 1.0)])
    assert rows["a"].skipped == "it has one value only"
    assert [row.skipped for row in mattered(lab, "no 'such' metric")] == [
        "no run has both it and a finite value of the metric"
    ]
    assert what_mattered(lab.engine, [10**9], "loss") == ()


def test_some_runs_of_many(grid: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with grid.engine.steady():
        refs = [int(ref) for (ref,) in grid.engine.rows("SELECT ref FROM r_runs ORDER BY ref")][3:20:2]
        few = what_mattered(grid.engine, [*refs, refs[0]], "loss")
        monkeypatch.setattr("mllab.query.param_columns.MANY_REFS", 2)
        assert what_mattered(grid.engine, refs, "loss") == few
    assert few[0].n == len(refs)


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1 loads pandas, where it is, with the first parameter")
def test_pandas_stays_out(grid: Lab) -> None:
    code = f"""
import sys
from mllab.lab import Lab
from mllab.query.importance import what_mattered
rows = what_mattered(Lab({grid.root!r}).engine, range(1, 100), "loss")
print(any(row.method == "eta squared" for row in rows), "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_against_scipy() -> None:
    rho = correlation(
        mean_ranks(np.array([1.0, 2, 2, 3, 5, 4, 7, 8])), mean_ranks(np.array([3.0, 1, 4, 4, 6, 5, 5, 9]))
    )
    assert rho == pytest.approx(SPEARMAN[0])
    assert spearman_p_value(rho, 8) == pytest.approx(SPEARMAN[1])
    codes = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2])
    eta, p_value = correlation_ratio(codes, 3, np.array([1.0, 2, 4, 5, 6, 9, 7, 0, 1]))
    assert eta / 2 / (1 - eta) * 6 == pytest.approx(ONE_WAY[0])
    assert p_value == pytest.approx(ONE_WAY[1])


def test_few_runs_promise_little() -> None:
    # Of the six orders of three runs two are as extreme.
    assert spearman_p_value(1.0, 3) == pytest.approx(1 / 3)
    assert spearman_p_value(-1.0, 10) == pytest.approx(2 / math.factorial(10))


@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.floats(-9, 9)), min_size=1, max_size=20))
def test_ranks_are_those_counted_by_hand(values: list[float]) -> None:
    slow = [sum(v < each for v in values) + (sum(v == each for v in values) + 1) / 2 for each in values]
    assert mean_ranks(np.array(values)).tolist() == slow


@given(st.data())
def test_eta_squared_is_what_the_sums_say(data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=6), min_size=2, max_size=5))
    values = np.array([float(value) for group in groups for value in group])
    codes = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    if len(values) == len(groups) or np.ptp(values) == 0:
        return
    between = sum(len(group) * (np.mean(group) - values.mean()) ** 2 for group in groups)
    eta, p_value = correlation_ratio(codes, len(groups), values)
    assert eta == pytest.approx(between / ((values - values.mean()) ** 2).sum(), abs=1e-9)
    assert 0 <= p_value <= 1
    assert 0 <= less_bias(eta, len(values), len(groups)) <= eta + 1e-12


@given(st.lists(st.floats(0, 1), max_size=10))
def test_holm_is_what_its_definition_says(p_values: list[float]) -> None:
    ordered = sorted(p_values)
    for p, corrected in zip(p_values, holm(p_values), strict=True):
        least = [(len(ordered) - place) * each for place, each in enumerate(ordered) if each <= p]
        # Of equal p values the first counts most, and it comes first.
        assert corrected == pytest.approx(min(1.0, max(least)))
