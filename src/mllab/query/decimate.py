"""Down-sampling of curves that keeps every extreme: what a chart shows is what happened, with fewer points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mllab.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_POINTS = 8


def decimate(values: NDArray[np.float64], max_points: int) -> NDArray[np.intp]:
    """Return the positions, ascending, of at most ``max_points`` of ``values`` that show the curve.

    The curve is cut into equal buckets; each keeps its minimum, its maximum and, if it has one, its first NaN.
    So the first and last point, the least and greatest value of every stretch, infinities, and a NaN of a
    single step are there at every zoom.

    Args:
        values: float64[n], in order.
        max_points: the most positions to return, at least 8.

    Raises:
        UsageError: ``max_points`` is too small to keep the promise.

    Example:
        >>> import numpy as np
        >>> spike = np.zeros(1_000_000)
        >>> spike[123_456] = 1.0
        >>> 123_456 in decimate(spike, 100)
        True
    """
    check_max_points(max_points)
    count = len(values)
    if count <= max_points:
        return np.arange(count)
    missing = np.isnan(values)
    has_missing = bool(missing.any())
    buckets = _buckets(max_points, has_missing=has_missing)
    width = -(-count // buckets)
    buckets = -(-count // width)
    starts = np.arange(buckets) * width

    def pick(fill: float, padding: float, *, lowest: bool) -> NDArray[np.intp]:
        padded = np.full(buckets * width, padding)
        padded[:count] = np.where(missing, fill, values) if has_missing else values
        grid = padded.reshape(buckets, width)
        found: NDArray[np.intp] = starts + (grid.argmin(axis=1) if lowest else grid.argmax(axis=1))
        return found

    picks = [np.array([0, count - 1]), pick(np.inf, np.inf, lowest=True), pick(-np.inf, -np.inf, lowest=False)]
    if has_missing:
        where = np.flatnonzero(missing)
        picks.append(where[np.diff(where // width, prepend=-1) != 0])
    return _ascending(picks, buckets * width)


def decimate_blocks(values: NDArray[np.float64], counts: NDArray[np.int64], max_points: int) -> NDArray[np.intp]:
    """Return the positions of at most ``max_points`` of ``values`` that show a curve of which they are the extremes.

    Like :func:`decimate`, but each bucket is made of whole blocks: what of a block is not among ``values`` lies
    between the least and the greatest that are, and so does what of a bucket is not returned.

    Args:
        values: float64[n], in order: of each block at least its minimum, its maximum and its first NaN.
        counts: int64[n]: the number of points in the block at its first value, 0 at the others. It begins with a block.
        max_points: the most positions to return, at least 8.

    Raises:
        UsageError: ``max_points`` is too small to keep the promise.
    """
    check_max_points(max_points)
    if len(values) <= max_points:
        return np.arange(len(values))
    missing = np.isnan(values)
    has_missing = bool(missing.any())
    starts = np.flatnonzero(counts)
    before = np.cumsum(counts[starts]) - counts[starts]
    bucket = before * _buckets(max_points, has_missing=has_missing) // int(counts.sum())
    starts = starts[np.diff(bucket, prepend=-1) != 0]
    bucket = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))

    def first(hits: NDArray[np.bool_]) -> NDArray[np.intp]:
        where: NDArray[np.intp] = np.flatnonzero(hits)
        firsts: NDArray[np.intp] = where[np.diff(bucket[where], prepend=-1) != 0]
        return firsts

    low = np.minimum.reduceat(np.where(missing, np.inf, values), starts)
    high = np.maximum.reduceat(np.where(missing, -np.inf, values), starts)
    picks = [np.array([0, len(values) - 1]), first(values == low[bucket]), first(values == high[bucket])]
    if has_missing:
        picks.append(first(missing))
    return _ascending(picks, len(values))


def _ascending(picks: list[NDArray[np.intp]], size: int) -> NDArray[np.intp]:
    """Return the positions, each once. All are less than ``size``: marking them takes a third of sorting them."""
    is_picked = np.zeros(size, np.bool_)
    for pick in picks:
        is_picked[pick] = True
    return np.flatnonzero(is_picked)


def check_max_points(max_points: int) -> None:
    """Raise UsageError when so few points cannot show a curve."""
    if max_points < MIN_POINTS:
        raise UsageError(f"max_points is {max_points}.", f"At least {MIN_POINTS} points are needed to show a curve.")


def _buckets(max_points: int, *, has_missing: bool) -> int:
    """Return how many buckets can keep an extreme of each kind, beside the first and last point."""
    return (max_points - 2) // (3 if has_missing else 2)
