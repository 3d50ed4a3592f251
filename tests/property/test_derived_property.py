"""Functions of a curve are what numpy says they are, however its points were logged, sealed and resumed."""

from __future__ import annotations

import math
import shutil
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllab.ids import new_id
from mllab.query.engine import Engine
from mllab.query.filter_parser import parse
from mllab.query.filter_sql import compile_query
from mllab.query.select import EngineKeys, select_refs
from mllab.query.views import column, page, term_values
from mllab.store.store import Store

values = st.floats(-1e6, 1e6, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])
curve = st.lists(st.tuples(st.integers(0, 40), values), max_size=30)
# What a run logged, what it logged after a resume, and whether its first part is sealed.
run = st.tuples(curve, curve, st.booleans())
Point = tuple[int, float]


def newest(first: list[Point], second: list[Point]) -> list[Point]:
    """Return the default view of two attempts, in order of step and then as logged."""
    cut = min((step for step, _ in second), default=math.inf)
    return sorted([*(point for point in first if point[0] < cut), *second], key=lambda point: point[0])


def finite(points: list[Point]) -> tuple[Any, Any]:
    kept = [point for point in points if math.isfinite(point[1])]
    return np.array([step for step, _ in kept], float), np.array([value for _, value in kept], float)


def ema(points: list[Point], weight: float) -> float:
    total, count = 0.0, 0
    for value in finite(points)[1]:
        total, count = weight * total + (1 - weight) * value, count + 1
    return total / (1 - weight**count) if count else math.nan


def slope(points: list[Point]) -> float:
    steps, numbers = finite(points)
    used = max(2, math.ceil(0.2 * len(steps)))
    steps, numbers = steps[-used:], numbers[-used:]
    if len(set(steps)) < 2:
        return math.nan
    return float(np.polyfit(steps - steps.mean(), numbers, 1)[0])


def step_to(points: list[Point], bound: float, *, is_below: bool) -> float | None:
    held = [step for step, value in points if (value < bound if is_below else value >= bound)]
    return min(held, default=None)


def expected(first: list[Point], second: list[Point]) -> dict[str, float | None]:
    points = newest(first, second)
    if not points:
        return dict.fromkeys(TERMS)
    final = max(step for step, _ in second or first)
    window = [value for step, value in points if step > final - 7]
    known = [value for value in window if not math.isnan(value)]
    return {
        "ema(loss)": ema(points, 0.6), "ema(loss, 0.95)": ema(points, 0.95), "ema(loss, 0)": ema(points, 0),
        "slope(loss)": slope(points), "min(loss) last 7": min(known, default=math.nan),
        "max(loss) last 7": max(known, default=math.nan), "count(loss) last 7": len(window), "last(loss) last 7": points[-1][1],
        "step(loss)": final,
        "step_to(loss < 0.5)": step_to(points, 0.5, is_below=True),
        "step_to(loss >= 100)": step_to(points, 100, is_below=False),
    }  # fmt: skip


TERMS = (
    "ema(loss)", "ema(loss, 0.95)", "ema(loss, 0)", "slope(loss)", "min(loss) last 7", "max(loss) last 7",
    "count(loss) last 7", "last(loss) last 7", "step(loss)", "step_to(loss < 0.5)", "step_to(loss >= 100)",
)  # fmt: skip


def write(store: Store, name: str, first: list[Point], second: list[Point], *, is_sealed: bool) -> None:
    run_id = new_id()
    for attempt, points in ((1, first), (2, second)):
        if attempt == 2 and not points:
            continue
        writer = store.writer(run_id, attempt=attempt)
        writer.event(*(("start", {"experiment": "e", "name": name}) if attempt == 1 else ("resume", {})))
        for step, value in points:
            writer.points({"loss": value}, step)
        writer.event("finish", {"status": "finished"})
        writer.close()
        if attempt == 1 and is_sealed:
            store.seal()


@settings(max_examples=25, deadline=None)
@given(st.lists(run, min_size=1, max_size=4))
def test_they_are_what_numpy_says(runs):
    folder = tempfile.mkdtemp(prefix="mllab-derived-")
    try:
        store = Store.create(f"{folder}/store")
        for number, (first, second, is_sealed) in enumerate([*runs, ([(0, 1.0)], [], True)]):
            write(store, str(number), first, second, is_sealed=is_sealed)
        engine = Engine(store)
        with engine.steady():
            names = dict(engine.rows("SELECT ref, name FROM r_runs ORDER BY ref"))
            refs = list(names)
            for text in TERMS:
                term = column(text, EngineKeys(engine))
                alone = term_values(engine, refs, "metric", [term])[term]
                plain = compile_query(parse(f"order by {text}"), EngineKeys(engine))
                ordered = [ref for (ref,) in engine.rows(plain.sql, plain.params)]
                assert select_refs(engine, None, order=text).refs.tolist() == ordered
                cells = dict(zip(refs, page(engine, refs, [text])[1], strict=True))
                for ref, name in names.items():
                    wanted = expected(*[*runs, ([(0, 1.0)], [])][int(name)][:2])[text]
                    for found in (alone.get(ref), cells[ref][0]):
                        if wanted is None:
                            assert found is None
                        else:
                            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6, nan_ok=True)
    finally:
        shutil.rmtree(folder)
