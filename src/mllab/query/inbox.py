"""What needs attention: runs that ended badly, metrics that went wrong, live runs that went silent."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mllab import wording
from mllab.query.curves import curves
from mllab.query.goals import goal
from mllab.query.param_columns import enum_codes, numbers, positions, rows_of
from mllab.query.relations import quoted
from mllab.query.views import SYSTEM_PREFIX
from mllab.store.run_status import FAILED, FINISHED, KILLED, LOST, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine

Kind = Literal["failed", "killed", "lost", "damaged", "nan", "diverged", "stalled"]
DIVERGED_FACTOR = 10
# Of fewer values none is far above the others.
DIVERGED_MIN_VALUES = 5
STALLED_AFTER_US = 600_000_000
STALLED_GAPS = 20
MAX_TEXT = 300
# So many of the newest runs are looked through before all others, which a full list makes needless.
_FIRST_RUNS = 5_000
# Conditions of few columns each, that few rows meet; of most rows the second of "nan" reads the sum alone.
# They stand apart because DuckDB skips by the bounds of a part's columns what it would read for an OR.
_CONDITIONS: dict[Kind, tuple[str, ...]] = {
    "nan": ("nans > 0", "nans = 0 AND NOT isfinite(sum) AND (isinf(min) OR isinf(max))"),
    "diverged": (f"isfinite(last) AND min > 0 AND last > {DIVERGED_FACTOR} * min",),
}
_IS_RISING = f"""last_step > min_step AND count - nans >= {DIVERGED_MIN_VALUES}
    AND last > sum / greatest(count - nans, 1)"""
_PRESENT = "deleted IS NULL AND NOT archived"
_SEEN = "coalesce(last_seen, ended, started)"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs attention. ``name`` and ``text`` hold what runs logged: data, not markup.

    ``time_us`` is when it happened, as far as is known: the end of a run, or the last sign of life of one that has
    none or is damaged; for a metric when its last value was logged. ``key`` is the metric, None for what
    concerns the run itself.
    """

    kind: Kind
    run_id: str
    ref: int
    name: str
    time_us: int
    text: str
    key: str | None
    attempt: int

    @property
    def id(self) -> str:
        """What tells this item from all others in every state of the store, so that it can be set aside.

        A run that is resumed makes new ones: what was said of an earlier attempt does not hide what befalls a later.
        """
        facts = json.dumps([self.kind, self.run_id, self.key, self.attempt])
        return hashlib.sha256(facts.encode()).hexdigest()


class _Found(NamedTuple):
    """An item before its run was looked up; ``attempt`` None is the run's own."""

    time_us: int
    ref: int
    kind: Kind
    key: str | None = None
    attempt: int | None = None
    text: str = ""


def attention(
    engine: Engine, *, since_us: int | None = None, now_us: int | None = None, limit: int = 200
) -> tuple[Item, ...]:
    """Return what needs attention, newest first. Archived and deleted runs need none.

    - ``failed``, ``killed``, ``lost``: the status of a run. ``damaged``: records of it were lost in the store.
    - ``nan``: a metric of a finished or running run holds NaN or an infinity, be it recovered since.
    - ``diverged``: a metric of a finished or running run whose key says that less is better (``goals.goal``) has a
      last value above ten times its minimum, which is positive and came before, and above its own mean, so that
      what came down again since is left out; of five values and more.
    - ``stalled``: a running run has had no record for 10 minutes and for 20 times its usual gap, which is the
      time from its start to its last record over the number of values of its most logged metric.

    What a run samples of its machine (``system/``) is left out, but each sample is a sign of life.

    Args:
        engine: the lab's query engine.
        since_us: leave out what happened before; UTC microseconds.
        now_us: the clock.
        limit: the most items.
    """
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    if limit <= 0:
        return ()
    with engine.steady():
        found = [*_ended_badly(engine, since_us, limit), *_stalled(engine, since_us, now_us)]
        found += _of_metrics(engine, since_us, limit, found)
        return _items(engine, _newest(found, limit))


def _newest(found: Sequence[_Found], limit: int) -> list[_Found]:
    return sorted(found, key=lambda each: (-each.time_us, -each.ref, each.kind, each.key or ""))[:limit]


def first_not_finite(engine: Engine, ref: int, key: str) -> int | None:
    """Return the first step at which a metric of a run was NaN or infinite. It reads the run's points."""
    for curve in curves(engine, [ref], [key]):
        where = np.flatnonzero(~np.isfinite(curve.value))
        return int(curve.step[where[0]]) if len(where) else None
    return None


def _since(column: str, since_us: int | None) -> str:
    return "TRUE" if since_us is None else f"epoch_us({column}) >= {int(since_us)}"


