"""Ticks at round values, and the words for them: numbers, steps, spans of time and times of day."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * each for each in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * each for each in (1, 2, 3, 6, 12)),
    *(_DAY * each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
_MOST_TICKS = 60
_LAST_SECOND = 253_402_300_799 - _DAY  # the end of the year 9999, less any time zone


def nice_step(span: float, count: int) -> float:
    """Return the least of 1, 2 or 5 times a power of ten that cuts ``span`` into at most ``count`` parts.

    Example:
        >>> nice_step(1.0, 4), nice_step(95.0, 5)
        (0.5, 20.0)
    """
    rough = span / max(count, 1)
    if not 1e-300 < rough < 1e300:
        return 0.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(times * power for times in (1, 2, 5, 10, 20) if times * power >= rough * (1 - 1e-12))


def ticks(low: float, high: float, count: int, *, is_log: bool = False) -> list[float]:
    """Return round values from ``low`` to ``high``, about ``count``; on a log axis powers of ten first."""
    if is_log:
        found = _log_ticks(low, high, count)
        if len(found) >= 2 or count < 2:
            return found
    return _multiples(low, high, nice_step(high - low, count))


def _multiples(low: float, high: float, step: float) -> list[float]:
    if step <= 0 or not math.isfinite(low / step) or not math.isfinite(high / step):
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > _MOST_TICKS:
        return []
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / max(count, 1)))
    tens = [10.0**power for power in range(max(first, -307), min(last, 307) + 1) if power % every == 0]
    inside = [each for each in tens if low <= each <= high]
    if every == 1 and len(inside) * 3 <= count:
        finer = [each * times for each in tens for times in (1, 2, 5)]
        return [each for each in finer if low <= each <= high]
    return inside


def time_ticks(low: float, high: float, count: int, *, is_wall: bool) -> list[float]:
    """Return round moments, in seconds: of a span, or of the local clock when ``is_wall``."""
    rough = (high - low) / max(count, 1)
    if rough < 1 or rough > _TIME_STEPS[-1] or (is_wall and not 0 <= low < high < _LAST_SECOND):
        return ticks(low, high, count)
    step = next(each for each in _TIME_STEPS if each >= rough)
    # Midnight and full hours of the local clock, not of UTC.
    shift = (_local(low).utcoffset() or timedelta()).total_seconds() if is_wall else 0.0
    return [each - shift for each in _multiples(low + shift, high + shift, float(step))]


def axis_labels(values: Sequence[float], x_axis: str, *, is_log: bool = False) -> list[str]:
    """Return the words for ticks of an x axis of a kind."""
    step = values[1] - values[0] if len(values) > 1 else 0.0
    if x_axis == "wall" and not is_log:
        return _clock_labels(values, step)
    if x_axis == "relative":
        return [duration(each) for each in values]
    return [count_text(each, 0.0 if is_log else step) for each in values]


def number_labels(values: Sequence[float], *, is_log: bool = False, width: int = 7) -> list[str]:
    """Return the words for ticks of a y axis, alike in their decimals, each at most ``width`` characters."""
    if is_log or len(values) < 2:
        return [value_text(each, 3)[:width] for each in values]
    step = abs(values[1] - values[0])
    greatest = max(map(abs, values))
    if step >= 1e-4 and greatest < 1e6:
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        found = [f"{each + 0.0:.{decimals}f}" for each in (0.0 if abs(each) < step / 2 else each for each in values)]
        if max(map(len, found)) <= width:
            return found
    digits = max(0, math.floor(math.log10(greatest)) - math.floor(math.log10(step) + 1e-9)) if step and greatest else 0
    for kept in range(min(digits, 6), -1, -1):
        found = [_short(f"{0.0 if abs(each) < step / 2 else each:.{kept}e}") for each in values]
        if max(map(len, found)) <= width:
            return found
    return [each[:width] for each in found]


def value_text(value: float, digits: int = 4) -> str:
    """Return a value in a few significant digits.

    Example:
        >>> value_text(0.123456), value_text(float("inf")), value_text(1234567.0), value_text(2.0)
        ('0.1235', '∞', '1.235e6', '2')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}" if value else "0"
    return _short(f"{value:.{digits}g}")


def _short(text: str) -> str:
    """Write an exponent without its plus and zeros, and zero as 0."""
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    return f"{mantissa}e{int(exponent)}" if float(mantissa) else "0"


def count_text(value: float, step: float = 0.0) -> str:
    """Return a step as people say it, with as many decimals as neighbours ``step`` apart need.

    Example:
        >>> count_text(250_000.0), count_text(1_500_000.0), count_text(1_000.0, 200.0), count_text(12.0)
        ('250k', '1.5M', '1.0k', '12')
    """
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= abs(value) < 1e15:
            decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9)) if step > 0 else None
            if decimals is None:
                return f"{value / unit:.4g}{sign}"
            if decimals <= 3:
                return f"{value / unit:.{decimals}f}{sign}"
            return f"{value:,.0f}" if step >= 1 else value_text(value, 9)
    return value_text(0.0 if abs(value) < step / 2 else value)


def duration(seconds: float) -> str:
    """Return a span of time in its two greatest units.

    Example:
        >>> duration(4800.0), duration(90.0), duration(0.25), duration(100_000.0)
        ('1h20m', '1m30s', '0.25s', '1d3h')
    """
    if not abs(seconds) < 1e12:
        return value_text(seconds)
    sign = "-" if seconds < 0 else ""
    seconds = abs(seconds)
    if seconds < _MINUTE:
        return f"{sign}{seconds:.3g}s" if seconds else "0"
    whole = round(seconds)
    for size, name, smaller, below in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "m"), (_MINUTE, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{sign}{whole // size}{name}" + (f"{rest}{below}" if rest else "")
    return f"{sign}{whole}s"


def moment(x: float, x_axis: str) -> str:
    """Return one x in full, for the cursor."""
    if x_axis == "relative":
        return duration(x)
    if x_axis == "wall" and 0 <= x < _LAST_SECOND:
        return _local(x).strftime("%m-%d %H:%M:%S")
    return f"{x:,.0f}" if abs(x) < 1e15 and x.is_integer() else value_text(x, 6)


def _clock_labels(values: Sequence[float], step: float) -> list[str]:
    if not all(0 <= each < _LAST_SECOND for each in values):
        return [value_text(each) for each in values]
    moments = [_local(each) for each in values]
    if step >= _DAY:
        return [each.strftime("%Y-%m-%d" if step >= 200 * _DAY else "%m-%d") for each in moments]
    if 0 < step < 1:
        return [f"{each:%H:%M:%S}.{each.microsecond // 1000:03d}" for each in moments]
    form = "%H:%M" if step >= _MINUTE else "%H:%M:%S"
    # A day begins with its date.
    return [each.strftime("%m-%d" if each.hour == each.minute == each.second == 0 else form) for each in moments]


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone()
