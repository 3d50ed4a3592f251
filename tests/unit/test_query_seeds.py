"""Runs that differ in their seeds alone: which they are, what their numbers mean together, and their mean curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mllab
from mllab.errors import UsageError
from mllab.query.seeds import SeedGroup, fold_seeds, is_seed, mean_curve, mean_of, moments, summaries
from mllab.query.views import list_runs, run_rows

if TYPE_CHECKING:
    from mllab.lab import Lab

# scipy.stats.t.ppf(0.975, df)
T_975 = {1: 12.706204736174694, 2: 4.302652729749462, 3: 3.182446305283710, 4: 2.7764451051977934}
# scipy.stats.ttest_ind([10, 30, 20, 50, 11], [1, 2, 4], equal_var=False): t, df, p
WELCH = (2.937365781099674, 4.113020392902327, 0.041066612496435756)


def add(lab: Lab, name: str, params: dict[str, Any], values: Any = (), experiment: str = "digits") -> None:
    with mllab.start_run(experiment, name, lab=lab, capture=False, params=params) as run:
        if len(values):
            run.log_batch("loss", range(len(values)), list(values))


def refs_of(lab: Lab) -> list[int]:
    """Return all runs, oldest first."""
    rows = lab.engine.rows("SELECT ref FROM r_runs ORDER BY started, ref")
    return [int(ref) for (ref,) in rows]


def folded(lab: Lab) -> list[tuple[list[str], tuple[str | None, ...]]]:
    with lab.engine.steady():
        groups = fold_seeds(lab.engine, refs_of(lab))
        rows = run_rows(lab.engine, refs_of(lab))
    return [([rows[ref].name for ref in group.refs], group.seeds) for group in groups]


@pytest.fixture(params=["open", "sealed", "half sealed"])
def study(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """Two learning rates with three seeds each, logged in turn, and a run apart."""
    for seed in range(3):
        for rate in (0.1, 0.2):
            add(lab, f"lr{rate}-seed{seed}", {"lr": rate, "model": {"Random_State": seed}}, [9.0, rate * 10 + seed])
        if seed == 1 and request.param == "half sealed":
            lab.store.seal()
    add(lab, "other", {"lr": 0.1}, experiment="flights")
    if request.param == "sealed":
        lab.store.seal()
    return lab


def test_runs_equal_but_for_the_seed_are_one_group(study: Lab) -> None:
    assert folded(study) == [
        (["lr0.1-seed0", "lr0.1-seed1", "lr0.1-seed2"], ("0", "1", "2")),
        (["lr0.2-seed0", "lr0.2-seed1", "lr0.2-seed2"], ("0", "1", "2")),
        (["other"], (None,)),
    ]
    groups = fold_seeds(study.engine, refs_of(study))
    assert [group.name for group in groups] == ["lr0.1", "lr0.2", "other"]
    assert len({group.params_key for group in groups}) == 3


def test_groups_come_in_the_order_of_their_first_members(study: Lab) -> None:
    refs = refs_of(study)
    groups = fold_seeds(study.engine, [refs[3], refs[6], refs[0], refs[1], refs[3], 10**9])
    assert [group.refs for group in groups] == [(refs[3], refs[1]), (refs[6],), (refs[0],)]
    assert fold_seeds(study.engine, []) == ()
    assert fold_seeds(study.engine, [10**9]) == ()


def test_the_key_of_a_group_outlives_the_state_of_the_store(study: Lab) -> None:
    before = {group.name: group.params_key for group in fold_seeds(study.engine, refs_of(study))}
    add(study, "late", {"lr": 0.3, "unknown": "ключ", "seed": 1})
    study.store.seal()
    after = {group.name: group.params_key for group in fold_seeds(study.engine, refs_of(study))}
    assert {name: after[name] for name in before} == before


def test_what_makes_runs_differ(lab: Lab) -> None:
    values = [1, 1.0, True, "1", None, [1], 1 << 60, (1 << 60) + 1, math.nan, 0.0, -0.0, "int 1", "é", ""]
    for place, value in enumerate(values):
        add(lab, f"run {place}", {"ключ 'x'": value})
    add(lab, "without", {})
    add(lab, "in a folder", {"ключ": {" 'x'": 1}})
    alike = [names for names, _ in folded(lab) if len(names) > 1]
    assert alike == [["run 0", "run 1"], ["run 9", "run 10"]]
    assert sum(len(names) for names, _ in folded(lab)) == len(values) + 2


def test_several_seeds_are_named(lab: Lab) -> None:
    add(lab, "a", {"torch_seed": 1, "np_seed": "x"})
    add(lab, "b", {"torch_seed": 2})
    assert folded(lab) == [(["a", "b"], ("np_seed=x torch_seed=1", "2"))]


@pytest.mark.parametrize("key", ["seed", "SEED", "random_state", "model.rng", "a/b/Torch_Seed", "x.np_seed"])
def test_keys_of_seeds(key: str) -> None:
    assert is_seed(key)


@pytest.mark.parametrize("key", ["seeds.count", "seedling", "seed.count", "lr", "", "."])
def test_keys_that_are_no_seeds(key: str) -> None:
    assert not is_seed(key)


def test_groups_are_those_of_a_slow_comparison(lab: Lab) -> None:
    rng = np.random.default_rng(0)
    options: list[Any] = [0, 0.0, 1, True, "0", None]
    runs = []
    for number in range(60):
        params = {key: options[rng.integers(6)] for key in ("a", "b") if rng.random() < 0.8} | {"seed": number}
        add(lab, str(number), params)
        runs.append({(key, "number" if type(value) in (int, float) else type(value).__name__, value)
                     for key, value in params.items() if key != "seed"})  # fmt: skip
    slow: list[list[int]] = []
    for number, facts in enumerate(runs):
        twin = next((group for group in slow if runs[group[0]] == facts), None)
        if twin is None:
            slow.append([number])
        else:
            twin.append(number)
    refs = refs_of(lab)
    assert [list(group.refs) for group in fold_seeds(lab.engine, refs)] == [[refs[n] for n in g] for g in slow]
    assert any(len(group) > 1 for group in slow)


def test_many_runs_are_read_in_the_same_way(study: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    few = fold_seeds(study.engine, refs_of(study)[1:5])
    monkeypatch.setattr("mllab.query.param_columns.MANY_REFS", 2)
    assert fold_seeds(study.engine, refs_of(study)[1:5]) == few


def test_last_values_are_summed_up(study: Lab) -> None:
    with study.engine.steady():
        groups = fold_seeds(study.engine, refs_of(study))
        found = summaries(study.engine, groups, ["loss", "absent"], baseline=0)
    assert [(each.group, each.key, each.n) for each in found] == [
        (0, "loss", 3), (0, "absent", 0), (1, "loss", 3), (1, "absent", 0), (2, "loss", 0), (2, "absent", 0),
    ]  # fmt: skip
    first, second = found[0], found[2]
    assert (first.mean, first.std, first.min, first.max) == (2.0, 1.0, 1.0, 3.0)
    # scipy.stats.t.interval(0.95, 2, 2, 1 / sqrt(3)), scipy.stats.ttest_ind([2, 3, 4], [1, 2, 3], equal_var=False)
    assert first.half_width == pytest.approx(2.4841377117503557)
    assert (first.difference, first.t, first.p_value) == (None, None, None)
    assert second.difference == pytest.approx(1.0)
    assert second.t == pytest.approx(1.224744871391589)
    assert second.df == pytest.approx(4.0)
    assert second.p_value == pytest.approx(0.28786413472669053)
    assert (found[4].difference, found[4].p_value) == (None, None)


def test_unequal_spread_and_size(lab: Lab) -> None:
    for group, values in (("a", [1.0, 2.0, 4.0]), ("b", [10.0, 30.0, 20.0, 50.0, 11.0])):
        for seed, value in enumerate(values):
            add(lab, f"{group}{seed}", {"group": group, "seed": seed}, [value])
    groups = fold_seeds(lab.engine, refs_of(lab))
    found = summaries(lab.engine, groups, ["loss"], baseline=0)[1]
    assert found.t == pytest.approx(WELCH[0])
    assert found.df == pytest.approx(WELCH[1])
    assert found.p_value == pytest.approx(WELCH[2])


def test_runs_that_ended_on_nan_are_counted_apart(lab: Lab) -> None:
    for seed, value in enumerate([math.nan, math.inf, 1.0]):
        add(lab, f"seed {seed}", {"seed": seed}, [value])
    add(lab, "nan", {"lr": 1}, [math.nan])
    groups = fold_seeds(lab.engine, refs_of(lab))
    one, none = summaries(lab.engine, groups, ["loss"], baseline=1)
    assert (one.n, one.n_nan, one.mean, one.std, one.half_width) == (1, 2, 1.0, None, None)
    assert (none.n, none.n_nan, none.mean, none.min, one.difference) == (0, 1, None, None, None)


def test_what_has_no_spread_gets_no_p_value(lab: Lab) -> None:
    for rate in (1, 2):
        for seed in range(2):
            add(lab, f"{rate} {seed}", {"rate": rate, "seed": seed}, [0.1 * rate])
    add(lab, "single", {"rate": 3, "seed": 0}, [7.0])
    groups = fold_seeds(lab.engine, refs_of(lab))
    base, other, single = summaries(lab.engine, groups, ["loss"], baseline=0)
    assert (base.std, base.half_width) == (0.0, 0.0)
    assert other.difference == pytest.approx(0.1)
    assert (other.t, other.p_value) == (None, None)
    assert single.difference == pytest.approx(6.9)
    assert single.p_value is None


def test_huge_values_do_not_overflow(lab: Lab) -> None:
    for rate in (1, 2):
        for seed in range(3):
            add(lab, f"{rate} {seed}", {"rate": rate, "seed": seed}, [rate * (seed + 1) * 1e307])
    groups = fold_seeds(lab.engine, refs_of(lab))
    base, other = summaries(lab.engine, groups, ["loss"], baseline=0)
    assert base.mean == pytest.approx(2e307)
    assert base.std == pytest.approx(1e307)
    assert other.t == pytest.approx(1.5491933384829668)
    curve = mean_curve(lab.engine, groups[0], "loss")
    assert curve.mean == pytest.approx([2e307])
    assert base.half_width is not None
    assert curve.high == pytest.approx([2e307 + base.half_width])


def test_a_baseline_that_is_no_group(study: Lab) -> None:
    with pytest.raises(UsageError, match="no group 3"):
        summaries(study.engine, fold_seeds(study.engine, refs_of(study)), ["loss"], baseline=3)
    assert summaries(study.engine, (), ["loss"]) == ()


def test_a_mean_curve_over_different_steps(lab: Lab) -> None:
    for seed, (steps, values) in enumerate([([0, 10, 20], [0.0, 1.0, 2.0]), ([5, 15], [3.5, 4.5]), ([30], [8.0])]):
        with mllab.start_run("e", f"s{seed}", lab=lab, capture=False, params={"seed": seed}) as run:
            run.log_batch("loss", steps, values)
    [group] = fold_seeds(lab.engine, refs_of(lab))
    curve = mean_curve(lab.engine, group, "loss")
    assert curve.step.tolist() == [0, 5, 10, 15, 20, 30]
    assert curve.n.tolist() == [1, 2, 2, 2, 1, 1]
    assert curve.mean == pytest.approx([0, 2, 2.5, 3, 2, 8])
    assert np.isnan(curve.low).tolist() == [True, False, False, False, True, True]
    # Two values 3 apart: 1.5 * t(0.975, 1) either way.
    assert curve.high[1:4] - curve.mean[1:4] == pytest.approx(np.full(3, 1.5 * 12.706204736174694))
    assert curve.mean[1:4] - curve.low[1:4] == pytest.approx(np.full(3, 1.5 * 12.706204736174694))


def test_a_mean_curve_of_nothing(study: Lab) -> None:
    group = fold_seeds(study.engine, refs_of(study))[2]
    assert len(mean_curve(study.engine, group, "loss").step) == 0
    assert len(mean_curve(study.engine, SeedGroup((), "", (), ""), "loss").step) == 0


def test_a_mean_curve_leaves_out_what_is_no_number_and_takes_the_value_logged_last(lab: Lab) -> None:
    with mllab.start_run("e", "a", lab=lab, capture=False, params={"seed": 1}) as run:
        run.log_batch("loss", [0, 1, 2, 2, 4], [1.0, math.nan, 50.0, 3.0, math.inf])
    with mllab.start_run("e", "b", lab=lab, capture=False, params={"seed": 2}) as run:
        run.log_batch("loss", range(5), [1.0] * 5)
    [group] = fold_seeds(lab.engine, refs_of(lab))
    curve = mean_curve(lab.engine, group, "loss")
    assert curve.n.tolist() == [2, 1, 2, 1, 1]
    assert curve.mean.tolist() == [1.0, 1.0, 2.0, 1.0, 1.0]


def test_down_sampling_bounds_the_steps(lab: Lab) -> None:
    for seed in range(2):
        add(lab, f"s{seed}", {"seed": seed}, np.arange(1000.0) + seed)
    [group] = fold_seeds(lab.engine, refs_of(lab))
    curve = mean_curve(lab.engine, group, "loss", 50)
    assert 25 <= len(curve.step) <= 100
    assert curve.mean == pytest.approx(curve.step + 0.5)
    assert set(curve.n.tolist()) == {2}


def test_steps_further_apart_than_an_int64_tells() -> None:
    ends = np.array([-(1 << 63), 0, (1 << 63) - 1])
    curve = mean_of([(ends, np.array([0.0, 1.0, 2.0])), (ends[[0, 2]], np.array([0.0, 2.0]))])
    assert curve.mean == pytest.approx([0, 1, 2])
    assert curve.n.tolist() == [2, 2, 2]


@st.composite
def members(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        steps = sorted(draw(st.sets(st.integers(0, 12), max_size=6)))
        values = [draw(st.one_of(st.floats(-10, 10), st.just(math.nan))) for _ in steps]
        found.append((np.array(steps, np.int64), np.array(values)))
    return found


def interpolated(step: int, steps: list[int], values: list[float]) -> float:
    """Interpolate as one would by hand."""
    if step in steps:
        return values[steps.index(step)]
    before, after = [s for s in steps if s < step], [s for s in steps if s > step]
    if not before or not after:
        return math.nan
    low, high = before[-1], after[0]
    first, second = values[steps.index(low)], values[steps.index(high)]
    return first + (second - first) * (step - low) / (high - low)


@given(members())
def test_a_mean_curve_is_what_one_gets_by_hand(curves: list[tuple[Any, Any]]) -> None:
    found = mean_of(curves)
    assert found.step.tolist() == sorted({step for steps, _ in curves for step in steps.tolist()})
    for place, step in enumerate(found.step.tolist()):
        values = [interpolated(step, steps.tolist(), values.tolist()) for steps, values in curves if len(steps)]
        finite = [value for value in values if not math.isnan(value)]
        assert found.n[place] == len(finite)
        if not finite:
            assert math.isnan(found.mean[place])
            continue
        assert found.mean[place] == pytest.approx(np.mean(finite), abs=1e-9)
        if len(finite) < 2:
            assert math.isnan(found.low[place])
            continue
        half = T_975[len(finite) - 1] * np.std(finite, ddof=1) / math.sqrt(len(finite))
        assert found.high[place] == pytest.approx(np.mean(finite) + half, abs=1e-6)
        assert found.low[place] == pytest.approx(np.mean(finite) - half, abs=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_moments_are_those_of_numpy(values: list[float]) -> None:
    mean, std = moments(np.array(values))
    assert mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert std == pytest.approx(np.std(values, ddof=1) if len(values) > 1 else 0.0, rel=1e-6, abs=1e-9)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 9))
def test_equal_values_have_themselves_as_mean_and_no_spread(value: float, count: int) -> None:
    assert moments(np.full(count, value)) == (value, 0.0)


def test_a_list_of_runs_gives_the_refs_to_fold(study: Lab) -> None:
    with study.engine.steady():
        names = [row.run_id for row in list_runs(study.engine).rows]
        ids = dict(study.engine.rows("SELECT run_id, ref FROM r_runs"))
        groups = fold_seeds(study.engine, [ids[name] for name in names])
    assert sorted(len(group.refs) for group in groups) == [1, 3, 3]
