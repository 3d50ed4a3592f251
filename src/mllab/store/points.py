"""Columns of metric points in memory: decoding target, sort order and summaries. Needs numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PointColumns:
    """Metric points as parallel columns of one length.

    ``key`` holds int32 positions in ``keys``; ``step``, ``time`` (UTC microseconds) and ``seq`` are int64,
    ``attempt`` is int32 and ``value`` is float64.
    """

    keys: tuple[str, ...]
    key: NDArray[np.int32]
    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    attempt: NDArray[np.int32]
    seq: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key)

    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return key, step, time, value, attempt and seq."""
        return (self.key, self.step, self.time, self.value, self.attempt, self.seq)

    def take(self, rows: NDArray[np.intp]) -> PointColumns:
        """Return the given rows in the given order."""
        return PointColumns(self.keys, *(column[rows] for column in self.columns()))

    def sorted(self) -> PointColumns:
        """Return the points by key text, then step, attempt and order of writing."""
        rank = np.empty(len(self.keys), np.int32)
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        rank[order] = np.arange(len(order), dtype=np.int32)
        ranked = replace(self, keys=tuple(self.keys[i] for i in order), key=rank[self.key])
        return ranked.take(np.lexsort((ranked.seq, ranked.attempt, ranked.step, ranked.key)))


def no_points() -> PointColumns:
    """Return columns of length 0."""
    i64 = np.empty(0, np.int64)
    return PointColumns((), np.empty(0, np.int32), i64, i64, np.empty(0), np.empty(0, np.int32), i64)


def concat(chunks: Sequence[PointColumns]) -> PointColumns:
    """Join columns, giving equal keys one number."""
    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        return no_points()
    number: dict[str, int] = {}
    keys = []
    for chunk in chunks:
        mapping = np.array([number.setdefault(key, len(number)) for key in chunk.keys], np.int32)
        keys.append(mapping[chunk.key] if len(mapping) else chunk.key)
    rest = [np.concatenate(columns) for columns in zip(*(chunk.columns()[1:] for chunk in chunks), strict=True)]
    return PointColumns(tuple(number), np.concatenate(keys), *rest)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run's row says of one metric. NaN counts in ``count`` and ``nans`` and nowhere else.

    ``last`` is the value at the greatest step of the newest attempt, the latest written of equals.
    ``min`` and ``max`` are NaN while there is no number yet.
    """

    last: float
    last_step: int
    last_time: int
    attempt: int
    min: float
    min_step: int
    max: float
    max_step: int
    sum: float
    count: int
    nans: int
    first_step: int

    def merged(self, later: Summary) -> Summary:
        """Combine with the summary of points written later."""
        newest = later if (later.attempt, later.last_step) >= (self.attempt, self.last_step) else self
        low = later if later.min < self.min or self.min != self.min else self  # NaN
        high = later if later.max > self.max or self.max != self.max else self
        return replace(
            newest,
            min=low.min,
            min_step=low.min_step,
            max=high.max,
            max_step=high.max_step,
            sum=self.sum + later.sum,
            count=self.count + later.count,
            nans=self.nans + later.nans,
            first_step=min(self.first_step, later.first_step),
        )


def summarise(points: PointColumns) -> dict[str, Summary]:
    """Return a summary for each key that has points."""
    if not len(points):
        return {}
    order = np.lexsort((points.seq, points.step, points.attempt, points.key))
    key, step, time, value, attempt, _ = (column[order] for column in points.columns())
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    ends = np.r_[starts[1:], len(key)] - 1
    counts = ends - starts + 1
    missing = np.isnan(value)
    low, high = np.fmin.reduceat(value, starts), np.fmax.reduceat(value, starts)
    low_step = step[_first_hits(value == np.repeat(low, counts), starts, counts)]
    high_step = step[_first_hits(value == np.repeat(high, counts), starts, counts)]
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.add.reduceat(np.where(missing, 0.0, value), starts)
    nans = np.add.reduceat(missing.astype(np.int64), starts)
    first = np.minimum.reduceat(step, starts)
    columns = (
        value[ends], step[ends], time[ends], attempt[ends], low, low_step, high, high_step, total, counts, nans, first,
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {points.keys[number]: Summary(*row) for number, row in zip(key[starts].tolist(), rows, strict=True)}


def _first_hits(hits: NDArray[np.bool_], starts: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first hit of each group, or the group's start where it has none (all NaN)."""
    where = np.flatnonzero(hits)
    at = np.searchsorted(where, starts)
    found = where[np.minimum(at, len(where) - 1)] if len(where) else starts
    inside = (at < len(where)) & (found < starts + counts)
    return np.where(inside, found, starts)
