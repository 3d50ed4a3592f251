"""Functions of a curve in the filter grammar: what parses, what is refused, and where they can stand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import mllab
from mllab.errors import FilterError
from mllab.ids import new_id
from mllab.query.engine import Engine
from mllab.query.filter_complete import complete
from mllab.query.filter_parser import parse
from mllab.query.select import EngineKeys, select
from mllab.query.views import list_runs
from mllab.store.store import Store


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("EMA(loss) < 1", "ema(loss) < 1"),
        ("ema(loss, 0.90) < 1", "ema(loss, 0.9) < 1"),
        ("slope(metrics.`a b`) > 0", "slope(metrics.`a b`) > 0"),
        ("time_to(loss < .1) < 10m", "time_to(loss < 0.1) < 10m"),
        ("order by step_to(acc >= 1e-3) desc", "order by step_to(acc >= 0.001) desc"),
        ("min(loss) LAST 1_00 < 1", "min(loss) last 100 < 1"),
        ("loss > max(loss) last 5", "loss > max(loss) last 5"),
    ],
)
def test_they_parse_and_print(text, printed):
    assert str(parse(text)) == printed
    assert parse(printed) == parse(text)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("ema(loss, 1) < 1", "The weight of ema is from 0 to below 1.", 10),
        ("ema(loss, x) < 1", "x is not a number.", 10),
        ("ema(params.lr) < 1", "ema takes a metric, not a param.", 4),
        ("slope(loss, 3) < 1", "Found , where ) was expected.", 10),
        ("time_to(loss) < 1", "Found ) where <, <=, > or >= was expected.", 12),
        ("time_to(loss = 1) < 1", "Found 1 where <, <=, > or >= was expected.", 15),
        ("step_to(loss < nan) < 1", "NaN is no bound.", 15),
        ("ema(loss) after 10 < 1", "ema does not take a range of steps.", 4),
        ("loss last 10 < 1", "`last` does not go with loss.", 5),
        ("min(loss) last 0 < 1", "0 is out of range.", 15),
        ("emma(loss) < 1", "There is no function emma.", 0),
    ],
)
def test_what_is_wrong_with_them_is_said(text, message, column):
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.column) == (message, column)


START_US = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Return an engine of a sealed run and an open one, whose losses fall by 1 in 2 s, from 4 and from 9."""
    store = Store.create(str(tmp_path_factory.mktemp("lab") / "store"))
    for first, is_sealed in ((4, True), (9, False)):
        writer = store.writer(new_id())
        writer.event("start", {"experiment": "e", "name": f"from {first}", "t": START_US + first})
        times = [START_US + first + 2_000_000 * step for step in range(5)]
        writer.batch("loss", range(5), [float(first - step) for step in range(5)], times)
        writer.event("finish", {"status": "finished"})
        writer.close()
        if is_sealed:
            store.seal()
    return Engine(store)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("time_to(loss < 3) = 4", ["from 4"]),
        ("time_to(loss <= 9) = 0", ["from 9", "from 4"]),
        ("time_to(loss < 6) = 8s", ["from 9"]),
        ("time_to(loss < 3) is null", ["from 9"]),
        ("has step_to(loss < 3)", ["from 4"]),
        ("order by step_to(loss < 8)", ["from 4", "from 9"]),
        ("order by time_to(loss < 3)", ["from 4", "from 9"]),
        ("slope(loss) = -1 and ema(loss) > 2", ["from 9"]),
        ("max(loss) last 2 = 1", ["from 4"]),
        ("name = 'from 4' and ema(loss, 0) = 0", ["from 4"]),
        ("ema(loss, 0) = last(loss)", ["from 9", "from 4"]),
    ],
)
def test_they_filter_and_sort(engine, text, found):
    assert [row.name for row in list_runs(engine, text).rows] == found
    assert len(select(engine, text).refs) == len(found)


