from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import mllab
from mllab.errors import AmbiguousError, FilterError, NotFoundError, UsageError
from mllab.lab import Lab


@pytest.fixture
def filled(lab: Lab) -> Lab:
    """Three runs: one sealed, one open, one failed and archived."""
    for number, name in enumerate(["alpha", "beta", "gamma"]):
        run = mllab.start_run(
            "digits", name, lab=lab, capture=False, params={"lr": 0.1 * number, "opt": "adam"}, tags={"n": number}
        )
        values = np.arange(1000) / 1000.0 + number
        values[500] = math.nan if number == 1 else 50.0
        run.log_batch("curve", range(1000), values)
        for step in range(3):
            run.log({"loss": 1.0 / (step + 1) + number}, step=step)
        run.finish("failed" if number == 2 else "finished")
        if number == 0:
            lab.store.seal()
        if number == 2:
            lab.store.edit(run.id, 1, [("archive", {"value": True})])
    return lab


def test_runs_are_wide_typed_and_ordered(filled: Lab) -> None:
    frame = mllab.runs("order by loss desc", include_archived=True, lab=filled)
    assert frame["name"].to_list() == ["gamma", "beta", "alpha"]
    assert frame.schema["params.lr"] == pl.Float64
    assert frame.schema["params.opt"] == pl.String
    assert frame.schema["started"] == pl.Datetime("us", "UTC")
    assert frame["metrics.loss"].to_list() == pytest.approx([2 + 1 / 3, 1 + 1 / 3, 1 / 3])
    assert frame["tags.n"].to_list() == ["2", "1", "0"]


def test_archived_and_deleted_runs_stay_out_unless_asked_for(filled: Lab) -> None:
    assert sorted(mllab.runs(lab=filled)["name"]) == ["alpha", "beta"]
    assert mllab.runs("archived = true", lab=filled)["name"].to_list() == ["gamma"]
    _, run_id = filled.engine.find("alpha")
    filled.store.edit(run_id, 1, [("delete", {"value": True})])
    assert mllab.runs(lab=filled)["name"].to_list() == ["beta"]
    assert run_id not in mllab.metrics(lab=filled)["run_id"].to_list()
    filled.store.seal()
    assert mllab.runs(lab=filled)["name"].to_list() == ["beta"]
    filled.store.edit(run_id, 1, [("delete", {"value": False})])
    assert sorted(mllab.runs(lab=filled)["name"]) == ["alpha", "beta"]


def test_columns_can_be_chosen_in_order(filled: Lab) -> None:
    frame = mllab.runs("order by name", columns=["metrics.loss", "name", "params.lr", "params.none"], lab=filled)
    assert frame.columns == ["metrics.loss", "name", "params.lr", "params.none"]
    assert frame["params.none"].to_list() == [None, None]
    with pytest.raises(UsageError, match="experimant"):
        mllab.runs(columns=["experimant"], lab=filled)


def test_a_run_without_a_key_has_null_not_zero(filled: Lab) -> None:
    with mllab.start_run("digits", "delta", lab=filled, capture=False, params={"extra": 1, "flag": True}):
        pass
    frame = mllab.runs("order by name", lab=filled)
    assert frame["params.extra"].to_list() == [None, None, 1]
    assert frame["params.flag"].to_list() == [None, None, True]
    assert frame["metrics.loss"].to_list()[2] is None


def test_wrong_filters_point_at_the_column(filled: Lab) -> None:
    with pytest.raises(FilterError) as caught:
        mllab.runs("status = finished and loss <", lab=filled)
    assert "^" in str(caught.value)
    with pytest.raises(FilterError, match="los"):
        mllab.runs("los < 1", lab=filled)


def test_an_empty_lab_answers(lab: Lab) -> None:
    assert mllab.runs(lab=lab).height == 0
    assert mllab.metrics(lab=lab).columns == ["run_id", "key", "step", "time", "value"]
    assert mllab.metrics(lab=lab, max_points=10).height == 0
    assert mllab.sql("SELECT count(*) AS n FROM runs", lab=lab)["n"].to_list() == [0]


