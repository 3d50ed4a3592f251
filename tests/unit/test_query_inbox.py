"""What needs attention: which runs and metrics do, in which order, and what is said of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllab.ids import new_id
from mllab.lab import Lab
from mllab.query import inbox
from mllab.query.inbox import Item, attention, first_not_finite
from mllab.query.views import find_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mllab.store.segment import SegmentWriter

START_US = 1_760_000_000_000_000
MINUTE_US = 60_000_000
NAN, INF = math.nan, math.inf


class Study:
    """Writes runs whose every record has a time of our choosing: minutes after the start of the study."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.open: list[SegmentWriter] = []

    def run(
        self,
        name: str,
        metrics: dict[str, Sequence[float]] | None = None,
        *,
        status: str | None = "finished",
        error: Any = None,
        start: float = 0,
        gap: float = 0.001,
        end: float = 1,
        is_live: bool = False,
    ) -> str:
        run_id = new_id()
        writer = self.lab.store.writer(run_id)
        writer.event("start", {"experiment": "e", "name": name, "t": at(start)})
        for key, values in (metrics or {}).items():
            writer.batch(key, range(len(values)), list(values), [at(start + gap * n) for n in range(len(values))])
        if status is not None and not is_live:
            writer.event("finish", {"status": status, "t": at(end)} | ({"error": error} if error is not None else {}))
        if is_live:
            self.open.append(writer)
        else:
            writer.close()
        return run_id

    def items(self, **options: Any) -> list[tuple[str, str, str | None]]:
        return [(item.kind, item.name, item.key) for item in self.found(**options)]

    def found(self, *, now: float = 2, **options: Any) -> tuple[Item, ...]:
        return attention(self.lab.engine, now_us=at(now), **options)


def at(minutes: float) -> int:
    return START_US + round(minutes * MINUTE_US)


@pytest.fixture
def study(lab: Lab) -> Iterator[Study]:
    made = Study(lab)
    yield made
    for writer in made.open:
        writer.close()


def test_an_empty_lab_needs_nothing(study: Study) -> None:
    assert study.found() == ()
    study.run("fine", {"loss": [3.0, 2.0, 1.0], "empty": []})
    study.run("nothing logged")
    assert study.found() == ()
    study.lab.store.seal()
    assert study.found() == ()


@pytest.mark.parametrize("is_sealed", [False, True])
def test_runs_that_ended_badly_come_newest_first(study: Study, is_sealed: bool) -> None:
    error = {"type": "ValueError", "message": "\n  bad [red]shape[/red]\nsecond line", "traceback": "..."}
    study.run("failed", status="failed", error=error, end=5)
    study.run("killed", status="killed", end=4)
    lost = study.run("lost", {"loss": [1.0, 2.0]}, status=None, gap=3)
    study.run("mute", status="failed", error={}, end=2)
    study.run("odd", status="failed", error=["no", "object"], end=1)
    if is_sealed:
        study.lab.store.seal()
    found = study.found()
    assert [(item.kind, item.name, item.time_us) for item in found] == [
        ("failed", "failed", at(5)), ("killed", "killed", at(4)), ("lost", "lost", at(3)), ("failed", "mute", at(2)),
        ("failed", "odd", at(1)),
    ]  # fmt: skip
    assert [item.text for item in found if item.kind == "failed"] == [
        "ValueError: bad [red]shape[/red]", "without an error", "without an error",
    ]  # fmt: skip
    assert (found[2].run_id, found[2].key, found[2].attempt) == (lost, None, 1)
    assert found[2].text.startswith("last seen 20")
    assert [item.ref for item in found] == [find_run(study.lab.engine, item.name)[0] for item in found]


def test_a_damaged_run_is_named_beside_what_else_befell_it(study: Study) -> None:
    run_id = study.run("hurt", {"loss": [0.5] * 100}, status="failed", error={"type": "E", "message": "m"})
    (name,) = study.lab.store.layout.segment_names(run_id)
    path = Path(study.lab.store.layout.run_folder(run_id)) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    found = {item.kind: item.text for item in study.found()}
    assert found["failed"] == "E: m"
    assert found["damaged"]


