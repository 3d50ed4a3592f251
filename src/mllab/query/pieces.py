"""Points as they come from the engine: stretches of curves in ascending order of step, sorted only where need be."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mllab.query.relations import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.store.manifest import Part


class Piece(NamedTuple):
    """Rows of one curve that came one after the other, in ascending order of step."""

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]


def read_pieces(
    engine: Engine,
    refs: Sequence[int],
    keys: Sequence[str],
    conditions: Sequence[str],
    *,
    newest: bool = True,
    parts: Sequence[Part] | None = None,
    tail: bool = True,
) -> dict[tuple[int, str], list[Piece]]:
    """Return the points of runs as pieces in order of step. Call it in a steady block.

    Args:
        engine: the lab's query engine.
        refs: runs by their number in the store.
        keys: all metrics that can be among the points.
        conditions: SQL that points have to fulfil.
        newest: leave out what a later attempt of a resumed run began anew.
        parts: the sealed parts to read; all when None.
        tail: read what is not sealed, too.
    """
    words = ", ".join(map(quoted, keys))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # As an ENUM the key travels as a small number; a string per point would cost more than the point.
    key = "" if len(keys) == 1 else f", key::ENUM ({words}) AS key"
    columns = f"ref, step, epoch_us(time) AS time, value{key}"
    source = engine.points_sql(refs, newest=newest, parts=parts, tail=tail)
    found = _pieces(engine.arrow(f"SELECT {columns} FROM ({source}) {where}"), keys)  # noqa: S608  # quoted keys
    mixed = sorted({ref for (ref, _), pieces in found.items() if not _fit_together(pieces)})
    if mixed:
        # Steps that were logged more than once. To sort all rows for their sake would take twice as long.
        source = engine.points_sql(mixed, newest=newest, parts=parts, tail=tail)
        sql = f"SELECT {columns} FROM ({source}) p {where} ORDER BY ref, p.key, step, attempt, seq"  # noqa: S608
        found |= _pieces(engine.arrow(sql), keys)
    return found


def _pieces(table: pa.Table, keys: Sequence[str]) -> dict[tuple[int, str], list[Piece]]:
    """Return the rows of each run and key. DuckDB keeps the order of rows only within stretches of its own making."""
    found: dict[tuple[int, str], list[Piece]] = {}
    for batch in table.to_batches():
        ref, step, time, value = (_view(batch.column(name)) for name in ("ref", "step", "time", "value"))
        changes = (ref[1:] != ref[:-1]) | (step[1:] < step[:-1])
        names, codes = list(keys), None
        if len(keys) > 1:
            key = batch.column("key")
            names, codes = [str(word) for word in key.dictionary], _view(key.indices)
            changes |= codes[1:] != codes[:-1]
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(ref)]
        for start, stop in pairwise(bounds):
            name = names[0 if codes is None else int(codes[start])]
            piece = Piece(step[start:stop], time[start:stop], value[start:stop])
            found.setdefault((int(ref[start]), name), []).append(piece)
    return found


def _view(column: pa.Array) -> NDArray[Any]:
    """Return a column of numbers without nulls as an array, not copied. ``to_numpy`` would import pandas."""
    dtype = np.dtype(str(column.type))  # Arrow's names for numbers are numpy's
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def _fit_together(pieces: list[Piece]) -> bool:
    """Put pieces in order of step; return whether no step is there twice."""
    pieces.sort(key=lambda piece: int(piece.step[0]))
    return all(np.all(step[1:] > step[:-1]) for step, _, _ in pieces) and all(
        before.step[-1] < after.step[0] for before, after in pairwise(pieces)
    )
