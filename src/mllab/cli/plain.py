"""`mllab --plain`: the lab line by line, for screen readers, dumb terminals and scripts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mllab.cli.invocation import Invocation


def run_plain(invocation: Invocation, link: str | None = None) -> None:
    """Take commands from standard input until its end.

    Raises:
        click.exceptions.Exit: a command of a script failed.
    """
    if invocation.as_json:
        raise click.UsageError("--plain is for people and prints no JSON; every other command has --json.")
    from mllab.plain.session import PlainSession
    from mllab.plain.voice import Voice

    status = PlainSession(invocation.lab, Voice(sys.stdout, sys.stderr)).run(link)
    if status:
        raise click.exceptions.Exit(status)
