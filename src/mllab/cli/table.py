"""Plain tables: aligned columns that fit the terminal, with the least important left out when it is narrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mllab.security.terminal import fit, line, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.cli.screen import Screen

GAP = 2
# Longer than any terminal is wide: what is behind it could never be seen.
MAX_CELL = 2000
LEAST_HEADING = 9


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        heading: its name; text from outside is made safe.
        right: align right, as numbers are. Such cells are never cut: a cut number is a wrong number.
        least: the narrowest a column of text may become.
        rank: columns of greater rank are left out first; rank 0 always stays.
        heading_cut: a longer heading is cut, so that a long key does not make a column of short numbers wide.
    """

    heading: str
    right: bool = False
    least: int = 8
    rank: int = 0
    heading_cut: int = 24


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a style."""

    text: str
    style: str | None = None


def print_table(
    screen: Screen, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], indent: int = 0
) -> int:
    """Print a table and return how many columns had to be left out.

    Cells are made safe here: they may hold anything.
    """
    ellipsis = screen.glyphs.ellipsis
    cells = [[_cell(value) for value in row] for row in rows]
    room = None if screen.width is None else max(screen.width - indent, 1)
    cut = [column.heading_cut if room is not None else MAX_CELL for column in columns]
    headings = [_shortened(line(column.heading), most, ellipsis) for column, most in zip(columns, cut, strict=True)]
    values = [max((width(row[i].text) for row in cells), default=0) for i in range(len(columns))]
    natural = [max(width(heading), value) for heading, value in zip(headings, values, strict=True)]
    # Numbers are never cut, and a heading above them only so far that it can be told from others.
    least = [
        max(value, min(size, LEAST_HEADING)) if column.right else min(size, column.least)
        for column, size, value in zip(columns, natural, values, strict=True)
    ]
    chosen, widths = _layout(columns, natural, least, room)
    lines = [
        [Cell(_shortened(headings[i], widths[i], ellipsis), "dim") for i in chosen],
        *([row[i] for i in chosen] for row in cells),
    ]
    for row in lines:
        texts = []
        for place, (i, cell) in enumerate(zip(chosen, row, strict=True)):
            text = fit(cell.text, widths[i], ellipsis)
            padding = " " * (widths[i] - width(text))
            shown = screen.styled(text, cell.style) if cell.style else text
            is_last = place == len(chosen) - 1
            texts.append(padding + shown if columns[i].right else shown if is_last else shown + padding)
        screen.print(" " * indent + (" " * GAP).join(texts).rstrip(" "))
    return len(columns) - len(chosen)


def print_pairs(screen: Screen, pairs: Sequence[tuple[str, str | Cell]], indent: int = 0, key_width: int = 0) -> None:
    """Print a key and a value on each line, values aligned; values longer than the line go on below it."""
    keys = [line(key[:MAX_CELL]) for key, _ in pairs]
    most = 40 if screen.width is None else max(screen.width // 3, 8)
    column = min(max([key_width, *map(width, keys)], default=0), most)
    for key, (_, value) in zip(keys, pairs, strict=True):
        cell = value if isinstance(value, Cell) else Cell(value)
        label = fit(key, column, screen.glyphs.ellipsis)
        room = None if screen.width is None else max(screen.width - indent - column - GAP, 8)
        pieces = wrap(line(cell.text), room)
        lead = " " * indent + screen.styled(label, "dim") + " " * (column - width(label) + GAP)
        for piece in pieces:
            screen.print((lead + (screen.styled(piece, cell.style) if cell.style else piece)).rstrip(" "))
            lead = " " * (indent + column + GAP)


def wrap(text: str, room: int | None) -> list[str]:
    """Break one line into pieces of at most ``room`` cells, at spaces where there are any."""
    if room is None or (text.isascii() and len(text) <= room):
        return [text]
    pieces, piece, used = [], "", 0
    for word in text.split(" "):
        size = width(word)
        if piece and used + 1 + size > room:
            pieces.append(piece)
            piece, used = "", 0
        while size > room:
            head = fit(word, room, "") or word[:1]
            pieces.append(head)
            word = word[len(head) :]  # noqa: PLW2901  # the rest of the word goes on
            size = width(word)
        piece, used = (f"{piece} {word}", used + 1 + size) if piece else (word, size)
    return [*pieces, piece] if piece or not pieces else pieces


def _shortened(text: str, cells: int, ellipsis: str) -> str:
    """Cut a key in its middle: its two ends tell most of it."""
    if width(text) <= cells or cells < 8 or not text.isascii():
        return fit(text, cells, ellipsis)
    room = cells - len(ellipsis)
    return text[: room // 2] + ellipsis + text[len(text) - (room - room // 2) :]


def _cell(value: str | Cell) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(line(cell.text[:MAX_CELL]), cell.style)


def _layout(
    columns: Sequence[Column], natural: list[int], least: list[int], room: int | None
) -> tuple[list[int], list[int]]:
    """Return which columns to show and the width of every column."""
    chosen = list(range(len(columns)))
    if room is None:
        return chosen, natural
    while sum(least[i] for i in chosen) + GAP * (len(chosen) - 1) > room:
        droppable = [i for i in chosen if columns[i].rank]
        if not droppable:
            break
        chosen.remove(max(droppable, key=lambda i: (columns[i].rank, i)))
    widths = list(natural)
    excess = sum(widths[i] for i in chosen) + GAP * (len(chosen) - 1) - room
    while excess > 0:
        # The widest gives first, down to the next widest.
        slack = [i for i in chosen if widths[i] > least[i]]
        if not slack:
            break
        widest = max(widths[i] for i in slack)
        group = [i for i in slack if widths[i] == widest]
        below = max([widths[i] for i in slack if widths[i] < widest], default=0)
        for i in group:
            step = min(excess, widest - max(below, least[i]), max(1, excess // len(group)))
            widths[i] -= step
            excess -= step
    if excess > 0:
        # Even the columns that always stay do not fit: the last ones are cut.
        for i in reversed(chosen):
            step = min(excess, max(widths[i] - 1, 0))
            widths[i] -= step
            excess -= step
    return chosen, widths
