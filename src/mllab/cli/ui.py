"""`mllab` alone and `mllab open`: the terminal UI where there is a terminal, plain text where there is none."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import is_tty
from mllab.errors import UsageError

if TYPE_CHECKING:
    from mllab.lab import Lab


def can_show_ui(invocation: Invocation) -> bool:
    """Whether somebody sits at a terminal that can move its cursor, and asked for no JSON."""
    # Textual draws to the process's standard error: in a file, the screen would stay as it was and keys be taken.
    return (
        is_tty(sys.stdin) and is_tty(sys.stdout) and is_tty(sys.__stderr__)
        and os.environ.get("TERM") not in (None, "", "dumb") and not invocation.as_json
    )  # fmt: skip


def run_ui(lab: Lab, link: str | None = None) -> None:
    """Show the terminal UI until it is left.

    Raises:
        click.exceptions.Exit: it ended with an error, which it has printed.
    """
    # Textual takes a third of a second to import, which no other command should pay.
    from mllab.tui.app import MllabApp
    from mllab.tui.compat import install_exit_guards

    app = MllabApp(lab, link)
    install_exit_guards(app)
    app.run()
    if app.return_code:
        raise click.exceptions.Exit(app.return_code)


@click.command("open", cls=LabCommand)
@click.argument("run", metavar="RUN|LINK", shell_complete=complete_run)
@click.option("--plain", is_flag=True, help="Take commands line by line, beginning there.")
@pass_invocation
@click.pass_context
def open_(context: click.Context, invocation: Invocation, run: str, *, plain: bool) -> None:
    """Open RUN, or a link that mllab copied: in the terminal UI, or as text where there is no terminal."""
    if plain or context.find_root().params.get("plain"):
        from mllab.cli.plain import run_plain

        run_plain(invocation, run)
        return
    if can_show_ui(invocation):
        run_ui(invocation.lab, run)
        return
    from mllab.cli.show import print_run
    from mllab.tui.place import parse_link

    place = parse_link(run)
    if place.screen != "run":
        raise UsageError("This link is of a list, which needs a terminal.", f"mllab open --plain {shlex.quote(run)}")
    print_run(invocation, place.subject, everything=False)
