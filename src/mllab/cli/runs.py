"""`mllab runs`: the group."""

from __future__ import annotations

import click

from mllab.cli.invocation import LazyGroup

COMMANDS = {
    "ls": "mllab.cli.runs_list:ls",
    "show": "mllab.cli.show:show",
    "compare": "mllab.cli.compare:compare",
    "diff": "mllab.cli.diff:diff",
    "tail": "mllab.cli.tail:tail",
    "export": "mllab.cli.export:export",
    "note": "mllab.cli.edit:note",
    "tag": "mllab.cli.edit:tag",
    "rename": "mllab.cli.edit:rename",
    "archive": "mllab.cli.edit:archive",
    "unarchive": "mllab.cli.edit:unarchive",
    "delete": "mllab.cli.edit:delete",
    "restore": "mllab.cli.edit:restore",
}


@click.group(cls=LazyGroup, homes=COMMANDS)
def runs() -> None:
    """List, show, compare, edit and export runs.

    RUN is a run's name, its id, or the first or last few characters of it (at least four).
    """
