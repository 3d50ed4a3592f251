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
    if max_points < MIN_POINTS:
        raise UsageError(f"max_points is {max_points}.", f"At least {MIN_POINTS} points are needed to show a curve.")
    count = len(values)
    if count <= max_points:
        return np.arange(count)
    missing = np.isnan(values)
    has_missing = bool(missing.any())
    buckets = (max_points - 2) // (3 if has_missing else 2)
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
        first = np.unique(where // width, return_index=True)[1]
        picks.append(where[first])
    chosen: NDArray[np.intp] = np.unique(np.concatenate(picks))
    return chosen[chosen < count]
