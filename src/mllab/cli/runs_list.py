"""`mllab runs ls`: a table of runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_filter
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import STATUS_STYLES, is_tty, note
from mllab.cli.table import Cell, Column, print_table
from mllab.exporting import cell_text, headings, is_right, json_rows
from mllab.json_text import json_lines, json_text
from mllab.query.column_lists import split_columns
from mllab.wording import plural

if TYPE_CHECKING:
    from mllab.cli.screen import Screen
    from mllab.exporting import JsonRows
    from mllab.query.filter_ast import Term
    from mllab.query.views import RunPage, RunRow, Which

# What is left out first on a narrow terminal; metrics and params come between, in turn.
_RANKS = {"id": 0, "name": 0, "status": 1, "started": 4, "duration": 7, "experiment": 6}
_METRIC_RANKS = (2, 5, 8)
_PARAM_RANKS = (3, 9, 10)
_LEAST = {"id": 8, "name": 14, "status": 10, "experiment": 8}


@click.command("ls", cls=LabCommand)
@click.argument("filter_words", metavar="[FILTER]", nargs=-1, shell_complete=complete_filter)
@click.option("--limit", "-n", default=30, show_default=True, type=click.IntRange(min=0), help="Rows; 0 for all.")
@click.option("--offset", default=0, type=click.IntRange(min=0), help="Rows to leave out first.")
@click.option(
    "--columns", "-c", metavar="A,B,...", help="What to show: name, loss, min(loss), params.lr, tags.team, started, ..."
)
@click.option("--all", "-a", "include_archived", is_flag=True, help="Archived runs too.")
@click.option("--deleted", is_flag=True, help="The deleted runs, which `runs restore` brings back.")
@pass_invocation
def ls(
    invocation: Invocation,
    filter_words: tuple[str, ...],
    limit: int,
    offset: int,
    columns: str | None,
    *,
    include_archived: bool,
    deleted: bool,
) -> None:
    """List runs, the newest first.

    FILTER chooses and orders them: "status = finished and loss < 0.1 order by loss". See docs/reference/filters.md.
    """
    from mllab.query.views import list_runs

    text, which = " ".join(filter_words), chosen_runs(include_archived=include_archived, deleted=deleted)
    engine, names = invocation.engine, split_columns(columns)
    if invocation.as_json:
        with json_rows(engine, text, names, which=which, limit=limit or None, offset=offset) as chosen:
            _print_as_json(invocation.lab.root, chosen, offset)
        return
    page = list_runs(engine, text, limit=limit or None, offset=offset, columns=names, which=which)
    if page.rows:
        hidden = print_page(invocation.screen, page)
        _print_rest(page, hidden)
    else:
        note(_nothing(text, deleted=deleted))


def _print_as_json(root: str, chosen: JsonRows, offset: int) -> None:
    head = json_text({"lab": root, "total": chosen.total, "offset": offset})[:-1] + ',"runs":['
    if sys.stdout is not None:
        sys.stdout.writelines(json_lines(chosen.rows, head, "]}"))


def chosen_runs(*, include_archived: bool, deleted: bool) -> Which:
    """Return which runs the options --all and --deleted mean; --deleted goes first."""
    return "deleted" if deleted else "archived too" if include_archived else "present"


def _nothing(filter_text: str, *, deleted: bool) -> str:
    if filter_text.strip():
        return "No run fits the filter."
    return "No run is deleted." if deleted else "There are no runs. `mllab demo` makes some."


def _print_rest(page: RunPage, hidden: int) -> None:
    """Say what is not in the table, where a person reads it."""
    remarks = []
    last = page.offset + len(page.rows)
    if page.total > len(page.rows):
        remarks.append(f"runs {page.offset + 1:,} to {last:,} of {page.total:,}; --limit 0 shows all")
    if hidden:
        remarks.append(f"{plural(hidden, 'column')} did not fit: a wider terminal, or --columns")
    if remarks and (is_tty(sys.stderr) or page.total > last):
        note(". ".join(remarks))


def print_page(screen: Screen, page: RunPage) -> int:
    """Print a page as a table; return how many columns did not fit."""
    now = time.time()
    columns = table_columns(page)
    rows = [
        [shown(screen, term, value, row, now) for term, value in zip(page.columns, cells, strict=True)]
        for row, cells in zip(page.rows, page.cells, strict=True)
    ]
    return print_table(screen, columns, rows)


def table_columns(page: RunPage) -> list[Column]:
    """Return the table's columns, and what gives way first."""
    columns = []
    seen = {"metric": 0, "param": 0}
    for place, (term, heading) in enumerate(zip(page.columns, headings(page.columns), strict=True)):
        rank = 20 + place
        if term.kind == "run":
            rank = _RANKS.get(term.key, rank)
        elif term.kind in seen:
            ranks = _METRIC_RANKS if term.kind == "metric" else _PARAM_RANKS
            rank = ranks[seen[term.kind]] if seen[term.kind] < len(ranks) else rank
            seen[term.kind] += 1
        least = _LEAST.get(term.key, 8) if term.kind == "run" else 8
        columns.append(Column(heading, right=is_right(page, place), least=least, rank=rank, heading_cut=20))
    return columns


def shown(screen: Screen, term: Term, value: Any, row: RunRow, now_s: float) -> str | Cell:
    """Return a value as the table shows it."""
    if term.kind == "run" and term.key == "status":
        return Cell(screen.status(value) + (" (damaged)" if row.damaged else ""), STATUS_STYLES.get(value))
    return cell_text(term, value, now_s)