def _ended_badly(engine: Engine, since_us: int | None, limit: int) -> Iterator[_Found]:
    rows = engine.rows(
        f"""SELECT ref, status, damaged IS NOT NULL, epoch_us({_SEEN}), epoch_us(coalesce(ended, {_SEEN}))
        FROM r_runs WHERE {_PRESENT} AND (status IN ('{FAILED}', '{KILLED}', '{LOST}') OR damaged IS NOT NULL)
        AND {_since(f"greatest({_SEEN}, ended)", since_us)}
        ORDER BY greatest({_SEEN}, ended) DESC, ref DESC LIMIT {int(limit)}"""  # noqa: S608  # constants and integers
    )
    for ref, status, is_damaged, seen_us, ended_us in rows:
        time_us = seen_us if status == LOST else ended_us
        if status in (FAILED, KILLED, LOST) and (since_us is None or time_us >= since_us):
            yield _Found(time_us, ref, status)
        if is_damaged and (since_us is None or seen_us >= since_us):
            yield _Found(seen_us, ref, "damaged")


def _stalled(engine: Engine, since_us: int | None, now_us: int) -> Iterator[_Found]:
    running = engine.rows(
        f"""SELECT ref, epoch_us(started), epoch_us({_SEEN}) FROM r_runs
        WHERE {_PRESENT} AND status = '{RUNNING}' AND {_since(_SEEN, since_us)}
        AND epoch_us({_SEEN}) < {int(now_us) - STALLED_AFTER_US}"""  # noqa: S608  # constants and integers
    )
    if not running:
        return
    refs = [int(row[0]) for row in running]
    counts = dict(
        engine.rows(f"SELECT ref, max(count) FROM ({rows_of(engine, 'summaries', refs)}) GROUP BY ref")  # noqa: S608
    )
    for ref, started_us, seen_us in running:
        gap_us = (seen_us - started_us) / counts[ref] if counts.get(ref) else 0.0
        silent_us = now_us - seen_us
        if silent_us > max(STALLED_AFTER_US, STALLED_GAPS * gap_us):
            usual = f"; one every {wording.duration(gap_us / 1e6)} until then" if gap_us > 0 else ""
            yield _Found(seen_us, ref, "stalled", text=f"no record for {wording.duration(silent_us / 1e6)}{usual}")


def _of_metrics(engine: Engine, since_us: int | None, limit: int, others: Sequence[_Found]) -> list[_Found]:
    """Return what went wrong with metrics, as far as it is among the newest ``limit`` with the others."""
    keys = sorted(engine.keys("summaries"))
    runs = engine.arrow(
        f"""SELECT ref, epoch_us({_SEEN}) AS seen FROM r_runs
        WHERE {_PRESENT} AND status IN ('{FINISHED}', '{RUNNING}') AND {_since(_SEEN, since_us)}"""  # noqa: S608
    )
    refs, seen = numbers(runs.column("ref")), numbers(runs.column("seen"))
    order = np.argsort(-seen, kind="stable")
    found: list[_Found] = []
    first = max(_FIRST_RUNS, 10 * limit)
    for chosen in (order[:first], order[first:]):
        if not len(chosen) or not keys:
            break
        newest = _newest([*others, *found], limit)
        # A value is never logged after its run was last seen.
        if len(newest) == limit and newest[-1].time_us > seen[chosen[0]]:
            break
        for kind in _CONDITIONS:
            found += _wrong(engine, refs[chosen], keys, kind, since_us=since_us, limit=limit)
    return found


def _wrong(
    engine: Engine, refs: NDArray[np.int64], keys: Sequence[str], kind: Kind, *, since_us: int | None, limit: int
) -> list[_Found]:
    """Return the newest of those metrics of some runs that meet a condition of a kind."""
    allowed = np.array([not key.startswith(SYSTEM_PREFIX) and (kind == "nan" or goal(key) == "min") for key in keys])
    words = ", ".join(map(quoted, keys))
    found: list[_Found] = []
    for condition in _CONDITIONS[kind]:
        rows = engine.arrow(
            f"""SELECT ref, key::ENUM ({words}) AS key, epoch_us(last_time) AS time, attempt FROM r_summaries
            WHERE ref BETWEEN {int(refs.min())} AND {int(refs.max())} AND {condition}
                AND {_since("last_time", since_us)}"""  # noqa: S608  # quoted keys and integers
        )
        codes, ref = enum_codes(rows.column("key")), numbers(rows.column("ref"))
        time_us, attempt = numbers(rows.column("time")), numbers(rows.column("attempt"))
        chosen = np.flatnonzero(allowed[codes] & (positions(refs, ref) >= 0))
        chosen = chosen[np.lexsort((codes[chosen], -ref[chosen], -time_us[chosen]))]
        each = (
            _Found(int(time_us[row]), int(ref[row]), kind, keys[codes[row]], int(attempt[row]))
            for row in chosen.tolist()
        )
        if kind == "diverged":
            rising = _rising(engine, ref[chosen].tolist(), keys, np.unique(codes[chosen]).tolist())
            each = (one for one in each if (one.ref, one.key) in rising)
        found += islice(each, limit)
    return found


