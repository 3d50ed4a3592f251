"""`mllab runs diff`: how two runs came to differ: params, tags, metrics, packages, code and command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import print_json
from mllab.cli.table import Cell, Column, print_table
from mllab.ids import short_id
from mllab.security.terminal import line
from mllab.wording import number, param

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab.cli.screen import Screen
    from mllab.query.differences import RunDifferences

MOST_DIFF_LINES = 200
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command("diff", cls=LabCommand)
@click.argument("first", metavar="RUN", shell_complete=complete_run)
@click.argument("second", metavar="RUN", shell_complete=complete_run)
@click.option(
    "--all", "-a", "everything", is_flag=True, help=f"Every line of the code's diff, not the first {MOST_DIFF_LINES}."
)
@pass_invocation
def diff(invocation: Invocation, first: str, second: str, *, everything: bool) -> None:
    """Show what differs between two runs, the surroundings included; what is equal is left out."""
    from mllab.query.differences import differences

    found = differences(invocation.engine, first, second)
    if invocation.as_json:
        print_json(_as_json(found))
        return
    screen = invocation.screen
    groups = [
        ("Params", _rows(screen, found.params, lambda value: param(value.kind, value.text))),
        ("Tags", _rows(screen, found.tags)),
        ("Metrics (last)", _rows(screen, found.metrics, number)),
        ("Packages", _rows(screen, found.packages)),
        ("Code", _rows(screen, found.code)),
        ("Surroundings", _rows(screen, found.surroundings)),
    ]
    names = [f"{run.name} ({short_id(run.run_id)})" for run in (found.first, found.second)]
    columns = [
        Column("", least=12),
        Column(names[0], least=10, heading_cut=40),
        Column(names[1], least=10, heading_cut=40),
    ]
    lines: list[list[str | Cell]] = []
    for heading, rows in groups:
        if rows:
            lines.append([Cell(heading, "bold"), "", ""])
            lines += [[f"  {key}", before, after] for key, before, after in rows]
    if lines:
        print_table(screen, columns, lines)
    if found.patch:
        _print_patch(screen, found.patch, everything=everything)
    elif found.patch_differs:
        screen.print("The uncommitted changes differ and are too long to compare here: mllab artifacts get")
    if not lines and not found.patch_differs:
        screen.print("Nothing differs.")


def _rows(
    screen: Screen, changes: tuple[tuple[str, Any, Any], ...], shown: Callable[[Any], str] = str
) -> list[tuple[str, str, str]]:
    dash = screen.glyphs.dash
    return [(key, dash if a is None else shown(a), dash if b is None else shown(b)) for key, a, b in changes]


def _print_patch(screen: Screen, patch: tuple[str, ...], *, everything: bool) -> None:
    screen.print()
    screen.print(screen.styled("Uncommitted changes", "bold"))
    shown = patch if everything else patch[:MOST_DIFF_LINES]
    for each in shown:
        screen.print(screen.styled(line(each.replace("\t", "    ")), _STYLES.get(each[:1])))
    if len(shown) < len(patch):
        screen.print(screen.styled(f"and {len(patch) - len(shown):,} lines more: --all", "dim"))


def _as_json(found: RunDifferences) -> dict[str, Any]:
    def listed(rows: Any) -> list[dict[str, Any]]:
        return [{"key": key, "first": before, "second": after} for key, before, after in rows]

    return {
        "first": found.first.run_id,
        "second": found.second.run_id,
        "params": [
            {"key": key, "first": a.value if a else None, "second": b.value if b else None}
            for key, a, b in found.params
        ],
        "tags": listed(found.tags),
        "metrics": listed(found.metrics),
        "packages": listed(found.packages),
        "code": listed(found.code),
        "surroundings": listed(found.surroundings),
        "patch": "\n".join(found.patch) if found.patch else None,
        "patch_differs": found.patch_differs,
    }
