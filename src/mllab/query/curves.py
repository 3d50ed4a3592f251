"""Curves: the points of chosen runs and metrics, in order of step, down-sampled when asked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mllab.query.decimate import decimate
from mllab.query.relations import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
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
    # As an ENUM the key travels as a small number; a string per point would cost more than the point.
    key = "" if len(wanted) == 1 else f", key::ENUM ({words}) AS key"
    columns = f"ref, step, epoch_us(time) AS time, value{key}"
    with engine.steady():
        source = engine.points_sql(refs, newest=newest)
        found = _pieces(engine.arrow(f"SELECT {columns} FROM ({source}) {where}"), wanted)  # noqa: S608  # quoted keys
        mixed = sorted({ref for (ref, _), pieces in found.items() if not _fit_together(pieces)})
        if mixed:
            # Steps that were logged more than once. To sort all rows for their sake would take twice as long.
            source = engine.points_sql(mixed, newest=newest)
            sql = f"SELECT {columns} FROM ({source}) p {where} ORDER BY ref, p.key, step, attempt, seq"  # noqa: S608
            found |= _pieces(engine.arrow(sql), wanted)
    for ref in refs:
        for name in wanted:
            pieces = found.get((ref, name))
            if pieces is not None:
                yield _curve(ref, name, pieces, max_points)


class _Piece(NamedTuple):
    """Rows of one curve that came one after the other, in ascending order of step."""

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]


def _pieces(table: pa.Table, wanted: Sequence[str]) -> dict[tuple[int, str], list[_Piece]]:
    """Return the rows of each run and key. DuckDB keeps the order of rows only within stretches of its own making."""
    found: dict[tuple[int, str], list[_Piece]] = {}
    for batch in table.to_batches():
        ref, step, time, value = (_view(batch.column(name)) for name in ("ref", "step", "time", "value"))
        changes = (ref[1:] != ref[:-1]) | (step[1:] < step[:-1])
        names, codes = list(wanted), None
        if len(wanted) > 1:
            key = batch.column("key")
            names, codes = [str(word) for word in key.dictionary], _view(key.indices)
            changes |= codes[1:] != codes[:-1]
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(ref)]
        for start, stop in pairwise(bounds):
            name = names[0 if codes is None else int(codes[start])]
            piece = _Piece(step[start:stop], time[start:stop], value[start:stop])
            found.setdefault((int(ref[start]), name), []).append(piece)
    return found


def _view(column: pa.Array) -> NDArray[Any]:
    """Return a column of numbers without nulls as an array, not copied. ``to_numpy`` would import pandas."""
    dtype = np.dtype(str(column.type))  # Arrow's names for numbers are numpy's
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def _fit_together(pieces: list[_Piece]) -> bool:
    """Put pieces in order of step; return whether no step is there twice."""
    pieces.sort(key=lambda piece: int(piece.step[0]))
    return all(np.all(step[1:] > step[:-1]) for step, _, _ in pieces) and all(
        before.step[-1] < after.step[0] for before, after in pairwise(pieces)
    )


def _curve(ref: int, key: str, pieces: list[_Piece], max_points: int | None) -> Curve:
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
