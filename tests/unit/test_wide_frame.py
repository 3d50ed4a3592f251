"""Frames of runs: a page made from lists, and many runs by way of Arrow, have the same values and types."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import mllab
from mllab.query import wide
from mllab.query.engine import Engine
from mllab.query.select import select
from mllab.query.wide import shown_columns, wide_frame

if TYPE_CHECKING:
    from mllab.lab import Lab

BIG = 2**53 + 1
PARAMS: list[dict[str, Any]] = [
    {"big": BIG, "real": 1, "flag": True, "mixed": 1, "text": "a", "nothing": None, "list": [1, 2]},
    {"big": -BIG, "real": math.nan, "flag": False, "mixed": "one", "text": None, "nothing": None},
    {"big": None, "real": None, "flag": None, "mixed": None, "text": "läß", "one": 2.5},
]
COLUMNS = [
    "metrics.loss", "params.big", "name", "started", "params.real", "params.flag", "params.mixed", "tags.t", "archived",
    "params.text", "params.nothing", "params.none", "forked_step", "attempt", "metrics.`odd", "ended", "duration",
]  # fmt: skip
# They look at what is shown, at nothing of it, and at something else of the same keys.
FILTERS = [
    "params.big is null or params.big != 3 order by name", "order by name", "name ~ run and (max(loss) != 3 or not has loss) order by name",
    "(has tags.t or not has tags.t) and started > 2000-01-01 order by params.real, loss, name",
]  # fmt: skip


@pytest.fixture(params=["sealed", "open", "both"])
def filled(request: pytest.FixtureRequest, lab: Lab) -> Lab:
    for number, params in enumerate(PARAMS):
        tags = {"t": f"text {number}"} if number else {}
        with mllab.start_run("e", f"run {number}", params=params, tags=tags, lab=lab, capture=False) as run:
            if number < 2:
                run.log({"loss": math.nan if number else 0.5, "`odd": 1.0}, step=1)
        if request.param == "sealed" or (request.param == "both" and number == 1):
            lab.store.seal()
    return lab


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("columns", [COLUMNS, None, ["params.none"]], ids=["some", "all", "none"])
def test_a_page_is_like_many(
    filled: Lab, monkeypatch: pytest.MonkeyPatch, text: str, columns: list[str] | None
) -> None:
    engine, other = Engine(filled.store), Engine(filled.store)
    for _ in range(4):  # from Parquet, into memory, from there, from copies
        with engine.steady():
            chosen = select(engine, text, limit=3, with_total=False, show=shown_columns(columns))
            page = wide_frame(engine, chosen.refs, columns, chosen.shown)
        with monkeypatch.context() as patched, other.steady():
            patched.setattr(wide, "MAX_LISTED", -1)
            many = wide_frame(other, select(other, text).refs, columns)
        assert page.height >= 2
        assert_frame_equal(page, many)


def test_types_and_odd_values(filled: Lab) -> None:
    for _ in range(4):
        frame = mllab.runs("params.big != 0 or params.big is null order by name", limit=3, columns=COLUMNS, lab=filled)
        assert frame["params.big"].to_list() == [BIG, -BIG, None]
        assert frame.schema["params.big"] == pl.Int64
        assert frame["params.real"].is_nan().to_list() == [False, True, None]
        assert frame.schema["params.real"] == pl.Float64
        assert frame["params.flag"].to_list() == [True, False, None]
        assert frame["params.mixed"].to_list() == ["1", "one", None]
        assert frame["params.text"].to_list() == ["a", None, "läß"]
        assert frame.schema["params.nothing"] == pl.String
        assert frame["params.nothing"].null_count() == 3
        assert frame["metrics.loss"].is_nan().to_list() == [False, True, None]
        assert frame["tags.t"].to_list() == [None, "text 1", "text 2"]
        assert frame.schema["started"] == pl.Datetime("us", "UTC")
        assert frame.schema["attempt"] == pl.Int32


def test_what_the_filter_looks_at_is_not_read_again(filled: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(filled.store)
    columns = ["name", "params.big", "metrics.loss", "tags.t"]
    with engine.steady():
        show = shown_columns(columns)
        chosen = select(
            engine, "name ~ run and (params.big != 1 or loss > 0 or has tags.t) order by name", limit=2,
            with_total=False, show=show,
        )  # fmt: skip
        assert set(chosen.shown) == set(show)
        monkeypatch.setattr(engine, "rows", None)
        frame = wide_frame(engine, chosen.refs, columns, chosen.shown)
    assert frame["name"].to_list() == ["run 0", "run 1"]
    assert frame["params.big"].to_list() == [BIG, -BIG]
