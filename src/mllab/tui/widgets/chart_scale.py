"""Scales: where a value lies between the two ends of an axis, linear or logarithmic, for any finite floats."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Far outside the plot; greater fractions would overflow where lines are interpolated.
_FAR = 1e6
_LARGEST = sys.float_info.max
_SMALLEST = 5e-324
# Each side of the only moment on an axis of time, whose number of seconds since 1970 says nothing of a span.
PAD_S = 30.0
# The x axes that count seconds.
IN_SECONDS = ("wall", "relative")


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high``, ``low < high``; both positive when ``is_log``."""

    low: float
    high: float
    is_log: bool = False

    def fractions(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where values lie: 0 at the low end, 1 at the high end, NaN for NaN; bounded far outside.

        Example:
            >>> import numpy as np
            >>> Scale(1.0, 100.0, is_log=True).fractions(np.array([1.0, 10.0, 100.0])).tolist()
            [0.0, 0.5, 1.0]
        """
        with np.errstate(all="ignore"):
            if self.is_log:
                low, high = math.log10(self.low), math.log10(self.high)
                found = (np.log10(values) - low) / (high - low)
            else:
                # Half of each, where the span is more than a float can hold.
                part = 1.0 if math.isfinite(self.high - self.low) else 0.5
                found = (values * part - self.low * part) / (self.high * part - self.low * part)
        return np.clip(found, -_FAR, _FAR)

    def fraction(self, value: float) -> float:
        """Return where one value lies."""
        return float(self.fractions(np.array([value]))[0])

    def values(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at fractions, ascending if these are; infinite where a float cannot hold them."""
        with np.errstate(all="ignore"):
            if self.is_log:
                low, high = math.log10(self.low), math.log10(self.high)
                found = np.power(10.0, low + fractions * (high - low))
            else:
                found = self.low * (1.0 - fractions) + self.high * fractions
        return np.maximum.accumulate(found)

    def value(self, fraction: float) -> float:
        """Return the value at a fraction, the ends exactly."""
        if fraction in (0.0, 1.0):
            return self.high if fraction else self.low
        return float(self.values(np.array([fraction]))[0])


def spread(low: float, high: float, *, is_log: bool = False, pad: float | None = None) -> tuple[float, float]:
    """Return ends that differ, around a single value when there is but one: ``pad`` each side, or a tenth of it.

    Example:
        >>> spread(5.0, 5.0), spread(0.0, 0.0), spread(1.0, 2.0)
        ((4.5, 5.5), (-1.0, 1.0), (1.0, 2.0))
        >>> spread(1.7e9, 1.7e9, pad=PAD_S)
        (1699999970.0, 1700000030.0)
    """
    if is_log:
        # Logarithms of neighbouring floats can be equal.
        if math.log10(high) > math.log10(low):
            return low, high
        return max(low / 3, _SMALLEST), min(high * 3, _LARGEST)
    if high > low:
        return low, high
    # Beside a number of 1e18, 30 is nothing: such ends would not differ.
    if pad is None or low - pad == low or high + pad == high:
        pad = max(abs(low) * 0.1, 1e-300) if low else 1.0
    return max(low - pad, -_LARGEST), min(high + pad, _LARGEST)


def outward(low: float, high: float, step: float) -> tuple[float, float]:
    """Return the ends moved out to multiples of ``step``, so that a live chart keeps its axis for a while."""
    if step > 0 and math.isfinite(low / step) and math.isfinite(high / step):
        wider = math.floor(low / step) * step, math.ceil(high / step) * step
        if math.isfinite(wider[0]) and math.isfinite(wider[1]) and wider[0] <= low < high <= wider[1]:
            return wider
    return low, high
