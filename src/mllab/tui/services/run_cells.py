"""Values of runs as cells of a table: what a list of runs, a comparison and the plain mode say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mllab.ids import short_id
from mllab.tui.widgets.table_model import TableCell, TableColumn, TableRow
from mllab.wording import STATUS_GLYPHS, ago, duration, number, param

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mllab.query.filter_ast import Term
    from mllab.tui.services.run_rows import ListedRun

STATUS_STYLES = {"running": "live", "finished": "ok", "failed": "bad", "killed": "warn", "lost": "warn"}
TIMES = ("started", "ended")
NUMBERS = ("started", "ended", "duration", "attempt", "number")
MOST_CELLS = 28
LEAST_CELLS = 5
PIN = "★ "


def title(term: Term, terms: Sequence[Term]) -> str:
    """Return a column's heading: without the kind where that is clear."""
    names = [_plain(each) for each in terms]
    return _plain(term) if term.kind == "run" or names.count(_plain(term)) == 1 else str(term)


def _plain(term: Term) -> str:
    text = str(term)
    for prefix in ("metrics.", "params.", "tags."):
        text = text.removeprefix(prefix).replace(f"({prefix}", "(")
    return text


def cell(term: Term, value: Any, now_s: float) -> TableCell:
    """Return one value as a list shows it."""
    if value is None:
        return TableCell("")
    if term.kind == "metric":
        text = number(float(value))
        return TableCell(text, "bad" if text in ("nan", "inf", "-inf") else "")
    if term.kind == "param":
        return TableCell(param(value.kind, value.text))
    if term.kind == "tag":
        return TableCell(str(value))
    if term.key == "id":
        return TableCell(short_id(value), "dim")
    if term.key == "status":
        return TableCell(str(value), STATUS_STYLES.get(value, ""))
    if term.key in TIMES:
        return TableCell(ago(value, now_s), "dim")
    if term.key == "duration":
        return TableCell(duration(value), "dim")
    if isinstance(value, bool):
        return TableCell("yes" if value else "no")
    return TableCell(str(value))


def table_row(row: ListedRun, terms: Sequence[Term], values: Sequence[Any], now_s: float, pins: set[str]) -> TableRow:
    """Return a run as a row."""
    cells = [cell(term, value, now_s) for term, value in zip(terms, values, strict=True)]
    if row.run_id in pins:
        place = next((at for at, term in enumerate(terms) if term.kind == "run" and term.key == "name"), 0)
        cells[place] = TableCell(PIN + cells[place].text, "best")
    status = "killed" if row.deleted else row.status
    return TableRow(row.run_id, tuple(cells), STATUS_GLYPHS.get(status, "?"), STATUS_STYLES.get(status, ""))


def table_columns(
    terms: Sequence[Term], sample: Sequence[TableRow], widths: Mapping[str, int], numeric: Sequence[bool]
) -> list[TableColumn]:
    """Return columns wide enough for a sample of rows, or as wide as the user made them."""
    from mllab.security.terminal import line, width

    columns = []
    for place, term in enumerate(terms):
        heading = title(term, terms)
        is_right = numeric[place]
        # One cell more than the heading: the arrow of the sorted column goes there.
        needed = max([width(line(heading)) + 1, *(width(line(row.cells[place].text[:200])) for row in sample)])
        cells = widths.get(str(term)) or min(max(needed, LEAST_CELLS), MOST_CELLS)
        columns.append(TableColumn(str(term), heading, cells, "right" if is_right else "left"))
    return columns


def numeric_columns(terms: Sequence[Term], values: Sequence[Sequence[Any]]) -> list[bool]:
    """Return which columns hold numbers, which stand at the right."""
    found = []
    for place, term in enumerate(terms):
        if term.kind == "param":
            column = [cells[place] for cells in values if cells[place] is not None]
            found.append(bool(column) and all(value.kind in ("int", "float") for value in column))
        else:
            found.append(term.kind == "metric" or (term.kind == "run" and term.key in NUMBERS))
    return found
