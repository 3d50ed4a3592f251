"""What may be logged: keys, numbers, steps and arrays, checked and turned into bytes. Standard library alone."""

from __future__ import annotations

import operator
import reprlib
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from mllab.errors import InvalidValueError
from mllab.store.frames import BATCH_STEPS, BATCH_TIMES, MAX_KEY_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping

INT64_MAX = (1 << 63) - 1
TIME_MAX_US = 253_402_300_799_999_999  # the end of the year 9999, where calendars and DuckDB's dates end
MAX_DEPTH = 50
MAX_BYTES_SHOWN = 1 << 16


def check_key(key: object, what: str = "metric") -> str:
    """Return ``key`` when it can name a metric, param or tag; raise InvalidValueError otherwise."""
    problem = key_problem(key, what)
    if problem:
        raise InvalidValueError(problem + ".", f"A {what} key is text of 1 to {MAX_KEY_LENGTH} characters.")
    assert isinstance(key, str)
    return key


def key_problem(key: object, what: str) -> Optional[str]:
    """Say what is wrong with a key, or None."""
    if not isinstance(key, str):
        return f"The {what} key {_shown(key)} is {type(key).__name__}, not text"
    if not key:
        return f"A {what} key is empty"
    if len(key) > MAX_KEY_LENGTH:
        return f"The {what} key {key[:40]!r}... has {len(key):,} characters; {MAX_KEY_LENGTH} is the limit"
    try:
        key.encode()
    except UnicodeEncodeError:
        return f"The {what} key {key[:40]!r} holds a lone surrogate, which is no character"
    return None


def _shown(value: object) -> str:
    """Show a value in a message; a hostile or huge repr must not hurt."""
    try:
        if isinstance(value, (str, bytes, bytearray)):
            text = repr(value[:61])
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            text = reprlib.repr(value)  # the whole of it may not fit into memory
        else:
            text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:60] + "..."


def as_step(step: object) -> int:
    """Return ``step`` as an int64."""
    try:
        # 3.0 is a step: arithmetic on steps in training scripts gives floats.
        number = int(step) if isinstance(step, float) and step.is_integer() else operator.index(step)  # type: ignore[arg-type]
    except Exception:  # a hostile __index__ may raise anything
        raise InvalidValueError(
            f"The step {_shown(step)} is {type(step).__name__}, not an integer.", "Pass step=0, 1, 2, ..."
        ) from None
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise InvalidValueError(f"The step {_shown(step)} does not fit in 64 bits.", "Steps go from -2^63 to 2^63 - 1.")
    return number


def coerce_metrics(metrics: Mapping[str, Any], step: object) -> tuple[int, dict[str, float], list[str]]:
    """Split ``metrics`` into what can be stored and a sentence for each that cannot."""
    number = as_step(step)
    good: dict[str, float] = {}
    problems: list[str] = []
    try:
        items = list(metrics.items())
    except Exception:  # a mapping of another library may raise anything
        raise InvalidValueError(
            f"Metrics come as a mapping of key to number, not as {type(metrics).__name__}.",
            'Write run.log({"loss": 0.1}).',
        ) from None
    for key, value in items:
        problem = key_problem(key, "metric")
        if problem is None:
            try:
                if isinstance(value, (str, bytes, bytearray)):
                    raise TypeError  # float("0.1") would hide a mistake
                good[key] = float(value)
                continue
            except OverflowError:
                problem = f"Metric {key!r} is too large for a 64-bit float"
            except Exception:  # a hostile __float__ may raise anything
                problem = f"Metric {key!r} has the value {_shown(value)} of type {type(value).__name__}, not a number"
        problems.append(problem)
    return number, good, problems


def flatten(values: Mapping[str, Any], what: str = "param") -> dict[str, Any]:
    """Flatten nested mappings with dots; leaves become JSON values with their type kept.

    >>> flatten({"model": {"depth": 3}, "lr": 0.1})
    {'model.depth': 3, 'lr': 0.1}
    """
    flat: dict[str, Any] = {}

    def visit(prefix: str, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidValueError(
                f"The {what} {prefix[:80]!r} is nested more than {MAX_DEPTH} deep.", "Store it with log_text instead."
            )
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                visit(f"{prefix}.{key}" if prefix else str(key), inner, depth + 1)
        else:
            flat[check_key(prefix, what)] = as_json(value)

    try:
        items = dict(values).items()
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"{what.capitalize()}s come as a mapping, not as {type(values).__name__}.", f"Write log_{what}s({{...}})."
        ) from None
    for key, value in items:
        check_key(key, what)
        visit(key, value, 0)
    return flat