def _rising(engine: Engine, refs: Sequence[int], keys: Sequence[str], codes: Sequence[int]) -> set[tuple[int, str]]:
    """Return which metrics of some runs rose after their minimum and are above their mean, as (ref, key)."""
    if not refs:
        return set()
    words = ", ".join(quoted(keys[code]) for code in codes)
    rows = engine.rows(
        f"""SELECT ref, key FROM ({rows_of(engine, "summaries", list(set(refs)))})
        WHERE key IN ({words}) AND {_IS_RISING}"""  # noqa: S608  # quoted keys
    )
    return {(int(ref), key) for ref, key in rows}


def _metric_texts(engine: Engine, found: Sequence[_Found]) -> dict[_Found, str]:
    wanted = {(each.ref, each.key): each for each in found if each.key is not None}
    if not wanted:
        return {}
    refs, words = sorted({ref for ref, _ in wanted}), ", ".join(sorted({quoted(key or "") for _, key in wanted}))
    rows = {
        (int(ref), key): _Summary(*values)
        for ref, key, *values in engine.rows(
            f"""SELECT ref, key, last, last_step, min, min_step, max, max_step, count, nans, first_step
            FROM ({rows_of(engine, "summaries", refs)}) WHERE key IN ({words})"""  # noqa: S608  # quoted keys
        )
        if (ref, key) in wanted
    }
    return {each: _metric_text(each.kind, rows[each.ref, each.key or ""]) for each in found if each.key is not None}


class _Summary(NamedTuple):
    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    values: int
    nans: int
    first_step: int


def _metric_text(kind: Kind, its: _Summary) -> str:
    last, last_step = its.last, its.last_step
    if kind == "diverged":
        return (
            f"{wording.number(last)} at step {last_step}, {wording.number(last / its.min)} times its minimum "
            f"{wording.number(its.min)} at step {its.min_step}"
        )
    if its.nans == its.values:
        return f"NaN from its first value on, at step {its.first_step}"
    text = f"{its.nans:,} of {wording.plural(its.values, 'value')} NaN" if its.nans else ""
    for value, extreme, step in ((math.inf, its.max, its.max_step), (-math.inf, its.min, its.min_step)):
        if extreme == value:
            text += f"{'; ' if text else ''}{wording.number(value)} at step {step}"
    if math.isfinite(last):
        return f"{text}; recovered: {wording.number(last)} at step {last_step}"
    return f"{text}; the last, at step {last_step}, is {'NaN' if math.isnan(last) else wording.number(last)}"


def _items(engine: Engine, found: Sequence[_Found]) -> tuple[Item, ...]:
    if not found:
        return ()
    refs = sorted({each.ref for each in found})
    runs = {
        int(ref): facts
        for ref, *facts in engine.rows(
            f"SELECT ref, run_id, name, attempt, damaged, error FROM ({rows_of(engine, 'runs', refs)})"  # noqa: S608
        )
    }
    texts = _metric_texts(engine, found)
    items = []
    for each in found:
        run_id, name, attempt, damaged, error = runs[each.ref]
        text = each.text or texts.get(each) or _run_text(each.kind, each.time_us, damaged, error)
        own = attempt if each.attempt is None else each.attempt
        items.append(Item(each.kind, run_id, each.ref, name or "", each.time_us, text, each.key, int(own)))
    return tuple(items)


def _run_text(kind: Kind, time_us: int, damaged: str | None, error: str | None) -> str:
    if kind == "damaged":
        return _first_line(damaged or "")
    if kind == "lost":
        return f"last seen {wording.local_time(time_us)}; its process ended without a word"
    if kind == "killed":
        return "interrupted" if not error else _error_text(error)
    return _error_text(error)


def _error_text(error: str | None) -> str:
    """Return the type and the first line of the message of an error, which is JSON that a run's process wrote."""
    try:
        facts: Any = json.loads(error) if error else None
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        return "without an error"
    kind, message = (_first_line(str(facts.get(name) or "")) for name in ("type", "message"))
    return ": ".join(part for part in (kind, message) if part) or "without an error"


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
