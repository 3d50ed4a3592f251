"""Metric points of many runs at once, in the order of sealed parts: by run, key, step and attempt."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.synthetic.plan import FINE_METRICS, FIRST_START_US
from mllab.store.points import PointColumns, Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.synthetic.plan import Plan

_NAMED = (
    ("train.loss", "loss"),
    ("train.grad_norm", "norm"),
    ("train.lr", "schedule"),
    ("train.throughput", "rate"),
    ("train.accuracy", "accuracy"),
    ("val.loss", "loss"),
    ("val.accuracy", "accuracy"),
    ("val.auc", "accuracy"),
    ("memory.gpu", "memory"),
)
_REST = ("loss", "accuracy", "norm")
SUMMARY_FIELDS = tuple(field.name for field in fields(Summary))
# Records that come before a run's first point in its segment: the header, the start and the keys.
FIRST_SEQ = 3


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of every run. ``is_fine``: long runs log it at every step, not only once in a while."""

    key: str
    kind: str
    is_fine: bool


def make_metrics(count: int) -> list[Metric]:
    """Return ``count`` metrics, sorted by key."""
    named = list(_NAMED[:count])
    named += [(f"layer.{i:03d}.{_REST[i % 3]}", _REST[i % 3]) for i in range(count - len(named))]
    fine = {key for key, _ in named[:FINE_METRICS]}
    return sorted((Metric(key, kind, key in fine) for key, kind in named), key=lambda metric: metric.key)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Points of consecutive runs as columns, and their summaries: for each field an array [metrics, runs]."""

    ref: NDArray[np.int64]
    points: PointColumns
    summaries: dict[str, NDArray[Any]]


def make_block(plan: Plan, metrics: Sequence[Metric], first: int, stop: int) -> Block:
    """Make the points of the runs ``first`` to ``stop`` (positions in the plan)."""
    random = np.random.default_rng((plan.shape.seed, first))
    runs, width = stop - first, len(metrics)
    fine, coarse = plan.fine[first:stop], plan.coarse[first:stop]
    overlap = plan.overlap()[first:stop]
    cut = coarse // 2
    # Curve c = (run, metric) takes its calls either from the run's calls at every step or from the others.
    in_fine = np.array([metric.is_fine for metric in metrics])[None, :] & (fine > 0)[:, None]
    lengths = np.where(in_fine, fine[:, None], (coarse + overlap)[:, None]).reshape(-1)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    curve = np.repeat(np.arange(runs * width, dtype=np.int32), lengths)
    run = curve // np.int32(width)
    position = np.arange(len(curve), dtype=np.int64) - starts[curve]

    step, attempt, seq = position.copy(), np.ones(len(curve), np.int32), position + FIRST_SEQ
    again = np.flatnonzero((overlap > 0)[run])
    step[again], attempt[again], seq[again] = _resumed(position[again], cut[run[again]], overlap[run[again]])
    is_fine = in_fine.reshape(-1)[curve]
    step *= np.where(is_fine, 1, np.maximum(1, fine // coarse)[run])

    # Metrics of one call share its time, so the jitter belongs to the call.
    calls = fine + coarse + overlap
    call = (np.cumsum(calls) - calls)[run] + position + np.where(is_fine, 0, fine[run])
    tick = plan.tick[first:stop]
    offset = (step + 0.9 * random.random(int(calls.sum()), np.float32)[call]) * tick[run]
    offset[again] += (attempt[again] - 1) * (3600e6 + overlap[run[again]] * tick[run[again]])
    time = plan.start[first:stop][run] + offset.astype(np.int64)

    value = np.empty(len(curve))
    kinds = np.array([list(VALUES).index(metric.kind) for metric in metrics], np.int8)[curve % width]
    for number, shape in enumerate(VALUES.values()):
        rows = np.flatnonzero(kinds == number)
        place = curve[rows]
        value[rows] = shape(random, position[rows] / lengths[place], random.random(runs * width)[place])
    gone = plan.diverged[first:stop][run] & (kinds == list(VALUES).index("loss")) & (position > 0.7 * lengths[curve])
    value[gone] = np.nan

    key = curve % np.int32(width)
    points = PointColumns(tuple(metric.key for metric in metrics), key, step, time, value, attempt, seq)
    summaries = _summaries(points, starts, lengths, curve)
    shaped = {name: np.ascontiguousarray(column.reshape(runs, width).T) for name, column in summaries.items()}
    for number in np.flatnonzero(overlap > 0).tolist():
        _exact_summary(shaped, points, number, run)
    return Block(run + np.int64(first + 1), points, shaped)


def _resumed(
    position: NDArray[np.int64], cut: NDArray[np.int64], overlap: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return step, attempt and seq where the steps from ``cut`` on were logged again by a second attempt."""
    past = position - cut
    inside = (past >= 0) & (past < 2 * overlap)
    after = past >= 2 * overlap
    step = np.where(inside, cut + past // 2, np.where(after, position - overlap, position))
    attempt = np.where(inside, 1 + past % 2, np.where(after, 2, 1)).astype(np.int32)
    return step, attempt, np.where(attempt == 2, step - cut, step) + FIRST_SEQ


def _summaries(
    points: PointColumns, starts: NDArray[np.int64], lengths: NDArray[np.int64], curve: NDArray[np.int32]
) -> dict[str, NDArray[Any]]:
    """Return what :func:`mllab.store.points.summarise` gives for each curve, for one attempt."""
    value, step = points.value, points.step
    ends = starts + lengths - 1
    low, high = np.fmin.reduceat(value, starts), np.fmax.reduceat(value, starts)
    missing = np.isnan(value)
    low_step = step[_first(value == low[curve], starts, curve)]
    high_step = step[_first(value == high[curve], starts, curve)]
    total = np.add.reduceat(np.where(missing, 0.0, value), starts)
    nans = np.add.reduceat(missing.astype(np.int64), starts)
    columns = (
        value[ends], step[ends], points.time[ends], points.attempt[ends], low, low_step, high, high_step, total,
        lengths, nans, step[starts],
    )  # fmt: skip
    return dict(zip(SUMMARY_FIELDS, columns, strict=True))


def _first(hits: NDArray[np.bool_], starts: NDArray[np.int64], curve: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return each curve's first hit, or its start when it has none."""
    where = np.flatnonzero(hits)
    owner = curve[where]
    leads = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if len(where) else where
    found = starts.copy()
    found[owner[leads]] = where[leads]
    return found


def _exact_summary(
    summaries: dict[str, NDArray[Any]], points: PointColumns, number: int, run: NDArray[np.int32]
) -> None:
    """Put in the summaries of a resumed run, whose attempts count one after the other."""
    rows = np.arange(*np.searchsorted(run, [number, number + 1]))
    found = summarise(points.take(rows))
    for place, key in enumerate(points.keys):
        for name in SUMMARY_FIELDS:
            summaries[name][place, number] = getattr(found[key], name)


_Random = np.random.Generator


def _as_float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to what training in single precision reports."""
    return values.astype(np.float32).astype(np.float64)


def _noise(random: _Random, like: NDArray[np.float64]) -> NDArray[np.float32]:
    return random.standard_normal(len(like), np.float32)


def _loss(random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    return _as_float32((0.05 + own + (1 + own) * np.exp(-6 * done)) * (1 + 0.03 * _noise(random, done)))


def _accuracy(random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    share = 0.6 + 0.35 * own - 0.5 * np.exp(-5 * done) + 0.004 * _noise(random, done)
    right: NDArray[np.float64] = np.clip(np.rint(share * 10_000), 0, 10_000)
    return right / 10_000


def _norm(random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    return _as_float32(np.exp(own - done + 0.4 * _noise(random, done)))


def _schedule(_random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 10 ** (-4 + 2 * own) * 0.5 * (1 + np.cos(np.pi * done))
    return values


def _rate(random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    return (500 + 4000 * own) * (1 + 0.02 * _noise(random, done).astype(np.float64))


def _memory(_random: _Random, done: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint((4 + 60 * own + (done > 0.05)) * 100) / 100


# For each kind: (random, share of the curve that is done, a number in [0, 1) of the curve's own) to values.
VALUES: dict[str, Callable[[_Random, NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "loss": _loss,
    "accuracy": _accuracy,
    "norm": _norm,
    "schedule": _schedule,
    "rate": _rate,
    "memory": _memory,
}
FIVE = {"loss": "loss", "accuracy": "accuracy", "lr": "schedule", "grad_norm": "norm", "throughput": "rate"}


def five_curves(length: int, number: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, times and values of a run with five metrics; metrics of one call share its time."""
    random = np.random.default_rng((length, number))
    done = np.arange(length) / length
    times = FIRST_START_US + np.cumsum(random.lognormal(np.log(50e3), 0.1, length)).astype(np.int64)
    for key, kind in FIVE.items():
        yield key, times, VALUES[kind](random, done, np.full(length, random.random()))
