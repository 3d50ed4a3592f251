"""What a training script may hand over by mistake or in malice: it is counted and named, and training goes on."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import UserDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mllab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mllab.lab import Lab


class Tensor:
    """Ten gigabytes that must not be looked at: only whoever prints or copies them pays."""

    shape = (50_000, 50_000)
    dtype = "float32"

    def __init__(self) -> None:
        self.touched: list[str] = []

    def __float__(self) -> float:
        raise TypeError("only one-element tensors can be converted to Python scalars")

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return "tensor([[0., 0., ...]])" * 100

    def __iter__(self) -> Iterator[Any]:
        self.touched.append("iter")
        return iter(())

    def __array__(self, *_: Any, **__: Any) -> Any:
        self.touched.append("array")
        raise MemoryError


class Raising:
    """Raises whatever it is asked to, from everything that may be asked of a number."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __float__(self) -> float:
        raise self.error("float")

    def __repr__(self) -> str:
        raise self.error("repr")

    __str__ = __index__ = __len__ = __iter__ = __bool__ = __hash__ = __repr__  # type: ignore[assignment]


class Lying:
    def __float__(self) -> Any:
        return "0.5"


class Items(UserDict[str, float]):
    """A mapping whose views fail."""

    def items(self) -> Any:
        raise RuntimeError("items")

    def values(self) -> Any:
        raise RuntimeError("values")


def endless() -> list[Any]:
    it: list[Any] = []
    it.append(it)
    return it


HOSTILE: dict[str, Callable[[], Any]] = {
    "a tensor of 10 GB": Tensor,
    "a list of ten million": lambda: [0.0] * 10_000_000,
    "a hundred megabytes of bytes": lambda: bytes(100_000_000),
    "a hundred megabytes of text": lambda: "9" * 100_000_000,
    "an array": lambda: np.zeros((3000, 3000)),
    "a list within itself": endless,
    "an error": lambda: Raising(ValueError),
    "no memory": lambda: Raising(MemoryError),
    "no stack": lambda: Raising(RecursionError),
    "a lie": Lying,
    "a huge integer": lambda: 10**5000,
    "a complex number": lambda: 1j,
    "a generator": lambda: (number for number in range(3)),
    "a class": lambda: Tensor,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_value_is_dropped_alone_and_named_shortly(
    lab: Lab, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    value = HOSTILE[kind]()
    with caplog.at_level(logging.WARNING), mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        for step in range(3):
            run.log({"before": 1.0, "bad": value, "after": 2.0}, step=step)
        run.log({"bad": value}, step=3)
        run.log({"good": 1.0}, step=value)
        run.log_batch("bad", [1, 2], value)
    assert run.dropped == 6
    assert len(caplog.text) < 3000
    assert "'bad'" in caplog.text
    rows = lab.engine.rows("SELECT key, count(*), sum(value) FROM metrics GROUP BY key ORDER BY key")
    assert rows == [("after", 3, 6.0), ("before", 3, 3.0)]
    if isinstance(value, Tensor):
        assert value.touched in ([], ["iter"])  # by the batch, which asks for its items


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_param_is_text_or_dropped(lab: Lab, kind: str) -> None:
    if kind in ("a list of ten million", "an array"):
        pytest.skip("params may be lists; how large is the user's to say")
    with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        run.log_params({"bad": HOSTILE[kind](), "good": 1})
        run.set_tags({"bad": HOSTILE[kind](), "good": 1})
        run.log_params({"still": "here"})
    params = dict(lab.engine.rows("SELECT key, text FROM params"))
    assert params["still"] == "here"
    assert params.get("good", "1") == "1"
    assert run.dropped + ("good" in params) >= 1


@pytest.mark.parametrize(
    "metrics",
    [
        Items(a=1.0),
        Raising(ValueError),
        None,
        3,
        "text",
        [("a", 1.0)],
        {("a",): 1.0},
        {"k" * 1_000_000: 1.0},
        {"\udc80": 1.0},
        {None: 1.0},
    ],
    ids=["items", "raising", "None", "number", "text", "pairs", "tuple key", "key of 1 MB", "surrogate", "None key"],
)
def test_hostile_metrics_are_dropped_and_named_shortly(
    lab: Lab, caplog: pytest.LogCaptureFixture, metrics: Any
) -> None:
    with caplog.at_level(logging.WARNING), mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        run.log(metrics, step=0)
        run.log({"good": 1.0}, step=1)
    assert run.dropped == 1
    assert len(caplog.text) < 2000
    assert lab.engine.rows("SELECT key, step, value FROM metrics") == [("good", 1, 1.0)]


def test_a_number_that_logs_while_it_is_read(lab: Lab) -> None:
    counter = itertools.count(1)

    class Logging:
        def __float__(self) -> float:
            number = next(counter)
            run.log({f"inner{number}": float(number), "loss": -1.0}, step=number)
            return 0.5

    with mllab.start_run("tests", "r", lab=lab, capture=False, on_error="raise") as run:
        for step in range(5):
            run.log({"loss": Logging()}, step=step)
    assert lab.engine.rows("SELECT count(*) FILTER (value = 0.5), count(*) FILTER (value = -1) FROM metrics") == [
        (5, next(counter) - 1)
    ]
    assert lab.engine.rows("SELECT count(DISTINCT key) FROM metrics WHERE key LIKE 'inner%' AND value = step") == [
        (next(counter) - 2,)
    ]
    assert lab.engine.rows("SELECT damaged FROM r_runs") == [(None,)]


def test_a_number_that_changes_the_metrics_while_they_are_read(lab: Lab) -> None:
    class Growing:
        def __float__(self) -> float:
            metrics[f"more{len(metrics)}"] = 1.0
            return 0.5

    metrics: dict[str, Any] = {"loss": Growing()}
    with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        for step in range(3):
            run.log(metrics, step=step)
        run.log({"loss": 1.0}, step=9)
    found = lab.engine.rows("SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step")
    assert found[-1] == (9, 1.0)
    assert len(found) + run.dropped == 4
    assert {value for _, value in found[:-1]} <= {0.5}
    assert lab.engine.rows("SELECT damaged FROM r_runs") == [(None,)]


def test_times_in_another_unit_are_refused(lab: Lab) -> None:
    with mllab.start_run("tests", "r", lab=lab, capture=False) as run:
        run.log_batch("nanoseconds", [0, 1], [1.0, 2.0], times=[1_700_000_000_000_000_000] * 2)
        run.log_batch("negative", [0, 1], [1.0, 2.0], times=[-5, 3])
        run.log_batch("good", [0, 1], [1.0, 2.0], times=[5, 1_700_000_000_000_000])
    assert run.dropped == 2
    assert lab.engine.rows("SELECT DISTINCT key FROM metrics") == [("good",)]
    assert lab.engine.rows("SELECT year(last_seen) < 3000 FROM runs") == [(True,)]


def test_threads_may_finish_a_run_under_each_other(lab: Lab) -> None:
    run = mllab.start_run("tests", "r", lab=lab, capture=False)
    acknowledged: list[int] = []
    started = threading.Barrier(5)

    def work(first: int) -> None:
        started.wait()
        for value in range(first, first + 500):
            try:
                run.log({"loss": float(value)}, step=value)
            except mllab.errors.RunClosedError:
                return
            acknowledged.append(value)

    threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    while len(acknowledged) < 100:
        pass
    run.finish()
    for thread in threads:
        thread.join()
    found = lab.engine.rows("SELECT value::BIGINT FROM metrics ORDER BY value")
    assert found == [(value,) for value in sorted(acknowledged)]
    assert lab.engine.rows("SELECT status FROM runs") == [("finished",)]