def test_they_are_columns(engine):
    columns = ["slope(loss)", "time_to(loss < 3)", "min(loss) last 2"]
    assert list_runs(engine, "order by name", columns=columns).cells == ((-1.0, 4.0, 0.0), (-1.0, None, 5.0))


def test_what_a_filter_mentions_is_a_column(engine):
    page = list_runs(engine, "step_to(loss < 8) >= 0 order by name")
    assert [str(term) for term in page.columns if term.is_derived] == ["step_to(metrics.loss < 8.0)"]


def test_they_are_completed(engine):
    found = [option.text for option in complete("ste", 3, EngineKeys(engine)) if option.kind == "function"]
    assert "step_to(" in found


@pytest.mark.parametrize("sealed_attempts", [0, 1, 2])
def test_the_last_steps_are_those_of_the_newest_attempt(tmp_path, sealed_attempts):
    """The first attempt came to step 1000 and to 0; the second began anew at 500 and came to 700 and to 4."""
    store = Store.create(str(tmp_path / "store"))
    run_id = new_id()
    for attempt, steps, value in ((1, range(1001), lambda step: 10 - step / 100), (2, range(500, 701), lambda _: 4.0)):
        writer = store.writer(run_id, attempt=attempt)
        writer.event(*(("start", {"experiment": "e", "name": "resumed"}) if attempt == 1 else ("resume", {})))
        writer.batch("loss", steps, [value(step) for step in steps])
        writer.event("finish", {"status": "finished"})
        writer.close()
        if attempt <= sealed_attempts:
            store.seal()
    engine = Engine(store)
    columns = ["step(loss)", "min(loss) last 100", "count(loss) last 100", "max(loss) last 202"]
    assert list_runs(engine, "", columns=columns).cells == ((700, 4.0, 100, 5.01),)
    for _ in range(2):  # from Parquet, then from memory
        assert len(select(engine, "min(loss) last 100 = 4 and count(loss) last 1 = 1 and max(loss) last 202 > 5").refs)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_fork_held_at_its_start_what_it_copied(lab, is_sealed):
    with mllab.start_run("e", "base", lab=lab, capture=False) as base:
        base.log_batch("loss", range(5), [4.0, 3.0, 2.0, 1.0, 0.0], [1_700_000_000_000_000 + step for step in range(5)])
    with mllab.start_run("e", "fork", fork=base, fork_step=2, lab=lab, capture=False) as fork:
        fork.log({"loss": 0.5}, step=3)
    if is_sealed:
        lab.store.seal()
    for _ in range(2):  # from Parquet, then from memory
        assert [row.name for row in list_runs(lab.engine, "time_to(loss < 3.5) = 0 and name = fork").rows] == ["fork"]
        assert len(select(lab.engine, "time_to(loss < 1) > 0 and name = fork").refs) == 1
    columns = ["time_to(loss < 3.5)", "step_to(loss < 3.5)"]
    assert list_runs(lab.engine, "name = fork", columns=columns).cells == ((0.0, 1),)


LARGEST = 1.7976931348623157e308


@pytest.mark.parametrize("weight", ["0", "0.6", "0.95", "0.9999999999999999"])
@pytest.mark.parametrize(
    "values", [[LARGEST] * 10, [-1e308] * 100, [5e-324] * 3, [0.1] * 50, [LARGEST, -LARGEST, math.nan, 1e308]]
)
def test_an_average_lies_between_its_values(tmp_path, weight, values):
    store = Store.create(str(tmp_path / "store"))
    writer = store.writer(new_id())
    writer.event("start", {"experiment": "e", "name": "r"})
    writer.batch("loss", range(len(values)), values)
    writer.close()
    ((found,),) = list_runs(Engine(store), "", columns=[f"ema(loss, {weight})"]).cells[0:1]
    w, numbers = Fraction(weight), [Fraction(value) for value in reversed(values) if not math.isnan(value)]
    exact = sum(w**n * number for n, number in enumerate(numbers)) / sum(w**n for n in range(len(numbers)))
    assert found == pytest.approx(float(exact), rel=1e-12, abs=0)
