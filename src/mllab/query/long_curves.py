"""Long curves by their coarse copies: the extremes of sealed blocks, and the points themselves where there are none.

A copy has a curve's points in one part. What it lacks are points of parts without a copy, points of parts in which
the curve is short, what is not sealed, and the ends of a window of steps that cuts through blocks. Wherever the pieces
do not follow each other step by step, the curve is left to be read point by point.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mllab.query.pieces import Piece, read_pieces
from mllab.query.relations import in_range, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.store.coarse import CoarseCurve
    from mllab.store.manifest import Part

Steps = tuple[int | None, int | None]
CurveId = tuple[int, str]

# From here on a bucket of a chart, which keeps a minimum and a maximum, is no narrower than a block of 128 points.
BLOCKS_FROM = 64
# The points at the ends of a window lie in a row group or two (of 122,880 rows), which are decoded whole: of a shorter
# curve that is as much as all of it.
CUT_FROM = 4 * 122_880


class LongCurve(NamedTuple):
    """Points of a curve in order of step, and what they stand for: see :func:`mllab.query.decimate.decimate_blocks`."""

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Sealed:
    """What copies have of a curve: where, how many points in all, and the blocks that lie within the window."""

    parts: tuple[Part, ...]
    total: int
    blocks: tuple[CoarseCurve, ...]
    is_cut: bool

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and last step of the blocks."""
        return int(self.blocks[0].low[0]), int(self.blocks[-1].high[-1])


def read_long_curves(
    engine: Engine, refs: Sequence[int], keys: Sequence[str], max_points: int, *, newest: bool, steps: Steps
) -> dict[CurveId, LongCurve]:
    """Return those curves that are long enough for ``max_points`` to be taken from blocks. Call it in a steady block.

    Args:
        engine: the lab's query engine.
        refs: runs by their number in the store.
        keys: metrics.
        max_points: how many points there will be of each curve.
        newest: leave curves to others of which a later attempt began anew.
        steps: the first and last step, inclusive; None for no bound.
    """
    sealed = _read_sealed(engine, refs, keys, BLOCKS_FROM * max_points, steps)
    if not sealed:
        return {}
    totals = _totals(engine, sealed, newest=newest)
    sealed = {curve: found for curve, found in sealed.items() if found.total <= totals.get(curve, -1)}
    points: dict[CurveId, list[Piece]] = {curve: [] for curve in sealed}
    for parts, curves in _grouped((curve, found.parts) for curve, found in sealed.items() if found.is_cut):
        for curve, pieces in _read_ends(engine, parts, {curve: sealed[curve] for curve in curves}, steps).items():
            points[curve] += pieces
    lacking = {curve: found.parts for curve, found in sealed.items() if found.total != totals[curve]}
    for parts, curves in _grouped((curve, _others(engine, curve, parts)) for curve, parts in lacking.items()):
        found = _read_points(engine, curves, parts, within(steps), tail=True)
        for curve in curves:
            points[curve] += found.get(curve, [])
    joined = ((curve, _joined(found.blocks, points[curve])) for curve, found in sealed.items())
    return {curve: whole for curve, whole in joined if whole is not None}


def _read_sealed(
    engine: Engine, refs: Sequence[int], keys: Sequence[str], least: int, steps: Steps
) -> dict[CurveId, _Sealed]:
    """Return what copies have of the curves of which they have at least ``least`` points within the window."""
    from mllab.store.coarse import open_coarse  # it loads pyarrow's reader of Parquet

    with engine.steady() as snapshot:
        ordered = sorted(set(refs))
        parts = [part for part in snapshot.manifest.points if in_range(ordered, part)]
    copies = [(part, copy) for part in parts if (copy := open_coarse(engine.store.layout, part)) is not None]
    chosen, words = set(refs), set(keys)
    totals: dict[CurveId, int] = {}
    for _, copy in copies:
        for curve, points in copy.points.items():
            if curve[0] in chosen and curve[1] in words:
                totals[curve] = totals.get(curve, 0) + points
    wanted = [curve for curve, points in totals.items() if points >= least]
    found: dict[CurveId, list[tuple[Part, int, CoarseCurve]]] = {}
    for part, copy in copies if wanted else ():
        for curve, blocks in copy.read(wanted).items():
            found.setdefault(curve, []).append((part, copy.points[curve], blocks))
    sealed = ((curve, _windowed(pieces, steps)) for curve, pieces in found.items())
    return {curve: pieces for curve, pieces in sealed if pieces is not None and _pays(pieces, least)}


def _pays(sealed: _Sealed, least: int) -> bool:
    points = sum(int(blocks.count.sum()) for blocks in sealed.blocks)
    return points >= max(least, CUT_FROM if sealed.is_cut else 0)


def _windowed(pieces: list[tuple[Part, int, CoarseCurve]], steps: Steps) -> _Sealed | None:
    """Return what copies have within the window; None if the parts do not follow each other or it holds no block."""
    pieces.sort(key=lambda piece: int(piece[2].low[0]))
    if any(before[2].high[-1] >= after[2].low[0] for before, after in pairwise(pieces)):
        return None
    blocks, is_cut = [], False
    for _, _, whole in pieces:
        start, stop = _whole_blocks(whole, steps)
        is_cut |= (start, stop) != (0, len(whole.step))
        if start < stop:
            blocks.append(whole.rows(start, stop))
    if not blocks:
        return None
    return _Sealed(tuple(part for part, _, _ in pieces), sum(total for _, total, _ in pieces), tuple(blocks), is_cut)