def test_archived_and_deleted_runs_need_nothing(study: Study) -> None:
    for event in ("archive", "delete"):
        run_id = study.run(event, {"loss": [NAN]}, status="failed")
        study.lab.store.edit(run_id, 1, [(event, {"value": True})])
        run_id = study.run(event, {"loss": [NAN]})
        study.lab.store.edit(run_id, 1, [(event, {"value": True})])
    assert study.found() == ()
    study.lab.store.seal()
    assert study.found() == ()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, NAN, NAN], "2 of 3 values NaN; the last, at step 2, is NaN"),
        ([NAN, NAN], "NaN from its first value on, at step 0"),
        ([1.0, NAN, 0.5], "1 of 3 values NaN; recovered: 0.5 at step 2"),
        ([1.0, INF, INF], "inf at step 1; the last, at step 2, is inf"),
        ([1.0, -INF, 2.0], "-inf at step 1; recovered: 2 at step 2"),
        ([1.0, INF, -INF], "inf at step 1; -inf at step 2; the last, at step 2, is -inf"),
        ([NAN, INF, 2.0], "1 of 3 values NaN; inf at step 1; recovered: 2 at step 2"),
    ],
)
@pytest.mark.parametrize("is_sealed", [False, True])
def test_metrics_that_became_no_number(study: Study, values: list[float], text: str, is_sealed: bool) -> None:
    study.run("r", {"größe 'x'": values, "system/gpu": [NAN], "fine": [1.0]})
    if is_sealed:
        study.lab.store.seal()
    [item] = study.found()
    assert (item.kind, item.key, item.text) == ("nan", "größe 'x'", text)
    assert item.time_us == at(0.001 * (len(values) - 1))
    assert first_not_finite(study.lab.engine, item.ref, "größe 'x'") == next(
        step for step, value in enumerate(values) if not math.isfinite(value)
    )


def test_the_first_step_that_is_no_number_of_a_metric_without_one(study: Study) -> None:
    study.run("r", {"loss": [1.0, 2.0]})
    ref = find_run(study.lab.engine, "r")[0]
    assert first_not_finite(study.lab.engine, ref, "loss") is None
    assert first_not_finite(study.lab.engine, ref, "absent") is None


def test_huge_values_are_numbers(study: Study) -> None:
    study.run("r", {"big": [1.7e308] * 3, "both": [1.7e308, -1.7e308, 1.7e308, 1.7e308]})
    assert study.items() == []


def test_metrics_of_runs_that_ended_badly_are_not_named_apart(study: Study) -> None:
    study.run("failed", {"loss": [NAN]}, status="failed")
    study.run("lost", {"loss": [NAN]}, status=None)
    study.run("live", {"loss": [NAN]}, is_live=True)
    assert set(study.items()) == {("failed", "failed", None), ("lost", "lost", None), ("nan", "live", "loss")}


@pytest.mark.parametrize(
    ("key", "values", "diverges"),
    [
        ("loss", [5.0, 1.0, 0.1, 1.0, 6.0], True),
        ("val/mse", [1.0, 1.0, 0.01, 0.1, 0.9, 2.0], True),
        # Not ten times its minimum, no minimum above 0, fallen, falling again, too few values.
        ("loss", [5.0, 1.0, 0.1, 0.5, 1.0], False),
        ("loss", [5.0, 1.0, 0.0, 1.0, 6.0], False),
        ("loss", [5.0, 1.0, -0.1, 1.0, 6.0], False),
        ("loss", [60.0, 5.0, 1.0, 0.5, 0.1], False),
        ("loss", [5.0, 0.1, 900.0, 90.0, 9.0], False),
        ("loss", [0.1, 1.0, 6.0, 9.0], False),
        ("loss", [0.1, NAN, NAN, NAN, 9.0], False),
        # More is better, or who knows.
        ("accuracy", [0.01, 0.01, 0.2, 0.5, 0.9], False),
        ("grad_norm", [5.0, 1.0, 0.1, 1.0, 6.0], False),
        ("system/loss", [5.0, 1.0, 0.1, 1.0, 6.0], False),
    ],
)
@pytest.mark.parametrize("is_sealed", [False, True])
def test_divergence(study: Study, key: str, values: list[float], diverges: bool, is_sealed: bool) -> None:
    study.run("r", {key: values})
    if is_sealed:
        study.lab.store.seal()
    assert [item for item in study.items() if item[0] == "diverged"] == [("diverged", "r", key)] * diverges


def test_what_is_said_of_divergence(study: Study) -> None:
    study.run("r", {"loss": [5.0, 1.0, 0.125, 1.0, 6.0]})
    assert study.found()[0].text == "6 at step 4, 48 times its minimum 0.125 at step 2"


