"""Lines of styled segments out of text, spans of colour and places of matches, cut to a window of cells."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Span = tuple[int, int, Style]


def is_narrow(text: str) -> bool:
    """Return whether each character of a cleaned text takes one cell."""
    return text.isascii()


def segments(text: str, base: Style, spans: Iterable[Span], start: int, stop: int) -> list[Segment]:
    """Return characters ``start`` to ``stop`` of a text in a base style with spans over it, later ones on top."""
    inside = [(max(a, start), min(b, stop), style) for a, b, style in spans if a < stop and b > start]
    if not inside:
        return [Segment(text[start:stop], base)] if stop > start else []
    cuts = sorted({start, stop, *(a for a, _, _ in inside), *(b for _, b, _ in inside)})
    made = []
    for left, right in itertools.pairwise(cuts):
        style = base
        for a, b, over in inside:
            if a <= left and right <= b:
                style += over
        made.append(Segment(text[left:right], style))
    return made


def window(text: str, base: Style, spans: Sequence[Span], x: int, width: int) -> Strip:
    """Return the cells ``x`` to ``x + width`` of a line, filled up with blanks; costs as much as is seen of it."""
    if is_narrow(text):
        made = segments(text, base, spans, min(x, len(text)), min(x + width, len(text)))
        return Strip(made).adjust_cell_length(width, base)
    return Strip(segments(text, base, spans, 0, len(text))).crop_extend(x, x + width, base)


def wrapped(text: str, width: int) -> list[int]:
    """Return where the rows of a wrapped text begin, in characters; at least one row."""
    if is_narrow(text):
        return list(range(0, len(text), width)) or [0]
    starts = [0]
    for row in chop_cells(text, width)[:-1]:
        starts.append(starts[-1] + len(row))
    return starts


def part_of(text: str, base: Style, spans: Sequence[Span], bounds: tuple[int, int], width: int) -> Strip:
    """Return some characters of a line, filled up with blanks."""
    return Strip(segments(text, base, spans, *bounds)).adjust_cell_length(width, base)


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Return how well one colour is seen on another, 1 to 21. Source: WCAG 2.2, contrast ratio, relative luminance."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: tuple[int, int, int]) -> float:
    red, green, blue = (c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def cells(text: str) -> int:
    """Return how many cells a cleaned text takes."""
    return len(text) if is_narrow(text) else cell_len(text)
