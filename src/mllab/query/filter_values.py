"""What a literal means once the left side says what it is compared with: a number, a duration, a time, a pattern."""

from __future__ import annotations

import math
import re
import warnings
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from mllab.errors import FilterError
from mllab.query.filter_ast import Value

MAX_PATTERN = 1000
NUMBER = re.compile(
    r"[+-]?(?:(?:\d[\d_]*(?:\.\d[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_UNITS = {
    1e-3: ("ms", "millisecond", "milliseconds"),
    1: ("s", "sec", "secs", "second", "seconds"),
    60: ("m", "min", "mins", "minute", "minutes"),
    3600: ("h", "hr", "hrs", "hour", "hours"),
    86400: ("d", "day", "days"),
    604800: ("w", "week", "weeks"),
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.ASCII)
# Words that may follow a word that begins with a digit and still belong to it: 2 days 3h ago, 2026-11-01 12:30.
CONTINUES = re.compile(rf"ago|\d+(?:\.\d+)?(?:{'|'.join(_SECONDS)})?|{'|'.join(_SECONDS)}|\d\d?:\d\d.*", re.ASCII)
_NOT_RE2 = re.compile(r"\\[1-9]|\(\?(?:<?[=!]|P=|>|\()", re.ASCII)
_RE2_ONLY = re.compile(r"\\[pPCQEz]|\\x\{|\[\[:|\(\?[a-z]*U|\(\?<\w|\(\?[a-z]*-[a-z]+\)|.\(\?[a-z]+\)", re.DOTALL)
_SKIPPED = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


class Moments(NamedTuple):
    """A time, or the day that begins with it: ``end`` is None for a time."""

    start: datetime
    end: datetime | None


def as_number(value: Value) -> float:
    """Return the number that a bare literal is.

    Raises:
        FilterError: when it is none, or too large for a float.
    """
    if not value.quoted and NUMBER.fullmatch(value.text):
        number = float(value.text.replace("_", ""))
        if math.isinf(number) and "inf" not in value.word:
            raise FilterError(
                f"{value.text[:60]} is too large for a 64-bit float.", "Write inf for infinity.", column=value.column
            )
        return number
    raise FilterError(
        f"{_shown(value)} is not a number.",
        "Numbers: 0.1, 1e-3, 1_000, inf, nan, without quotes. To mean another term, write metrics.key or `key`.",
        column=value.column,
    )


def as_duration(value: Value) -> float:
    """Return seconds: a plain number is seconds, and units add up, as in ``2h30m``."""
    text = value.text.lower()
    if not value.quoted and NUMBER.fullmatch(text):
        return as_number(value)
    seconds, offset = 0.0, 0
    while (part := _PART.match(text, offset)) and part[2] in _SECONDS:
        seconds += float(part[1]) * _SECONDS[part[2]]
        offset = part.end()
    if not offset or offset < len(text):
        hint = "Durations: 90s, 10m, 2h30m, 500ms, 1d, 10 minutes; a plain number is seconds."
        raise FilterError(f"{_shown(value)} is not a duration.", hint, column=value.column)
    return seconds


def as_moments(value: Value, now: datetime) -> Moments:
    """Return the time or day that a literal names.

    A time without a zone is in the zone of ``now``; a naive ``now`` stands for this machine's zone.
    """
    text = " ".join(value.text.lower().split())
    try:
        if text.endswith("ago"):
            seconds = as_duration(Value(text.removesuffix("ago").strip(), quoted=True, column=value.column))
            return Moments(now.astimezone(UTC) - timedelta(seconds=seconds), None)
        if text == "now":
            return Moments(now.astimezone(UTC), None)
        day = _day(text, now)
        if day:
            return Moments(_midnight(day, now), _midnight(day + timedelta(days=1), now))
        moment = datetime.fromisoformat(value.text.strip())
        return Moments((moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).astimezone(UTC), None)
    except (OverflowError, OSError):
        raise FilterError(f"{_shown(value)} is outside the years 1 to 9999.", column=value.column) from None
    except ValueError:
        hint = "Times: '2026-11-01', '2026-11-01 12:30', 2 days ago, 1h ago, today, yesterday, now."
        raise FilterError(f"{_shown(value)} is not a time.", hint, column=value.column) from None


def _day(text: str, now: datetime) -> date | None:
    if text in ("today", "yesterday"):
        return now.date() - timedelta(days=text == "yesterday")
    try:
        return date.fromisoformat(text.upper())
    except ValueError:
        return None


def _midnight(day: date, now: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=now.tzinfo).astimezone(UTC)


def check_pattern(value: Value) -> str:
    """Return a regular expression that RE2 is likely to take.

    Python's parser finds the mistakes and names their place; what only RE2 knows is left for DuckDB to judge.

    Raises:
        FilterError: for what neither takes, and for what RE2 leaves out: lookaround and back-references.
    """
    pattern = value.text
    if len(pattern) > MAX_PATTERN:
        message = f"The regular expression has {len(pattern):,} characters; {MAX_PATTERN:,} is the limit."
        raise FilterError(message, column=value.column)
    bare = _SKIPPED.sub("..", pattern)
    foreign = _NOT_RE2.search(bare)
    if foreign:
        hint = "RE2 has no lookaround and no back-references: https://github.com/google/re2/wiki/Syntax."
        raise FilterError(f"The regular expression uses {foreign[0]}.", hint, column=value.column)
    if _RE2_ONLY.search(pattern):
        return pattern
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's plans for nested sets do not concern RE2
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise FilterError(f"The regular expression is wrong: {error}.", column=value.column) from None
    return pattern


def _shown(value: Value) -> str:
    return repr(value.text[:60]) if value.quoted else value.text[:60]