def test_a_live_run_is_stalled_when_it_is_silent_for_long(study: Study) -> None:
    # A value a minute for 100 minutes: silence of 20 minutes is unusual.
    study.run("slow", {"m": [1.0] * 101}, gap=1, is_live=True)
    study.run("fast", {"m": [1.0] * 101}, gap=0.01, is_live=True)
    study.run("mute", is_live=True)
    study.run("over", {"m": [1.0]})
    assert study.items(now=9.9) == []
    assert study.items(now=10.1) == [("stalled", "mute", None)]
    assert study.items(now=11.1) == [("stalled", "fast", None), ("stalled", "mute", None)]
    assert study.items(now=119) == [("stalled", "fast", None), ("stalled", "mute", None)]
    found = study.found(now=121)
    assert [item.name for item in found] == ["slow", "fast", "mute"]
    assert [item.text for item in found] == [
        "no record for 21m 00s; one every 59.4s until then",
        "no record for 2h 00m; one every 594ms until then",
        "no record for 2h 01m",
    ]
    assert found[0].time_us == at(100)


def test_a_clock_that_is_behind_stalls_nothing(study: Study) -> None:
    study.run("live", {"m": [1.0]}, start=50, is_live=True)
    assert study.items(now=0) == []


def test_only_what_happened_since(study: Study) -> None:
    study.run("early", status="failed", end=1)
    study.run("late", status="failed", end=3)
    study.run("nan early", {"a": [NAN]}, start=1, end=3)
    study.run("nan late", {"a": [NAN]}, start=2.5, end=3)
    assert {item.name for item in study.found(since_us=at(2))} == {"late", "nan late"}
    assert {item.name for item in study.found(since_us=at(3))} == {"late"}
    assert study.found(since_us=at(4)) == ()


def test_no_more_than_the_limit(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        study.run(f"failed {number}", status="failed", end=2 * number)
        study.run(f"nan {number}", {"loss": [NAN]}, start=2 * number + 1, end=2 * number + 1)
    everything = study.found(limit=100)
    assert [item.name for item in everything[:3]] == ["nan 5", "failed 5", "nan 4"]
    assert len(everything) == 12
    for first in (1, 2, 5000):
        monkeypatch.setattr(inbox, "_FIRST_RUNS", first)
        for limit in (0, 1, 2, 5, 11, 12, 13):
            assert study.found(limit=limit) == everything[:limit]


def test_an_id_is_the_same_in_every_state_of_the_store_and_another_for_every_item(study: Study) -> None:
    study.run("a", {"x": [NAN], "y": [NAN]})
    study.run("b", {"x": [NAN]})
    study.run("c", status="failed")
    before = {(item.kind, item.name, item.key): item.id for item in study.found()}
    assert len(set(before.values())) == len(before) == 4
    study.run("d", status="failed")
    study.lab.store.seal()
    after = {(item.kind, item.name, item.key): item.id for item in study.found()}
    assert {name: after[name] for name in before} == before
    assert all(len(name) == 64 for name in after.values())


def test_a_later_attempt_makes_a_later_item() -> None:
    items = [Item("failed", "r", 1, "n", 0, "text", None, attempt) for attempt in (1, 2)]
    assert items[0].id != items[1].id
    # Where it lies and what it says are no part of what it is.
    assert Item("failed", "r", 9, "m", 5, "other", None, 1).id == items[0].id


def test_the_first_line_of_a_long_message(study: Study) -> None:
    study.run("r", status="failed", error={"type": "E", "message": "x" * 10_000})
    [item] = study.found()
    assert len(item.text) == len("E: ") + inbox.MAX_TEXT
    assert item.text.endswith("…")


@settings(max_examples=200)
@given(st.lists(st.one_of(st.floats(0.001, 100), st.just(NAN), st.just(INF)), min_size=1, max_size=12))
def test_the_text_of_any_metric_names_what_is_wrong(values: list[float]) -> None:
    finite = [value for value in values if not math.isnan(value)] or [NAN]
    low, high = min(finite), max(finite)
    nans = sum(map(math.isnan, values))
    summary = inbox._Summary(values[-1], len(values) - 1, low, 0, high, 0, len(values), nans, 0)
    text = inbox._metric_text("nan", summary)
    assert ("NaN" in text) == any(map(math.isnan, values))
    assert ("inf at" in text) == any(map(math.isinf, values))
    assert ("recovered" in text) == math.isfinite(values[-1])
