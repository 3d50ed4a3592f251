"""Strict JSON, in ASCII: exact in every locale and harmless on every terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def json_lines(items: Iterable[Any], lead: str = "[", tail: str = "]") -> Iterator[str]:
    """Yield the text of a JSON array with an item a line, so that a long one is never in memory whole."""
    yield lead
    between = "\n  "
    for item in items:
        yield between + json_text(item)
        between = ",\n  "
    yield f"\n{tail}\n"


def json_text(data: Any, indent: int | None = None) -> str:
    """Return strict JSON: NaN and infinities, which JSON has no numbers for, become text."""
    import json

    separators = None if indent else (",", ":")
    try:
        return json.dumps(data, indent=indent, separators=separators, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(data), indent=indent, separators=separators, allow_nan=False)


def _without_nan(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_nan(value) for value in data]
    if isinstance(data, float):
        if data != data:  # noqa: PLR0124  # NaN
            return "NaN"
        if data in (float("inf"), float("-inf")):
            return "Infinity" if data > 0 else "-Infinity"
    return data
