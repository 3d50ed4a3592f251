"""Curves: the points of chosen runs and metrics, in order of step, down-sampled when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllab.query.decimate import decimate, decimate_blocks
from mllab.query.long_curves import read_long_curves, within
from mllab.query.pieces import read_pieces
from mllab.query.relations import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.long_curves import LongCurve
    from mllab.query.pieces import Piece


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One metric of one run: columns of one length in order of step. ``total`` counts the points before down-sampling.

    ``step`` is int64, ``time`` int64 UTC microseconds, ``value`` float64.
    """

    ref: int
    key: str
    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    total: int


def curves(
    engine: Engine,
    refs: Sequence[int],
    keys: Sequence[str] | None = None,
    *,
    max_points: int | None = None,
    newest: bool = True,
    steps: tuple[int | None, int | None] = (None, None),
) -> Iterator[Curve]:
    """Yield the curves of runs, ordered by run (as given), then key.

    Args:
        engine: the lab's query engine.
        refs: runs by their number in the store.
        keys: metrics; all when None.
        max_points: the most points of each curve, kept so that every extreme stays.
        newest: leave out what a later attempt of a resumed run began anew.
        steps: the first and last step to read, inclusive; None for no bound.
    """
    wanted = sorted(engine.keys("summaries") if keys is None else set(keys))
    if not wanted or not refs:
        return
    found: dict[tuple[int, str], list[Piece]] = {}
    with engine.steady():
        long = {}
        if max_points is not None:
            long = read_long_curves(engine, refs, wanted, max_points, newest=newest, steps=steps)
        for group, names in _still_to_read(refs, wanted, long):
            conditions = [f"key IN ({', '.join(map(quoted, names))})"] if keys is not None or long else []
            found |= read_pieces(engine, group, names, [*conditions, *within(steps)], newest=newest)
    for ref in refs:
        for name in wanted:
            whole, pieces = long.get((ref, name)), found.get((ref, name))
            if max_points is not None and whole is not None:
                yield _long_curve(ref, name, whole, max_points)
            elif pieces is not None:
                yield _curve(ref, name, pieces, max_points)


def _still_to_read(
    refs: Sequence[int], keys: Sequence[str], done: Collection[tuple[int, str]]
) -> list[tuple[Sequence[int], list[str]]]:
    """Return the runs and keys that are left, keys together that are left of the same runs."""
    done_refs: dict[str, set[int]] = {}
    for ref, key in done:
        done_refs.setdefault(key, set()).add(ref)
    groups: dict[frozenset[int], list[str]] = {}
    for key in keys:
        groups.setdefault(frozenset(done_refs.get(key, ())), []).append(key)
    left = [([ref for ref in refs if ref not in gone], names) for gone, names in groups.items()]
    return [(group, names) for group, names in left if group]


def _long_curve(ref: int, key: str, whole: LongCurve, max_points: int) -> Curve:
    rows = decimate_blocks(whole.value, whole.counts, max_points)
    return Curve(ref, key, whole.step[rows], whole.time[rows], whole.value[rows], int(whole.counts.sum()))


def _curve(ref: int, key: str, pieces: list[Piece], max_points: int | None) -> Curve:
    step, time, value = zip(*pieces, strict=True)
    values = _joined(value)
    if max_points is None or len(values) <= max_points:
        return Curve(ref, key, _joined(step), _joined(time), values, len(values))
    rows = decimate(values, max_points)
    return Curve(ref, key, _taken(step, rows), _taken(time, rows), values[rows], len(values))


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _taken(columns: Sequence[NDArray[Any]], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return ascending rows of what the columns are together, without joining them."""
    taken, start = [], 0
    for column in columns:
        low, high = np.searchsorted(rows, (start, start + len(column)))
        taken.append(column[rows[low:high] - start])
        start += len(column)
    return _joined(taken)
