"""`mllab doctor`: whether everything works here, and what to do about what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import print_json
from mllab.cli.table import wrap
from mllab.security.terminal import line

if TYPE_CHECKING:
    from mllab.cli.checks import Check

_STYLES = {"ok": "green", "info": "dim", "lack": "yellow", "broken": "red"}
_WORDS = {"ok": "ok", "info": "-", "lack": "lacks", "broken": "BROKEN"}
_KEY_WIDTH = 12


@click.command("doctor", cls=LabCommand)
@pass_invocation
def doctor(invocation: Invocation) -> None:
    """Check this machine and the lab: the store, locks, disk, Docker, the cluster, the terminal.

    Exit status 0 when the lab works, whatever else is lacking; 3 when it does not.
    """
    from mllab.cli.checks import all_checks

    checks = list(all_checks(invocation.lab_path))
    is_broken = any(check.state == "broken" for check in checks)
    if invocation.as_json:
        from dataclasses import asdict

        print_json({"works": not is_broken, "checks": [asdict(check) for check in checks]})
    else:
        _print(invocation, checks)
    if is_broken:
        raise click.exceptions.Exit(3)


def _print(invocation: Invocation, checks: list[Check]) -> None:
    screen = invocation.screen
    group = ""
    for check in checks:
        if check.group != group:
            group = check.group
            screen.print(screen.styled(group, "bold"))
        word = _WORDS[check.state]
        lead = 2 + 6 + 2 + _KEY_WIDTH + 1
        room = None if screen.width is None else max(screen.width - lead, 20)
        texts = wrap(line(check.found), room)
        if check.remedy:
            texts += wrap(f"-> {line(check.remedy)}", room)
        mark = screen.styled(word, _STYLES[check.state]) + " " * (6 - len(word))
        screen.print(f"  {mark}  {check.name:<{_KEY_WIDTH}} {texts[0]}".rstrip())
        for text in texts[1:]:
            screen.print(" " * lead + text)
