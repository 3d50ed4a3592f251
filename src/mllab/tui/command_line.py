"""The command line `:`: actions by name with what they take, completed by name and by what they complete."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from mllab.tui.acting import available, perform
from mllab.tui.actions import ACTIONS
from mllab.tui.widgets.prompt import Completed

if TYPE_CHECKING:
    from mllab.tui.app import MllabApp

# What people type who come from elsewhere.
SYNONYMS = {"q": "quit", "quit!": "quit", "q!": "quit", "exit": "quit", "h": "help", "r": "runs", "cmp": "compare"}


def complete_command(app: MllabApp, text: str, cursor: int) -> list[Completed]:
    """Return what can follow the first ``cursor`` characters of a command."""
    typed = text[:cursor]
    name, space, argument = typed.partition(" ")
    if not space:
        found = {action.name: action for action, _ in available(app)}
        return [
            Completed(each + (" " if action.argument else ""), 0, action.argument)
            for each, action in sorted(found.items())
            if each.startswith(name) and action.name != "command"
        ]
    start = len(name) + 1
    for action, node in available(app):
        if action.name == name:
            complete = getattr(node, action.method.replace("do_", "complete_", 1), None)
            if complete is not None:
                return [Completed(text, start + at, kind) for text, at, kind in complete(argument)]
    return []


async def run_command(app: MllabApp, text: str) -> None:
    """Perform the action that a command names."""
    name, _, argument = text.strip().partition(" ")
    if not name:
        return
    app.remember_command(text.strip())
    name = SYNONYMS.get(name, name)
    for action, node in available(app):
        if action.name == name:
            await perform(app, node, action, argument.strip())
            return
    elsewhere = next((action for action in ACTIONS if action.name == name), None)
    if elsewhere is not None:
        app.notify(f"{elsewhere.help} It works elsewhere: {elsewhere.scope}.", severity="warning", markup=False)
        return
    close = get_close_matches(name, [action.name for action, _ in available(app)], 1)
    hint = f"Did you mean {close[0]}?" if close else "Tab shows what there is."
    app.notify(f"There is no command {name[:60]!r}. {hint}", severity="error", markup=False)
