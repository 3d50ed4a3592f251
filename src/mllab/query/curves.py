"""Curves: the points of chosen runs and metrics, in order of step, down-sampled when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllab.query.decimate import decimate
from mllab.query.relations import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine


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
    words = ", ".join(map(quoted, wanted))
    conditions = [f"key IN ({words})"] if keys is not None else []
    conditions += [f"step >= {int(steps[0])}"] if steps[0] is not None else []
    conditions += [f"step <= {int(steps[1])}"] if steps[1] is not None else []
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    source = engine.points_sql(refs, newest=newest)
    # As an ENUM the key travels as a small number; a string per point would cost more than the point.
    key = "0 AS key" if len(wanted) == 1 else f"key::ENUM ({words}) AS key"
    table = engine.arrow(
        f"SELECT ref, {key}, step, epoch_us(time) AS time, value, attempt, seq FROM ({source}) {where}"  # noqa: S608
    )
    columns = {name: table[name] for name in ("ref", "step", "time", "value", "attempt", "seq")}
    arrays = {name: column.to_numpy() for name, column in columns.items()}
    codes = _codes(table["key"], wanted)
    arrays = {"key": codes, **arrays}
    order = _order(arrays)
    if order is not None:
        arrays = {name: array[order] for name, array in arrays.items()}
    found = dict(_split(arrays, wanted))
    for ref in refs:
        for name in wanted:
            curve = found.get((ref, name))
            if curve is not None:
                yield curve if max_points is None else _thinned(curve, max_points)


def _codes(column: Any, wanted: list[str]) -> NDArray[np.int32]:
    if len(wanted) == 1:
        return np.zeros(len(column), np.int32)
    if not len(column):
        return np.empty(0, np.int32)
    combined = column.combine_chunks()
    position = {word: number for number, word in enumerate(wanted)}
    mapping = np.array([position.get(word, 0) for word in combined.dictionary.to_pylist()], np.int32)
    codes: NDArray[np.int32] = mapping[combined.indices.to_numpy()]
    return codes


def _order(arrays: dict[str, NDArray[Any]]) -> NDArray[np.intp] | None:
    """Return the sorting permutation, or None when the rows are in order, as they are within one part."""
    names = ("ref", "key", "step", "attempt", "seq")
    tied = np.ones(max(len(arrays["ref"]) - 1, 0), bool)
    for name in names:
        column = arrays[name]
        if np.any(tied & (column[1:] < column[:-1])):
            return np.lexsort([arrays[other] for other in reversed(names)])
        tied &= column[1:] == column[:-1]
        if not tied.any():
            break
    return None


def _split(arrays: dict[str, NDArray[Any]], wanted: list[str]) -> Iterator[tuple[tuple[int, str], Curve]]:
    ref, key = arrays["ref"], arrays["key"]
    if not len(ref):
        return
    bounds = np.flatnonzero((ref[1:] != ref[:-1]) | (key[1:] != key[:-1])) + 1
    for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(ref)], strict=True):
        piece = slice(start, stop)
        name = wanted[int(key[start])]
        number = int(ref[start])
        yield (
            (number, name),
            Curve(number, name, arrays["step"][piece], arrays["time"][piece], arrays["value"][piece], stop - start),
        )


def _thinned(curve: Curve, max_points: int) -> Curve:
    rows = decimate(curve.value, max_points)
    return Curve(curve.ref, curve.key, curve.step[rows], curve.time[rows], curve.value[rows], curve.total)
