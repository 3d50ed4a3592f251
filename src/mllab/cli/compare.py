"""`mllab runs compare`: runs beside each other, the first as the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import STATUS_STYLES, note, print_json
from mllab.cli.table import Cell, Column, print_table
from mllab.ids import short_id
from mllab.wording import duration, number, param, plural

if TYPE_CHECKING:
    from mllab.cli.screen import Screen
    from mllab.query.comparison import Comparison
    from mllab.query.run_detail import MetricSummary

STATISTICS = ("last", "min", "max", "mean")
# More runs than this are easier to read one below the other.
_MOST_BESIDE = 4


@click.command("compare", cls=LabCommand)
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, shell_complete=complete_run)
@click.option("--by", default="last", show_default=True, type=click.Choice(STATISTICS), help="Which value of a metric.")
@click.option(
    "--all", "-a", "everything", is_flag=True, help="Params, tags and system metrics that are equal or minor, too."
)
@pass_invocation
def compare(invocation: Invocation, runs: tuple[str, ...], by: str, *, everything: bool) -> None:
    """Compare runs: differing params and tags, and metrics with their change from the first RUN."""
    from mllab.query.comparison import compare as compare_runs

    comparison = compare_runs(invocation.engine, runs)
    if invocation.as_json:
        print_json(_as_json(comparison, by))
        return
    rows = _rows(invocation.screen, comparison, by, everything=everything)
    if len(comparison.runs) > _MOST_BESIDE:
        _print_below(invocation.screen, comparison, rows)
    else:
        _print_beside(invocation.screen, comparison, rows)
    equal = sum(not each.differs for group in (comparison.params, comparison.tags) for each in group)
    if equal and not everything:
        invocation.screen.print(
            invocation.screen.styled(f"{plural(equal, 'param or tag is', 'params and tags are')} equal: --all", "dim")
        )


def _rows(
    screen: Screen, comparison: Comparison, by: str, *, everything: bool
) -> list[tuple[str, str, list[str | Cell]]]:
    """Return (group, key, a cell for each run): attributes, params, tags, then metrics."""
    from mllab.query.views import SYSTEM_PREFIX

    rows: list[tuple[str, str, list[str | Cell]]] = []
    runs = comparison.runs
    rows.append(("", "id", [short_id(run.run_id) for run in runs]))
    rows.append(("", "status", [Cell(screen.status(run.status), STATUS_STYLES.get(run.status)) for run in runs]))
    if everything or len({run.experiment for run in runs}) > 1:
        rows.append(("", "experiment", [run.experiment for run in runs]))
    rows.append(("", "duration", [duration(run.duration) for run in runs]))
    absent = screen.glyphs.dash
    rows += [
        ("Params", each.key, [absent if value is None else param(value.kind, value.text) for value in each.values])
        for each in comparison.params
        if each.differs or everything
    ]
    rows += [
        ("Tags", tag.key, [absent if value is None else value for value in tag.values])
        for tag in comparison.tags
        if tag.differs or everything
    ]
    rows += [
        ("Metrics", metric.key, _metric_cells(screen, metric.values, by))
        for metric in comparison.metrics
        if everything or not metric.key.startswith(SYSTEM_PREFIX)
    ]
    return rows


def _metric_cells(screen: Screen, values: tuple[MetricSummary | None, ...], by: str) -> list[str | Cell]:
    from mllab.query.comparison import change

    numbers = [None if each is None else float(getattr(each, by)) for each in values]
    cells: list[str | Cell] = []
    for place, value in enumerate(numbers):
        if value is None:
            cells.append(screen.glyphs.dash)
            continue
        moved = change(numbers[0], value) if place else None
        cells.append(
            number(value) if moved is None else f"{number(value)} ({'+' if moved >= 0 else ''}{number(moved, 3)})"
        )
    return cells


def _print_beside(screen: Screen, comparison: Comparison, rows: list[tuple[str, str, list[str | Cell]]]) -> None:
    columns = [Column("", least=12)]
    columns += [Column(run.name, least=10, rank=place, heading_cut=28) for place, run in enumerate(comparison.runs)]
    lines: list[list[str | Cell]] = []
    before = ""
    for group, key, cells in rows:
        if group != before:
            lines.append([Cell(group, "bold"), *("" for _ in cells)])
            before = group
        lines.append([f"  {key}" if group else key, *cells])
    hidden = print_table(screen, columns, lines)
    if hidden:
        note(f"{plural(hidden, 'run')} did not fit: a wider terminal, or --json")


def _print_below(screen: Screen, comparison: Comparison, rows: list[tuple[str, str, list[str | Cell]]]) -> None:
    """Print a run a line: with many runs there are more of them than keys."""
    columns = [Column("name", least=14)]
    columns += [
        Column(
            key,
            right=group == "Metrics",
            rank=0 if key == "id" else place + (20 if group in ("", "Tags") else 0),
            heading_cut=20,
        )
        for place, (group, key, _) in enumerate(rows)
    ]
    lines: list[list[str | Cell]] = [
        [run.name, *(cells[place] for _, _, cells in rows)] for place, run in enumerate(comparison.runs)
    ]
    hidden = print_table(screen, columns, lines)
    if hidden:
        note(f"{plural(hidden, 'column')} did not fit: a wider terminal, or --json")


def _as_json(comparison: Comparison, by: str) -> dict[str, Any]:
    from mllab.exporting import run_as_json
    from mllab.query.comparison import change

    metrics = []
    for metric in comparison.metrics:
        values = [None if each is None else float(getattr(each, by)) for each in metric.values]
        metrics.append({"key": metric.key, "values": values, "changes": [change(values[0], value) for value in values]})
    return {
        "by": by,
        "runs": [run_as_json(run) for run in comparison.runs],
        "params": [
            {"key": each.key, "differs": each.differs, "values": [None if v is None else v.value for v in each.values]}
            for each in comparison.params
        ],
        "tags": [{"key": each.key, "differs": each.differs, "values": list(each.values)} for each in comparison.tags],
        "metrics": metrics,
    }