def _whole_blocks(whole: CoarseCurve, steps: Steps) -> tuple[int, int]:
    """Return the range of rows whose blocks lie within the window.

    At an end that the window cuts, one block more is left out, because its first or last point may not be kept, and
    as many more as share a step with their neighbour, so that steps tell which points are left to read.
    """
    heads = np.flatnonzero(whole.count)
    low, high = whole.low[heads], whole.high[heads]
    apart = low[1:] > high[:-1]
    start, stop = 0, len(heads)
    if steps[0] is not None and low[0] < steps[0]:
        start = int(np.searchsorted(low, steps[0])) + 1
        start += _leading_false(apart[start - 1 :])
    if steps[1] is not None and high[-1] > steps[1]:
        stop = int(np.searchsorted(high, steps[1], side="right")) - 1
        stop -= _leading_false(apart[: max(stop, 0)][::-1])
    if start >= stop:
        return 0, 0
    return int(heads[start]), int(heads[stop]) if stop < len(heads) else len(whole.step)


def _leading_false(flags: NDArray[np.bool_]) -> int:
    return int(flags.argmax()) if flags.any() else len(flags)


def _totals(engine: Engine, curves: Iterable[CurveId], *, newest: bool) -> dict[CurveId, int]:
    """Return how many points there are, of curves that one attempt logged where only the ``newest`` are wanted."""
    refs, keys = {ref for ref, _ in curves}, {key for _, key in curves}
    words = ", ".join(map(quoted, sorted(keys)))
    once = "AND attempt = 1" if newest else ""
    rows = engine.rows(
        f"SELECT ref, key, count FROM ({engine.rows_sql('summaries', sorted(refs))}) WHERE key IN ({words}) {once}"  # noqa: S608  # quoted keys
    )
    return {(int(ref), str(key)): int(count) for ref, key, count in rows}


def _grouped(items: Iterable[tuple[CurveId, tuple[Part, ...]]]) -> list[tuple[tuple[Part, ...], list[CurveId]]]:
    """Return the curves that want the same parts."""
    groups: dict[tuple[Part, ...], list[CurveId]] = {}
    for curve, parts in items:
        groups.setdefault(parts, []).append(curve)
    return list(groups.items())


def _others(engine: Engine, curve: CurveId, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts that can hold points of a run beside some."""
    with engine.steady() as snapshot:
        return tuple(part for part in snapshot.manifest.points if part not in parts and in_range([curve[0]], part))


def _read_ends(
    engine: Engine, parts: Sequence[Part], curves: dict[CurveId, _Sealed], steps: Steps
) -> dict[CurveId, list[Piece]]:
    """Return the points within the window on both sides of the blocks."""
    first = max(found.bounds[0] for found in curves.values())
    last = min(found.bounds[1] for found in curves.values())
    conditions = [*within(steps), f"(step < {first} OR step > {last})"]
    points = _read_points(engine, list(curves), parts, conditions, tail=False)
    ends: dict[CurveId, list[Piece]] = {}
    for curve, found in curves.items():
        low, high = found.bounds
        for piece in points.get(curve, []):
            before, after = np.searchsorted(piece.step, low), np.searchsorted(piece.step, high, side="right")
            both = (_cut(piece, 0, int(before)), _cut(piece, int(after), len(piece.step)))
            ends.setdefault(curve, []).extend(end for end in both if len(end.step))
    return ends


def _read_points(
    engine: Engine, curves: Sequence[CurveId], parts: Sequence[Part], conditions: list[str], *, tail: bool
) -> dict[CurveId, list[Piece]]:
    refs, keys = sorted({ref for ref, _ in curves}), sorted({key for _, key in curves})
    conditions = [f"key IN ({', '.join(map(quoted, keys))})", *conditions]
    return read_pieces(engine, refs, keys, conditions, newest=False, parts=parts, tail=tail)


def within(steps: Steps) -> list[str]:
    """Return SQL conditions for points of a window of steps."""
    low = [f"step >= {int(steps[0])}"] if steps[0] is not None else []
    return low + ([f"step <= {int(steps[1])}"] if steps[1] is not None else [])


def _cut(piece: Piece, start: int, stop: int) -> Piece:
    return Piece(piece.step[start:stop], piece.time[start:stop], piece.value[start:stop])


def _joined(blocks: tuple[CoarseCurve, ...], points: list[Piece]) -> LongCurve | None:
    """Return blocks and points in order of step; None where they do not follow each other."""
    spans = []
    for each in blocks:
        rows = LongCurve(each.step, each.time, each.value, each.count.astype(np.int64))
        spans.append((int(each.low[0]), int(each.high[-1]), rows))
    for piece in points:
        cuts = [int(np.searchsorted(piece.step, each.low[0])) for each in blocks]
        for start, stop in pairwise((0, *cuts, len(piece.step))):
            if start < stop:
                step, time, value = _cut(piece, start, stop)
                spans.append((int(step[0]), int(step[-1]), LongCurve(step, time, value, np.ones(len(step), np.int64))))
    spans.sort(key=lambda span: span[0])
    if any(before[1] >= after[0] for before, after in pairwise(spans)):
        return None
    return LongCurve(
        np.concatenate([span[2].step for span in spans]),
        np.concatenate([span[2].time for span in spans]),
        np.concatenate([span[2].value for span in spans]),
        np.concatenate([span[2].counts for span in spans]),
    )
