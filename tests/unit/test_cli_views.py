"""The use cases behind both front ends: pages of runs, one run, runs beside each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

import mllab
from mllab.cli.compare import STATISTICS
from mllab.errors import AmbiguousError, FilterError, NotFoundError, UsageError
from mllab.query.comparison import change, compare
from mllab.query.differences import differences
from mllab.query.filter_ast import Term
from mllab.query.run_detail import run_detail, run_metrics
from mllab.query.views import LIST_COLUMNS, ParamValue, lab_counts, list_runs, run_rows

if TYPE_CHECKING:
    from mllab.lab import Lab


@pytest.fixture(params=["open", "sealed"])
def study(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """Six runs of two experiments, sealed or not."""
    for seed in range(6):
        params = {"lr": 0.1 / (seed + 1), "seed": seed, "model": {"depth": 3}, "optimizer": "adam"}
        with mllab.start_run(
            "digits" if seed < 4 else "flights",
            f"run-{seed}",
            lab=lab,
            capture=False,
            params=params,
            tags={"team": "core"},
        ) as run:
            run.log_batch("train/loss", range(50), [1 / (step + 1) + seed for step in range(50)])
            run.log({"system/cpu_percent": 50.0, "valid/auc": seed / 10}, step=3)
            if seed == 2:
                run.log({"rare": 1.0})
                run.log_text("hello", "notes/a.txt")
                run.set_note("the one")
            if seed == 5:
                run.finish("failed", RuntimeError("boom"))
    if request.param == "sealed":
        lab.store.seal()
    return lab


def names(page: object) -> list[str]:
    return [row.name for row in page.rows]  # type: ignore[attr-defined]


def test_a_page_has_the_newest_runs_first_and_counts_the_rest(study: Lab) -> None:
    page = list_runs(study.engine, limit=2)
    assert names(page) == ["run-5", "run-4"]
    assert page.total == 6
    page = list_runs(study.engine, limit=2, offset=4)
    assert names(page) == ["run-1", "run-0"]
    assert (page.total, page.offset) == (6, 4)
    assert list_runs(study.engine, limit=2, offset=100).total == 6


def test_a_filter_chooses_and_orders(study: Lab) -> None:
    page = list_runs(study.engine, "experiment = digits and train/loss < 3 order by train/loss desc")
    assert names(page) == ["run-2", "run-1", "run-0"]
    assert page.total == 3
    assert names(list_runs(study.engine, "order by lr limit 2", limit=None)) == ["run-5", "run-4"]
    assert list_runs(study.engine, "order by lr limit 2", limit=1).total == 2


def test_without_columns_the_commonest_metrics_and_the_params_that_differ_are_shown(study: Lab) -> None:
    page = list_runs(study.engine)
    attributes = tuple(Term("run", name) for name in LIST_COLUMNS)
    assert page.columns[: len(attributes)] == attributes
    rest = [(term.kind, term.key) for term in page.columns[len(attributes) :]]
    # system/... is never chosen by itself, rare things come last, constant params after those that differ.
    assert rest == [
        ("metric", "train/loss"), ("metric", "valid/auc"), ("metric", "rare"),
        ("param", "lr"), ("param", "seed"), ("param", "model.depth"),
    ]  # fmt: skip


def test_what_a_filter_mentions_is_shown_first(study: Lab) -> None:
    page = list_runs(
        study.engine, "min(train/loss) < 100 and optimizer = adam and tags.team = core order by system/cpu_percent"
    )
    rest = [term for term in page.columns if term.kind != "run"]
    assert rest[:2] == [Term("metric", "train/loss", "min"), Term("metric", "system/cpu_percent")]
    assert Term("param", "optimizer") in rest
    assert rest[-1] == Term("tag", "team")
    row = dict(zip(page.columns, page.cells[0], strict=True))
    assert row[Term("param", "optimizer")] == ParamValue("str", "adam")
    assert row[Term("tag", "team")] == "core"
    assert row[Term("metric", "system/cpu_percent")] == 50.0


def test_columns_are_named_as_in_filters(study: Lab) -> None:
    columns = [
        "name",
        "min(train/loss)",
        "mean(train/loss)",
        "count(train/loss)",
        "step(train/loss)",
        "params.lr",
        "team",
        "parent",
    ]
    page = list_runs(study.engine, "name = run-0", columns=columns)
    values = page.cells[0]
    assert values[0] == "run-0"
    assert values[1] == pytest.approx(1 / 50)
    assert values[2] == pytest.approx(sum(1 / (step + 1) for step in range(50)) / 50)
    assert values[3:5] == (50, 49)
    assert values[5].value == 0.1
    assert values[6:] == ("core", None)


@pytest.mark.parametrize(
    "text", ["nope", "loss desc", "min(train/loss) after 5", "name, status", "'x'", "", "name limit 3"]
)
def test_other_columns_are_refused(study: Lab, text: str) -> None:
    with pytest.raises(UsageError):
        list_runs(study.engine, columns=[text])


def test_everything_means_everything(study: Lab) -> None:
    page = list_runs(study.engine, everything=True)
    keys = {(term.kind, term.key) for term in page.columns if term.kind != "run"}
    assert {("metric", "system/cpu_percent"), ("metric", "rare"), ("param", "optimizer"), ("tag", "team")} <= keys


def test_archived_and_deleted_runs_have_lists_of_their_own(study: Lab) -> None:
    row = list_runs(study.engine, "name = run-1").rows[0]
    study.store.edit(row.run_id, row.attempt, [("archive", {"value": True})])
    gone = list_runs(study.engine, "name = run-2").rows[0]
    study.store.edit(gone.run_id, gone.attempt, [("delete", {"value": True})])
    assert "run-1" not in names(list_runs(study.engine))
    assert "run-1" in names(list_runs(study.engine, which="archived too"))
    assert names(list_runs(study.engine, "archived")) == ["run-1"]
    assert "run-2" not in names(list_runs(study.engine, which="archived too"))
    assert names(list_runs(study.engine, which="deleted")) == ["run-2"]
    counts = lab_counts(study.engine)
    assert (counts.runs, counts.archived, counts.deleted) == (4, 1, 1)


def test_a_wrong_filter_is_an_error_with_its_column(study: Lab) -> None:
    with pytest.raises(FilterError) as caught:
        list_runs(study.engine, "lr < 1 and los < 2")
    assert caught.value.column == 11


def test_an_empty_lab(lab: Lab) -> None:
    page = list_runs(lab.engine)
    assert (page.rows, page.total) == ((), 0)
    counts = lab_counts(lab.engine)
    assert (counts.runs, counts.newest, counts.by_status) == (0, None, {})


def test_many_runs_make_no_endless_query(lab: Lab) -> None:
    """More runs than are written into a query one by one."""
    for number in range(3):
        with mllab.start_run("many", f"r{number}", lab=lab, capture=False, params={"n": number}):
            pass
    refs = [row[0] for row in lab.engine.rows("SELECT ref FROM r_runs")]
    assert len(run_rows(lab.engine, [*refs, *range(10_000, 20_000)])) == 3


def test_counts_by_status(study: Lab) -> None:
    counts = lab_counts(study.engine)
    assert counts.by_status == {"finished": 5, "failed": 1}
    assert counts.experiments == 2
    assert counts.newest is not None
    assert counts.newest.name == "run-5"


def test_one_run_has_everything(study: Lab) -> None:
    detail = run_detail(study.engine, "run-2")
    assert detail.run.note == "the one"
    assert {key: value.value for key, value in detail.params.items()} == {
        "lr": 0.1 / 3, "seed": 2, "model.depth": 3, "optimizer": "adam",
    }  # fmt: skip
    assert detail.tags == {"team": "core"}
    assert [artifact.path for artifact in detail.artifacts] == ["notes/a.txt"]
    loss = {metric.key: metric for metric in detail.metrics}["train/loss"]
    assert (loss.count, loss.last_step, loss.min_step, loss.max_step, loss.nans) == (50, 49, 49, 0, 0)
    assert len(loss.spark) == 24
    assert loss.spark[0] == 3.0
    assert loss.spark[-1] == pytest.approx(2.02)
    assert run_detail(study.engine, "run-5").error is not None
    assert run_detail(study.engine, detail.run.run_id).run == detail.run
    assert run_detail(study.engine, detail.run.run_id[-8:]).run == detail.run


def test_a_run_that_is_not_there_or_not_one(study: Lab) -> None:
    with pytest.raises(NotFoundError):
        run_detail(study.engine, "run-99")
    with mllab.start_run("digits", "run-2", lab=study, capture=False):
        pass
    with pytest.raises(AmbiguousError):
        run_detail(study.engine, "run-2")


def test_a_deleted_run_can_still_be_looked_at(study: Lab) -> None:
    row = list_runs(study.engine, "name = run-2").rows[0]
    study.store.edit(row.run_id, row.attempt, [("delete", {"value": True})])
    assert run_detail(study.engine, "run-2").run.deleted


def test_a_spark_shows_a_spike_and_a_nan_of_one_step(lab: Lab) -> None:
    values = [1.0] * 10_000
    values[6_000] = 99.0
    values[2_000] = float("nan")
    values[9_000] = -99.0
    with mllab.start_run("e", "spiky", lab=lab, capture=False) as run:
        run.log_batch("flat", range(10_000), values)
        run.log_batch("sparse", [0, 1000], [1.0, 2.0])
        run.log_batch("one", [5], [7.0])
        run.log_batch("nothing", range(3), [float("nan")] * 3)
        run.log_batch("far", [-(2**62), 2**62], [1.0, 2.0])
    found = {metric.key: metric.spark for metric in run_detail(lab.engine, "spiky", spark_cells=20).metrics}
    assert found["flat"][12] == 99.0
    assert found["flat"][18] == -99.0
    assert math.isnan(found["flat"][4] or 0.0)
    assert sum(value == 1.0 for value in found["flat"]) == 17
    assert found["sparse"] == (1.0, 2.0)
    assert found["one"] == (7.0,)
    assert len(found["nothing"]) == 3
    assert all(math.isnan(value or 0.0) for value in found["nothing"])
    assert found["far"] == (1.0, 2.0)


def test_a_stretch_without_points_repeats_what_was_before(lab: Lab) -> None:
    with mllab.start_run("e", "gap", lab=lab, capture=False) as run:
        run.log_batch("m", [0, 1, 2, 3, 96, 97, 98, 99], [1.0] * 4 + [2.0] * 4)
    (metric,) = run_detail(lab.engine, "gap", spark_cells=8).metrics
    assert metric.spark == (1.0,) * 7 + (2.0,)


def test_points_of_a_sealed_run_are_found_after_an_edit(study: Lab) -> None:
    row = list_runs(study.engine, "name = run-0").rows[0]
    study.store.edit(row.run_id, row.attempt, [("tags", {"values": {"late": "yes"}})])
    detail = run_detail(study.engine, "run-0")
    assert detail.tags == {"late": "yes", "team": "core"}
    assert detail.metrics[1].key == "train/loss"
    assert len(detail.metrics[1].spark) == 24


def test_comparing_finds_what_differs(study: Lab) -> None:
    found = compare(study.engine, ["run-0", "run-2", "run-0"])
    assert [run.name for run in found.runs] == ["run-0", "run-2"]
    assert [each.key for each in found.params if each.differs] == ["lr", "seed"]
    assert [each.key for each in found.params if not each.differs] == ["model.depth", "optimizer"]
    metrics = {each.key: each.values for each in found.metrics}
    assert metrics["rare"][0] is None
    assert all(hasattr(metrics["train/loss"][0], name) for name in STATISTICS)


def test_comparing_takes_two_different_runs(study: Lab) -> None:
    with pytest.raises(UsageError, match="at least two"):
        compare(study.engine, ["run-0", "run-0"])
    with pytest.raises(NotFoundError):
        compare(study.engine, ["run-0", "nope"])


def test_changes_of_what_is_no_number_are_none() -> None:
    assert change(1.0, 3.0) == 2.0
    assert change(None, 3.0) is None
    assert change(float("nan"), 3.0) is None
    assert change(float("inf"), float("inf")) is None


def test_differences_of_surroundings(lab: Lab) -> None:
    facts = [
        {
            "environment": {
                "command": f"python train{n}.py",
                "python": "3.11.7",
                "pid": n,
                "packages": {"numpy": f"2.{n}", "same": "1"},
            },
            "git": {"commit": f"{n}" * 40, "branch": "main"},
            "hardware": {"cpu": "x", "gpus": [{"name": f"GPU {n}"}]},
        }
        for n in (1, 2)
    ]
    for number, info in enumerate(facts):
        with mllab.start_run("e", f"r{number}", lab=lab, capture=False) as run:
            run.log_info(info)
            run.log_artifact(f"--- a/x\n+++ b/x\n same\n+line {number}\n".encode(), "code/uncommitted.diff")
    found = differences(lab.engine, "r0", "r1")
    assert found.packages == (("numpy", "2.1", "2.2"),)
    assert found.code == (("commit", "1" * 40, "2" * 40),)
    assert found.surroundings == (("command", "python train1.py", "python train2.py"), ("gpus", "GPU 1", "GPU 2"))
    assert found.patch is not None
    assert "-+line 0" in found.patch
    assert "++line 1" in found.patch
    with pytest.raises(UsageError, match="same run"):
        differences(lab.engine, "r0", "r0")


def test_a_damaged_patch_and_a_huge_one_are_no_failure(lab: Lab) -> None:
    for number in range(2):
        with mllab.start_run("e", f"r{number}", lab=lab, capture=False) as run:
            lines = "".join(f"+line {n} {number}\n" for n in range(4000))
            run.log_artifact(lines.encode(), "code/uncommitted.diff")
    found = differences(lab.engine, "r0", "r1")
    assert found.patch is None
    assert found.patch_differs


def test_a_page_stays_whole_when_runs_are_sealed_between_its_queries(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are not sealed are numbered anew by every snapshot: what is read in steps must not mix them up."""
    live = mllab.start_run("e", "live", lab=lab, capture=False, params={"called": "live"})
    with mllab.start_run("e", "ended", lab=lab, capture=False, params={"called": "ended"}):
        pass
    engine = lab.engine
    ask = engine.rows
    sealed: list[int] = []

    def rows(*args: Any) -> Any:
        found = ask(*args)
        if not sealed:
            sealed.append(lab.store.seal().runs)
        return found

    monkeypatch.setattr(engine, "rows", rows)
    try:
        page = list_runs(engine, columns=["name", "params.called"])
    finally:
        live.finish()
    assert sealed == [1], "the ended run alone was sealed, while the page was read"
    assert [(name, value.text) for name, value in page.cells] == [("ended", "ended"), ("live", "live")]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (ParamValue("int", "9" * 5000), "9" * 5000), (ParamValue("json", "[" * 10**5), "[" * 10**5),
        (ParamValue("null", ""), None), (ParamValue("bool", "true"), True), (ParamValue("json", '{"a":1}'), {"a": 1}),
        (ParamValue("float", "inf"), math.inf), (ParamValue("str", "7"), "7"),
    ],
)  # fmt: skip
def test_params_are_read_back_or_left_as_text(value: ParamValue, read: object) -> None:
    assert value.value == read


def test_metrics_of_chosen_keys(study: Lab) -> None:
    with study.engine.steady():
        ref, _ = study.engine.find("run-3")
        (metric,) = run_metrics(study.engine, [ref], ["valid/auc"], spark_cells=0)[ref]
    assert (metric.key, metric.last, metric.spark) == ("valid/auc", 0.3, ())