def test_metrics_by_run_name_frame_and_filter(filled: Lab) -> None:
    by_name = mllab.metrics(["alpha"], "loss", lab=filled)
    assert by_name["value"].to_list() == [1.0, 0.5, 1 / 3]
    assert by_name.equals(mllab.metrics(mllab.runs("name = alpha", lab=filled), ["loss"], lab=filled))
    assert by_name.equals(mllab.metrics("name = alpha", ["loss"], lab=filled))
    both = mllab.metrics(["beta", "alpha"], lab=filled)
    assert both.height == 2 * 1003
    assert both["run_id"][0] == filled.engine.find("beta")[1]
    assert mllab.metrics(["alpha"], "no such key", lab=filled).height == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_down_sampling_keeps_the_spike_and_the_nan(filled: Lab, *, sealed: bool) -> None:
    if sealed:
        filled.store.seal()
    frame = mllab.metrics(["alpha", "beta"], "curve", max_points=20, lab=filled)
    alpha = frame.filter(pl.col("run_id") == filled.engine.find("alpha")[1])
    beta = frame.filter(pl.col("run_id") == filled.engine.find("beta")[1])
    assert alpha.height <= 20
    assert 50.0 in alpha["value"].to_list()
    assert beta["value"].is_nan().sum() == 1
    assert alpha["step"].is_sorted()
    with pytest.raises(UsageError):
        mllab.metrics(max_points=1, lab=filled)


def test_a_window_of_steps_can_be_read(filled: Lab) -> None:
    frame = mllab.metrics(["alpha"], "curve", steps=(10, 12), lab=filled)
    assert frame["step"].to_list() == [10, 11, 12]


def test_runs_are_found_by_id_piece_and_name(filled: Lab) -> None:
    engine = filled.engine
    _, run_id = engine.find("alpha")
    assert engine.resolve(run_id) == engine.resolve(run_id[-8:]) == engine.resolve(run_id.upper()) == run_id
    with pytest.raises(AmbiguousError):
        engine.resolve(run_id[:4])
    with pytest.raises(NotFoundError):
        engine.resolve("nothing")
    with pytest.raises(NotFoundError):
        engine.resolve("")


def test_sql_gives_a_frame(filled: Lab) -> None:
    frame = mllab.sql("SELECT name, started FROM runs WHERE name = $name", params={"name": "alpha"}, lab=filled)
    assert frame["name"].to_list() == ["alpha"]
    assert frame.schema["started"] == pl.Datetime("us", "UTC")


def test_many_keys_and_odd_names(lab: Lab) -> None:
    keys = [f"layer{number}/grad" for number in range(300)] + ["it's", 'say "x"', "a;b", "läß", "new\nline"]
    with mllab.start_run("digits", "odd", lab=lab, capture=False) as run:
        run.log({key: float(number) for number, key in enumerate(keys)}, step=1)
    for _ in range(2):
        frame = mllab.metrics(lab=lab)
        assert dict(zip(frame["key"], frame["value"], strict=True)) == {key: float(n) for n, key in enumerate(keys)}
        lab.store.seal()


def test_the_lab_is_found_like_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = Lab.init(str(tmp_path / "outer"))
    other = Lab.init(str(tmp_path / "other"))
    deep = tmp_path / "outer" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert Lab.find().root == outer.root
    monkeypatch.setenv("MLLAB_LAB", other.root)
    assert (Lab.find().root, Lab.find().origin) == (other.root, "MLLAB_LAB")
    assert Lab.find(outer.root).root == outer.root
    monkeypatch.delenv("MLLAB_LAB")
    monkeypatch.chdir(tmp_path)
    assert Lab.find().origin == "user default"
    with pytest.raises(NotFoundError, match="mllab init"):
        Lab.find(str(tmp_path))


