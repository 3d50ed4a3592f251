"""Smoothing of curves: the exponential moving average of TensorBoard and W&B, and a running median."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# At a weight of one nothing but the start would ever count; TensorBoard's own limit.
MOST_WEIGHT = 0.999
MOST_HALF_WINDOW = 50
_STRETCH = 256
_LAST_BIT = math.log(2.0**-55)


def ema(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Return the debiased exponential moving average of the finite values; others stay what they are.

    With the finite values v[1], v[2], ... : s[n] = weight * s[n-1] + (1 - weight) * v[n], s[0] = 0, and the result is
    s[n] / (1 - weight**n), which takes out the pull of the zero at the start. NaN and infinities do not count.

    Source: TensorBoard, ``classicSmoothing`` of its line chart; W&B documents the same for "exponential moving
    average". W&B's default, the time-weighted average, differs where steps are spaced unevenly.

    Args:
        values: float64[n], in order.
        weight: what the past counts, from 0 (no smoothing) to 0.999.

    Example:
        >>> import numpy as np
        >>> ema(np.array([1.0, 1.0, 4.0]), 0.5).round(3).tolist()
        [1.0, 1.0, 2.714]
    """
    weight = min(max(weight, 0.0), MOST_WEIGHT)
    is_finite = np.isfinite(values)
    if not is_finite.all():
        result = values.copy()
        result[is_finite] = ema(values[is_finite], weight)
        return result
    count = len(values)
    if count == 0 or weight == 0:
        return values.copy()
    # Stretches are averaged side by side, each from zero, and then what came before is carried into each: for a
    # million values a few hundred steps of numpy instead of a million of Python.
    width = min(_STRETCH, count)
    rows = -(-count // width)
    padded = np.zeros(rows * width)
    np.multiply(values, 1.0 - weight, out=padded[:count])
    grid = np.ascontiguousarray(padded.reshape(rows, width).T)
    for column in range(1, width):
        grid[column] += weight * grid[column - 1]
    decay = weight ** np.arange(1, width + 1, dtype=np.float64)
    carried = [0.0]
    for end in grid[-1, :-1].tolist():
        carried.append(end + float(decay[-1]) * carried[-1])
    before = np.array(carried)
    for column in range(width):
        grid[column] += decay[column] * before
    smoothed: NDArray[np.float64] = grid.T.reshape(-1)[:count]
    # Past the first few the divisor is one to the last bit. expm1 keeps its digits where weight**n is close to one.
    early = min(count, math.ceil(_LAST_BIT / math.log(weight)))
    smoothed[:early] /= -np.expm1(np.arange(1, early + 1) * math.log(weight))
    return smoothed


def half_window(count: int, amount: float) -> int:
    """Return how many points on each side a median of ``count`` points takes: a tenth of the curve at most."""
    return max(1, round(min(max(amount, 0.0), 1.0) * min(MOST_HALF_WINDOW, count / 10)))


def running_median(values: NDArray[np.float64], half: int, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the median of the ``2 * half + 1`` finite values around each position; at the ends the last one repeats.

    A position whose own value is NaN or infinite keeps it.

    Args:
        values: float64[n], in order.
        half: points on each side.
        at: positions in ``values``, intp[m]. Only these are computed, so a million points cost what is drawn of them.

    Example:
        >>> import numpy as np
        >>> running_median(np.array([1.0, 9.0, 2.0, 3.0]), 1, np.arange(4)).tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    result: NDArray[np.float64] = values[at].copy()
    is_finite = np.isfinite(values)
    if is_finite.all():
        finite, wanted, centres = values, np.ones(len(at), dtype=bool), at
    else:
        finite = values[is_finite]
        wanted = is_finite[at]
        centres = (np.cumsum(is_finite) - 1)[at[wanted]]
    if len(finite) and len(centres):
        around = np.clip(centres[:, None] + np.arange(-half, half + 1), 0, len(finite) - 1)
        # Of an odd number of values the median is one of them: no mean of two, which could overflow.
        result[wanted] = np.partition(finite[around], half, axis=1)[:, half]
    return result