def as_json(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as JSON data, numbers of any library as numbers and the rest as its text."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if -INT64_MAX <= value <= INT64_MAX else clean_text(_shown(value))
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, (bytes, bytearray)) and len(value) > MAX_BYTES_SHOWN:
        return f"<{len(value):,} bytes>"
    if depth < MAX_DEPTH:
        if isinstance(value, dict):
            return {clean_text(str(key)): as_json(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            ordered = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
            return [as_json(inner, depth + 1) for inner in ordered]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        try:
            return as_json(item(), depth + 1) if depth < MAX_DEPTH else str(value)
        except Exception:
            return clean_text(_shown(value))
    try:
        return clean_text(str(value))
    except Exception:  # a hostile __str__
        return f"<{type(value).__name__}>"


def clean_text(text: str) -> str:
    """Return ``text`` as valid Unicode: lone surrogates become replacement characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class BatchColumns(NamedTuple):
    """The arrays of a batch as little-endian bytes; ``steps`` is empty when ``stride`` says it all."""

    rows: int
    start: int
    stride: int
    steps: Any
    times: Any
    values: Any

    def chunk(self, first: int, stop: int) -> tuple[int, tuple[int, int, int], list[Any]]:
        """Return flags, (count, start, stride) and the byte views of rows ``first`` to ``stop``."""
        window = slice(first * 8, stop * 8)
        flags, parts = 0, []
        if self.steps is not None:
            flags |= BATCH_STEPS
            parts.append(self.steps[window])
        if self.times is not None:
            flags |= BATCH_TIMES
            parts.append(self.times[window])
        parts.append(self.values[window])
        return flags, (stop - first, self.start + first * self.stride, self.stride), parts


def batch_columns(key: str, steps: Any, values: Any, times: Any) -> BatchColumns:
    """Check the arrays of a batch and turn them into bytes."""
    value_bytes, count = _column(values, "d", f"values of metric {key!r}")
    time_bytes = None
    if times is not None:
        time_bytes, time_count = _column(times, "q", f"times of metric {key!r}")
        _same_length(key, "times", time_count, count)
        _check_times(key, time_bytes)
    if isinstance(steps, range):
        _same_length(key, "steps", len(steps), count)
        if count:
            as_step(steps[0])
            as_step(steps[-1])
        return BatchColumns(count, steps.start, steps.step, None, time_bytes, value_bytes)
    step_bytes, step_count = _column(steps, "q", f"steps of metric {key!r}")
    _same_length(key, "steps", step_count, count)
    return BatchColumns(count, 0, 0, step_bytes, time_bytes, value_bytes)


def _check_times(key: str, times: memoryview) -> None:
    """Refuse times in another unit. They all share it, so the first and the last tell."""
    numbers = times.cast("q")
    for time_us in (numbers[0], numbers[-1]) if len(numbers) else ():
        if not 0 <= time_us <= TIME_MAX_US:
            raise InvalidValueError(
                f"The times of metric {key!r} hold {time_us}, which is no time between 1970 and 9999.",
                "Times are UTC microseconds since 1970: time.time_ns() // 1000.",
            )


def _same_length(key: str, what: str, got: int, count: int) -> None:
    if got != count:
        raise InvalidValueError(
            f"The batch of metric {key!r} has {got:,} {what} and {count:,} values.", "Pass arrays of one length."
        )


def _column(data: Any, code: str, what: str) -> tuple[memoryview, int]:
    """Return one-dimensional ``data`` as the bytes of int64 ("q") or float64 ("d") and its length."""
    try:
        if hasattr(data, "astype"):
            if code == "q" and data.dtype.kind not in "iub":
                raise TypeError(f"dtype {data.dtype}")
            data = data.astype("<i8" if code == "q" else "<f8", order="C", copy=False)
        elif not isinstance(data, array) or data.typecode != code:
            data = array(code, data)
        view = memoryview(data)
        if view.ndim != 1:
            raise TypeError(f"{view.ndim} dimensions")
        return view.cast("B"), view.shape[0] if view.shape else 0
    except InvalidValueError:
        raise
    except Exception as error:  # foreign arrays raise anything
        kind = "integers" if code == "q" else "numbers"
        raise InvalidValueError(
            f"The {what} are not a one-dimensional array of {kind}: {error}.", f"Pass a list or array of {kind}."
        ) from None