def test_a_limit_is_the_smaller_of_the_filters_and_the_callers(filled: Lab) -> None:
    names = ["gamma", "beta", "alpha"]
    for text, limit, count in (("", 2, 2), ("limit 1", 2, 1), ("limit 2", 1, 1), ("limit 2", None, 2), ("", 0, 0)):
        frame = mllab.runs(f"order by loss desc {text}", limit=limit, include_archived=True, lab=filled)
        assert frame["name"].to_list() == names[:count]


@pytest.mark.parametrize("limit", [-1, 2.5, math.nan, math.inf, "3"])
def test_a_limit_that_is_none_is_refused(filled: Lab, limit: Any) -> None:
    with pytest.raises(UsageError, match=rf"^limit is {limit!r}\."):
        mllab.runs(limit=limit, lab=filled)
    one: Any = np.int64(1)
    assert len(mllab.runs(limit=one, lab=filled)) == 1


def test_a_column_named_twice_is_refused(filled: Lab) -> None:
    for name in ("name", "params.lr", "metrics.none"):
        with pytest.raises(UsageError, match=f"^columns names '{name}' twice"):
            mllab.runs(columns=[name, "status", name], lab=filled)


def test_columns_that_are_one_text_are_refused(filled: Lab) -> None:
    with pytest.raises(UsageError, match=r"^columns is 'loss'\."):
        mllab.runs(columns="loss", lab=filled)


@pytest.mark.parametrize("steps", [(None,), (1, 2, 3), (), 5, None, "12", ("1", None), (1.5, None), (None, math.nan)])
def test_a_window_that_is_none_is_refused(filled: Lab, steps: Any) -> None:
    with pytest.raises(UsageError, match=r"^steps is "):
        mllab.metrics(steps=steps, lab=filled)


@pytest.fixture
def outdated(filled: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose next snapshot is an old one: its parts are merged and swept since."""
    filled.store.seal()
    filled.engine.refresh()
    old = filled.store.snapshot()
    filled.store.compact(full=True)
    filled.store.sweep(grace_s=0)
    assert not set(old.manifest.all_parts()) & set(filled.store.snapshot().manifest.all_parts())
    fresh, handed_out = filled.store.snapshot, iter([old])
    monkeypatch.setattr(filled.store, "snapshot", lambda: next(handed_out, None) or fresh())
    return filled


def test_a_frame_of_runs_whose_parts_are_swept_is_read_again(outdated: Lab) -> None:
    assert sorted(mllab.runs(include_archived=True, lab=outdated)["name"]) == ["alpha", "beta", "gamma"]


def test_curves_whose_parts_are_swept_are_read_again(outdated: Lab) -> None:
    assert mllab.metrics("order by name", "loss", lab=outdated).height == 9


def test_a_state_whose_parts_are_swept_is_read_again(outdated: Lab) -> None:
    run_id = Lab(outdated.root).engine.resolve("alpha")
    state = outdated.store.run_state(run_id)
    assert state is not None
    assert state.name == "alpha"


def test_rows_of_open_runs_do_not_mix_when_runs_come_in_between(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from mllab.query import select as module

    def begin(run_id: str, name: str) -> None:
        writer = lab.store.writer(run_id)
        writer.event("start", {"experiment": "e", "name": name})
        writer.points({"loss": float(len(name))}, 0)
        writer.close()

    begin("01m85000000000000000000005", "later")
    plain = module.select

    def select_then_begin(*args: object, **options: object) -> object:
        chosen = plain(*args, **options)  # type: ignore[arg-type]
        if not begun:
            begun.append(True)
            begin("01m85000000000000000000001", "earlier")  # it takes the first number of the other
        return chosen

    begun: list[bool] = []
    monkeypatch.setattr("mllab.query.api.select", select_then_begin)
    frame = mllab.runs(lab=lab, columns=["name", "metrics.loss"])
    assert frame.rows() == [("later", 5.0)]
