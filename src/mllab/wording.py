"""Numbers, times and sizes in words, short enough for a table: every front end says the same."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# A run's status in one cell; the word or the colour beside it says nothing else.
STATUS_GLYPHS = {"running": "●", "finished": "✓", "failed": "✗", "killed": "■", "lost": "?"}
_EXACT_BELOW = 1e7
_MONTH_S = 30 * 86400


def number(value: float | None, digits: int = 4) -> str:
    """Return a number to ``digits`` significant digits, whole numbers in full.

    >>> number(0.123456), number(1500.0), number(float("nan")), number(3.2e-7)
    ('0.1235', '1500', 'nan', '3.2e-07')
    """
    if value is None:
        return ""
    if math.isfinite(value) and value == int(value) and abs(value) < _EXACT_BELOW:
        return str(int(value))
    return f"{value:.{digits}g}"


def param(kind: str, text: str) -> str:
    """Return a param for a table: floats to six significant digits, everything else as it is."""
    if kind == "float" and len(text) > 8:
        return f"{float(text):.6g}"
    return "null" if kind == "null" else text


def duration(seconds: float | None) -> str:
    """Return a duration in its two greatest units.

    >>> [duration(s) for s in (0.34, 12.3, 75, 7500, 90000)]
    ['340ms', '12.3s', '1m 15s', '2h 05m', '1d 1h']
    """
    if seconds is None or math.isnan(seconds):
        return ""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def ago(time_us: int | None, now_s: float | None = None) -> str:
    """Return how long ago a time was, and the date when that is more than a month."""
    if time_us is None:
        return ""
    seconds = (time.time() if now_s is None else now_s) - time_us / 1e6
    if seconds > _MONTH_S or seconds < -60:
        return local_time(time_us)[:10]
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago" if seconds >= 1 else "now"


def local_time(time_us: int | None) -> str:
    """Return a time in this machine's zone, to the second, with the zone's offset."""
    if time_us is None:
        return ""
    try:
        moment = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a clock far off, or a damaged record
        return f"{time_us} us"
    return moment.strftime("%Y-%m-%d %H:%M:%S %z")


def iso_time(time_us: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC to the microsecond, as JSON and files carry it."""
    if time_us is None:
        return None
    try:
        moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000:06d}Z"


def size(count: float | None) -> str:
    """Return a number of bytes.

    >>> size(0), size(999), size(1_500_000)
    ('0 B', '999 B', '1.5 MB')
    """
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "run"), plural(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def sparkline(values: Sequence[float | None], bars: str, gap: str) -> str:
    """Return a curve in one line: None where nothing was logged, ``gap`` where a value was NaN or infinite."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    top = len(bars) - 1
    cells = []
    for value in values:
        if value is None:
            cells.append(" ")
        elif not math.isfinite(value):
            cells.append(gap)
        else:
            # Halved first: high - low may be larger than the largest float.
            span = high / 2 - low / 2
            cells.append(bars[round((value / 2 - low / 2) / span * top) if span > 0 else top // 2])
    return "".join(cells)
